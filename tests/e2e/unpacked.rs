//! An image of one platform, unpacked on this machine by `skopeo` and `umoci`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program;
use crate::world::is_root;

pub(crate) struct Unpacked {
    /// Its root file system.
    pub(crate) root: PathBuf,
    /// The runtime configuration that umoci made of the image's.
    pub(crate) runtime: Value,
}

/// Takes the image of one architecture from a place that skopeo can read and unpacks it below `dir`.
pub(crate) fn unpack(source: &str, architecture: &str, dir: &Path) -> Unpacked {
    fs::create_dir_all(dir).unwrap();
    let layout = dir.join("layout").display().to_string();
    let bundle = dir.join("bundle").display().to_string();
    let choose = format!("--override-arch={architecture}");
    let target = format!("oci:{layout}:one");
    let copy = ["copy", "--quiet", &choose, "--src-tls-verify=false", source, &target];
    program::call("skopeo", copy).text();
    let image = format!("{layout}:one");
    let mut arguments = vec!["unpack", "--image", &image, &bundle];
    if !is_root() {
        arguments.insert(1, "--rootless");
    }
    program::call("umoci", arguments).text();
    let text = fs::read_to_string(Path::new(&bundle).join("config.json")).unwrap();
    Unpacked { root: Path::new(&bundle).join("rootfs"), runtime: serde_json::from_str(&text).unwrap() }
}
