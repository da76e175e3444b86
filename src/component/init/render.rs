//! Files that are made of templates.

use std::fs;
use std::path::Path;

use super::options::Render;
use super::variables;

/// Largest template, in bytes.
const LARGEST: u64 = 16 << 20;

/// Makes the file, with the mode of its template.
pub fn render(render: &Render) -> Result<(), String> {
    let (from, to) = (Path::new(&render.from), Path::new(&render.to));
    let about = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let metadata = fs::metadata(from).map_err(|error| about(from, &error))?;
    if metadata.len() > LARGEST {
        return Err(about(from, &"larger than 16 MiB"));
    }
    let text = fs::read_to_string(from).map_err(|error| about(from, &error))?;
    let text = variables(&text, &render.only).map_err(|error| about(from, &error))?;
    fs::write(to, text).map_err(|error| about(to, &error))?;
    fs::set_permissions(to, metadata.permissions()).map_err(|error| about(to, &error))
}
