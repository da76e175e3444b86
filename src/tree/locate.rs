use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::error::TreeError;
use super::source::{SourceFile, SourceKind};
use super::submodules::Submodules;
use crate::system::{FileStat, IoError};

/// What a named path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file (a link to one is followed: what is named is the file).
    File(SourceFile),
    /// A directory, or a link to one inside the workspace.
    Directory,
}

/// Looks up `path`, relative to the workspace root `root`, that a spec names literally: ignore rules and the rule for
/// secret files do not apply. Links on the way are followed as long as they are relative and stay inside the root.
pub fn find(root: &Path, path: &str) -> Result<Found, TreeError> {
    check_form(path)?;
    let real_root = canonical(root)?;
    let absolute = if path == "." { root.to_owned() } else { root.join(path) };
    let mut here = String::new();
    for component in path.split('/').filter(|part| *part != ".") {
        if !here.is_empty() {
            here.push('/');
        }
        here.push_str(component);
        let place = root.join(&here);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(missing(root, path, &here)?);
            }
            Err(error) => return Err(IoError::of("look at", &place)(error).into()),
        };
        if metadata.is_symlink() {
            let target = check_link(&real_root, &place, &here)?;
            if !place.exists() {
                return Err(TreeError::LinkDangling { path: here, target });
            }
        }
    }
    let metadata = fs::metadata(&absolute).map_err(IoError::of("look at", &absolute))?;
    let submodules = Submodules::read(root)?;
    if metadata.is_dir() {
        if submodules.contains(path) && is_empty(&absolute)? {
            return Err(TreeError::Submodule { path: path.to_owned() });
        }
        return Ok(Found::Directory);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    check_name(name, path)?;
    Ok(Found::File(SourceFile { path: name.to_owned(), kind: regular(&metadata, path)?, absolute }))
}

/// The kind of a regular file; sockets, pipes and devices are errors.
pub(super) fn regular(metadata: &fs::Metadata, path: &str) -> Result<SourceKind, TreeError> {
    let file_type = metadata.file_type();
    if file_type.is_file() {
        return Ok(SourceKind::File { stat: FileStat::of(metadata) });
    }
    let noun = if file_type.is_socket() {
        "socket"
    } else if file_type.is_fifo() {
        "named pipe"
    } else {
        "device"
    };
    Err(TreeError::Special { path: path.to_owned(), noun })
}

/// Refuses names that a layer gives another meaning.
pub(super) fn check_name(name: &str, path: &str) -> Result<(), TreeError> {
    if name.starts_with(".wh.") { Err(TreeError::Whiteout { path: path.to_owned() }) } else { Ok(()) }
}

/// The text of the link at `place` (`path` relative to the root): it has to be relative and to stay inside the root,
/// both as text and where it really leads.
pub(super) fn check_link(real_root: &Path, place: &Path, path: &str) -> Result<String, TreeError> {
    let target = fs::read_link(place).map_err(IoError::of("read the link", place))?;
    let Some(target) = target.to_str().map(str::to_owned) else {
        return Err(TreeError::NotUtf8 { what: "link target", path: path.to_owned() });
    };
    if target.starts_with('/') {
        return Err(TreeError::LinkAbsolute { path: path.to_owned(), target });
    }
    let outside = || TreeError::LinkOutside { path: path.to_owned(), target: target.clone() };
    match fs::canonicalize(place) {
        Ok(real) if real.starts_with(real_root) => return Ok(target),
        Ok(_) => return Err(outside()),
        // A link to nothing, or to itself: only its text can be judged.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {}
        Err(error) => return Err(IoError::of("follow the link", place)(error).into()),
    }
    let mut depth = path.matches('/').count();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or_else(outside)?,
            _ => depth += 1,
        }
    }
    Ok(target)
}

/// `path` has to be relative and normalised, and not in `.git`.
fn check_form(path: &str) -> Result<(), TreeError> {
    if path == "." {
        return Ok(());
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\0') {
        return Err(TreeError::Outside { path: path.to_owned() });
    }
    if path.split('/').any(|part| part == ".git") {
        return Err(TreeError::Git { path: path.to_owned() });
    }
    Ok(())
}

/// The error for `path`, of which the part up to and including `gone` does not exist.
pub(super) fn missing(root: &Path, path: &str, gone: &str) -> Result<TreeError, TreeError> {
    if let Some(submodule) = Submodules::read(root)?.holding(path)
        && is_empty(&root.join(submodule))?
    {
        return Ok(TreeError::Submodule { path: submodule.to_owned() });
    }
    let (above, name) = gone.rsplit_once('/').unwrap_or(("", gone));
    let nearest = nearest(&root.join(above), name)
        .map(|near| if above.is_empty() { near } else { format!("{above}/{near}") });
    Ok(TreeError::Missing { path: path.to_owned(), nearest })
}

