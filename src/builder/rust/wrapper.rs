//! The wrapper that cargo runs in front of rustc.
//!
//! It adds what every compilation needs, and does so where cargo does not see it: in `RUSTFLAGS` or a configuration the
//! flags would replace the project's own, and paths of this machine would be part of cargo's hashes and so of the bytes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::builder::Caches;
use crate::system::{self, IoError};

/// Paths of this machine, which get fixed names in the bytes.
pub(super) struct Paths<'a> {
    pub(super) stage: &'a Path,
    pub(super) vendor: Option<&'a Path>,
    pub(super) target: &'a Path,
    pub(super) cargo_home: &'a Path,
    pub(super) sysroot: &'a Path,
    /// Whether the Cargo workspace is the source root. Cargo hashes the absolute path of packages outside its workspace.
    pub(super) whole: bool,
    /// The compiler's commit, under which the standard library's sources are known.
    pub(super) commit: &'a str,
}

/// Writes the wrapper, if it is not there as it should be, and says where it is.
pub(super) fn write(caches: &Caches, path: &Path, paths: &Paths<'_>) -> Result<PathBuf, IoError> {
    let script = script(paths);
    // Cargo asks rustc again when the wrapper's time changes.
    if !system::fs::read(path).is_ok_and(|old| old == script) {
        caches.write(path, &script)?;
    }
    // Also where it is there already: a process that was killed may have got no further.
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(IoError::of("set the mode of", path))?;
    Ok(path.to_owned())
}

/// The wrapper that cargo runs for members of the workspace alone. It does nothing: its name is what cargo tells the builds
/// of one member by, where several staged trees share a target directory. A bare name, so that no path of this machine is
/// in cargo's hashes; its directory is on the path of the tools.
pub(super) fn member(directory: &Path, package: &str) -> Result<PathBuf, IoError> {
    super::private_directory(directory)?;
    let path = directory.join(format!("imgpack-{package}"));
    let script = b"#!/bin/sh\nexec \"$@\"\n";
    if !system::fs::read(&path).is_ok_and(|old| old == script) {
        system::fs::write_atomic(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(IoError::of("set the mode of", &path))?;
    }
    Ok(path)
}

fn script(paths: &Paths<'_>) -> Vec<u8> {
    let mut maps: Vec<(OsString, String)> = vec![
        (paths.sysroot.join("lib/rustlib/src/rust").into(), format!("/rustc/{}", paths.commit)),
        (paths.cargo_home.into(), "/cargo".to_owned()),
        (paths.target.into(), "/target".to_owned()),
        (paths.stage.into(), "/src".to_owned()),
    ];
    if let Some(vendor) = paths.vendor {
        maps.push((vendor.join("crates").into(), "/vendor".to_owned()));
    }
    let mut flags: Vec<u8> = Vec::new();
    for (from, to) in maps {
        let mut flag = b"--remap-path-prefix=".to_vec();
        flag.extend_from_slice(from.as_bytes());
        flag.push(b'=');
        flag.extend_from_slice(to.as_bytes());
        flags.push(b' ');
        flags.extend(quote(&OsString::from_vec(flag)));
    }
    let mut script = b"#!/bin/sh\n".to_vec();
    if !paths.whole {
        // What cargo calls a package by its path on this machine gets the name of its place in the source root.
        script.extend_from_slice(b"place=${CARGO_MANIFEST_DIR#");
        script.extend(quote(paths.stage.as_os_str()));
        script.extend_from_slice(b"}\n");
        if let Some(vendor) = paths.vendor {
            script.extend_from_slice(b"place=${place#");
            script.extend(quote(vendor.as_os_str()));
            script.extend_from_slice(b"}\n");
        }
        script.extend_from_slice(
            b"for word; do shift; case \"$word\" in metadata=*) \
              word=\"metadata=$CARGO_PKG_NAME@$CARGO_PKG_VERSION:$place\";; esac; set -- \"$@\" \"$word\"; done\n",
        );
    }
    // Build scripts and macros are compiled for the host: cargo names no target for them.
    script.extend_from_slice(b"for word; do case \"$word\" in --target|--target=*) exec \"$@\"");
    script.extend_from_slice(b" -Clinker=rust-lld -Clink-self-contained=yes -Ctarget-feature=+crt-static");
    script.extend_from_slice(&flags);
    script.extend_from_slice(b";; esac; done\nexec \"$@\"");
    script.extend_from_slice(&flags);
    script.push(b'\n');
    script
}

/// A word in single quotes.
fn quote(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn odd_paths_reach_the_compiler_whole_and_the_target_gets_its_linker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("w.rustc");
        let paths = Paths {
            stage: Path::new("/a b/it's/ü$(x)"),
            vendor: Some(Path::new("/v")),
            target: Path::new("/t"),
            cargo_home: Path::new("/c"),
            sysroot: Path::new("/s"),
            commit: "abc",
            whole: true,
        };
        write(&Caches::new(directory.path()), &path, &paths).unwrap();
        let run = |args: &[&str]| {
            let package = [
                ("CARGO_PKG_NAME", "n"),
                ("CARGO_PKG_VERSION", "1"),
                ("CARGO_MANIFEST_DIR", "/a b/it's/ü$(x)/d"),
            ];
            let mut command = Command::new(&path);
            let output =
                command.envs(package).arg("/usr/bin/printf").arg("%s\n").args(args).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let host = run(&["--crate-name", "x"]);
        let maps = "--remap-path-prefix=/s/lib/rustlib/src/rust=/rustc/abc\n--remap-path-prefix=/c=/cargo\n\
                    --remap-path-prefix=/t=/target\n--remap-path-prefix=/a b/it's/ü$(x)=/src\n\
                    --remap-path-prefix=/v/crates=/vendor\n";
        assert_eq!(host, format!("--crate-name\nx\n{maps}"));
        let target = run(&["--target", "t"]);
        let linker = "-Clinker=rust-lld\n-Clink-self-contained=yes\n-Ctarget-feature=+crt-static\n";
        assert_eq!(target, format!("--target\nt\n{linker}{maps}"));

        let time = path.metadata().unwrap().modified().unwrap();
        write(&Caches::new(directory.path()), &path, &paths).unwrap();
        assert_eq!(path.metadata().unwrap().modified().unwrap(), time);

        assert_eq!(run(&["-C", "metadata=0f"]), format!("-C\nmetadata=0f\n{maps}"));
        write(&Caches::new(directory.path()), &path, &Paths { whole: false, ..paths }).unwrap();
        assert_eq!(run(&["-C", "metadata=0f", "a  b"]), format!("-C\nmetadata=n@1:/d\na  b\n{maps}"));
        assert_eq!(run(&["--target", "t"]), format!("--target\nt\n{linker}{maps}"));
    }
}
