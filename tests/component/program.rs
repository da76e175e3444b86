//! The programs as imgpack carries them, on the disk, and what comes of running them.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs, io, thread};

use imgpack::component;
use imgpack::model::{Content, Entries, EntryKind, Platform};

/// The folder of both programs for a platform; it goes with the last test.
pub(crate) fn folder(platform: Platform) -> &'static PathBuf {
    static FOLDERS: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    FOLDERS[usize::from(platform != Platform::AMD64)].get_or_init(|| {
        // Cargo's folder for tests, so that nothing is left elsewhere.
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("component-{}", platform.goarch()));
        fs::create_dir_all(&folder).unwrap();
        write(&folder, &component::probe(platform).unwrap());
        write(&folder, &component::init(platform).unwrap());
        folder
    })
}

fn write(folder: &std::path::Path, entries: &Entries) {
    for entry in entries.iter() {
        let EntryKind::File { content: Content::Bytes(bytes), .. } = &entry.kind else { continue };
        let place = folder.join(entry.path.as_str().rsplit('/').next().unwrap());
        // A program that runs cannot be written.
        let new = place.with_extension(std::process::id().to_string());
        fs::write(&new, bytes).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &place).unwrap();
    }
}

/// The platform of this machine.
pub(crate) fn here() -> Platform {
    if cfg!(target_arch = "aarch64") { Platform::ARM64 } else { Platform::AMD64 }
}

/// A program for a platform, by the emulator where it is another than this machine's; `None` where there is none.
pub(crate) fn program(name: &str, platform: Platform) -> Option<Command> {
    let path = folder(platform).join(name);
    if platform == here() {
        return Some(Command::new(path));
    }
    let emulator = match platform {
        Platform::AMD64 => "qemu-x86_64-static",
        _ => "qemu-aarch64-static",
    };
    let mut command = Command::new(installed(emulator)?);
    command.arg(path);
    Some(command)
}

/// A program of the path or of `tests/install`; where it is not there the test is skipped aloud.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).chain([tools]).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("missing program: {name}"));
    }
    found
}

/// Says that the running test, or a part of it, is skipped, where `tests/run` counts it; fails instead in CI.
fn skip(reason: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "nothing may be skipped in CI: {reason}");
    let current = thread::current();
    let line = format!("{}: {reason}\n", current.name().unwrap_or("a test"));
    // Not `eprint`, which is swallowed for tests that pass.
    let _ = write!(io::stderr(), "skipped: {line}");
    if let Some(path) = env::var_os("IMGPACK_TEST_SKIPS") {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// The exit code, and all that was said, without blanks at the end.
pub(crate) fn said(command: &mut Command) -> (i32, String) {
    let output: Output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap().trim_end().to_owned())
}