/// The name in `directory` that is most like `name`, if one is.
fn nearest(directory: &Path, name: &str) -> Option<String> {
    let names =
        fs::read_dir(directory).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let wanted = name.to_lowercase();
    names
        .map(|near| (strsim::damerau_levenshtein(&near.to_lowercase(), &wanted), near))
        .filter(|(distance, near)| *distance <= near.chars().count().max(3) / 3)
        .min()
        .map(|(_, near)| near)
}

/// Whether the directory has nothing in it, or does not exist.
pub(super) fn is_empty(directory: &Path) -> Result<bool, TreeError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(IoError::of("read the directory", directory)(error).into()),
    }
}

pub(super) fn canonical(root: &Path) -> Result<PathBuf, TreeError> {
    Ok(fs::canonicalize(root).map_err(IoError::of("find the workspace", root))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn workspace() -> tempfile::TempDir {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        fs::create_dir_all(root.join("conf/deep")).unwrap();
        fs::create_dir_all(root.join("libs/sub")).unwrap();
        fs::write(root.join("conf/app.toml"), "x").unwrap();
        fs::write(root.join("conf/run"), "x").unwrap();
        fs::set_permissions(root.join("conf/run"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join(".env"), "x").unwrap();
        fs::write(root.join(".gitignore"), ".env\n").unwrap();
        fs::write(root.join(".gitmodules"), "[submodule \"s\"]\n path = libs/sub\n").unwrap();
        symlink("conf", root.join("link")).unwrap();
        symlink("../link/app.toml", root.join("conf/again")).unwrap();
        symlink("/etc", root.join("abs")).unwrap();
        symlink("../..", root.join("conf/out")).unwrap();
        symlink("gone", root.join("dangling")).unwrap();
        symlink("self", root.join("self")).unwrap();
        fs::write(root.join("conf/.wh.x"), "x").unwrap();
        drop(UnixListener::bind(root.join("sock")).unwrap());
        temporary
    }

    #[test]
    fn named_paths_are_found() {
        let temporary = workspace();
        let root = temporary.path();
        let file = |path: &str, executable| match find(root, path).unwrap() {
            Found::File(file) => {
                let SourceKind::File { stat } = file.kind else { panic!("{path} is a link") };
                assert_eq!((stat.is_executable(), stat.size), (executable, 1), "{path}");
                assert_eq!(file.absolute, root.join(path));
                file.path
            }
            Found::Directory => panic!("{path} is a directory"),
        };
        assert_eq!(file("conf/app.toml", false), "app.toml");
        assert_eq!(file("conf/run", true), "run");
        assert_eq!(file("link/run", true), "run");
        assert_eq!(file("conf/again", false), "again");
        assert_eq!(file(".env", false), ".env");
        for directory in [".", "conf", "link", "link/deep"] {
            assert_eq!(find(root, directory).unwrap(), Found::Directory, "{directory}");
        }
    }

    #[test]
    fn refusals_name_the_path_and_the_way_out() {
        let temporary = workspace();
        for (path, message, hint) in [
            (
                "conf/ap.toml",
                "`conf/ap.toml` does not exist in the workspace",
                Some("did you mean `conf/app.toml`?"),
            ),
            (
                "cnof/app.toml",
                "`cnof/app.toml` does not exist in the workspace",
                Some("did you mean `conf`?"),
            ),
            ("conf/app.toml/x", "`conf/app.toml/x` does not exist in the workspace", None),
            ("zzz", "`zzz` does not exist in the workspace", None),
            (
                "abs/passwd",
                "`abs` is a symbolic link to the absolute path `/etc`, which means another place on every machine",
                Some("make the link relative"),
            ),
            ("link/out", "`link/out` is a symbolic link to `../..`, which is outside of the workspace", None),
            ("dangling", "`dangling` is a symbolic link to `gone`, which does not exist", None),
            ("self", "`self` is a symbolic link to `self`, which does not exist", None),
            ("../x", "`../x` is not a path inside the workspace", None),
            ("/etc", "`/etc` is not a path inside the workspace", None),
            (".git/config", "`.git/config` is in a .git directory, which never enters an image", None),
            (
                "conf/.wh.x",
                "the name of `conf/.wh.x` begins with .wh., which marks a removal in a layer",
                None,
            ),
            ("sock", "`sock` is a socket, which cannot be put into an image", None),
            (
                "libs/sub",
                "the git submodule `libs/sub` is not checked out",
                Some("git submodule update --init libs/sub"),
            ),
            (
                "libs/sub/go.mod",
                "the git submodule `libs/sub` is not checked out",
                Some("git submodule update --init libs/sub"),
            ),
        ] {
            let error = find(temporary.path(), path).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.hint().as_deref(), hint, "{path}");
        }
    }
}
