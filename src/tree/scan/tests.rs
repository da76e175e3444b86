use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

/// A workspace with these files; a name that ends in `/` is a directory.
fn workspace(files: &[(&str, &str)]) -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let place = temporary.path().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(place).unwrap();
        } else {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, content).unwrap();
        }
    }
    temporary
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn try_scan(root: &Path, dir: &str, include: &[&str], exclude: &[&str]) -> Result<Scan, TreeError> {
    let (include, exclude) = (list(include), list(exclude));
    let request = ScanRequest { root, dir, include: &include, exclude: &exclude, named: &[], explain: true };
    scan(&request, &Cancel::new())
}

fn paths(root: &Path, dir: &str, include: &[&str], exclude: &[&str]) -> Vec<String> {
    let found = try_scan(root, dir, include, exclude).unwrap();
    found.files.into_iter().map(|file| file.path).collect()
}

#[test]
fn ignore_files_hold_between_the_root_and_the_file() {
    let outside = workspace(&[
        (".gitignore", "*.rs\n"),
        ("repo/.gitignore", "*.log\n/target/\n!keep.log\nsub/deep.txt\n"),
        ("repo/.git/info/exclude", "main.go\n"),
        ("repo/svc/.gitignore", "!wanted.log\nlocal\n"),
        ("repo/svc/main.go", ""),
        ("repo/svc/lib.rs", ""),
        ("repo/svc/a.log", ""),
        ("repo/svc/keep.log", ""),
        ("repo/svc/wanted.log", ""),
        ("repo/svc/local/x", ""),
        ("repo/svc/sub/deep.txt", ""),
        ("repo/svc/sub/b.log", ""),
        ("repo/svc/empty/", ""),
        ("repo/target/x", ""),
        ("repo/svc/target/x", ""),
    ]);
    let root = outside.path().join("repo");
    let taken = [".gitignore", "keep.log", "lib.rs", "main.go", "sub/deep.txt", "target/x", "wanted.log"];
    assert_eq!(paths(&root, "svc", &[], &[]), taken);
    let whole = paths(&root, ".", &[], &[]);
    assert!(whole.contains(&"svc/lib.rs".to_owned()) && !whole.contains(&"target/x".to_owned()), "{whole:?}");
    assert!(!whole.iter().any(|path| path.starts_with(".git/")), "{whole:?}");
}

#[test]
fn imgpackignore_has_the_last_word() {
    let temporary = workspace(&[
        (".gitignore", "gen.go\n"),
        (".imgpackignore", "!gen.go\n*.md\n"),
        ("svc/.gitignore", "!*.md\ngen.go\n"),
        ("svc/gen.go", ""),
        ("svc/README.md", ""),
    ]);
    assert_eq!(paths(temporary.path(), "svc", &[], &[]), [".gitignore", "gen.go"]);
}

#[test]
fn include_and_exclude_are_anchored_and_names_are_taken() {
    let temporary = workspace(&[
        (".gitignore", "out/\n*.tmp\n"),
        ("svc/docs/x", ""),
        ("svc/a/docs/y", ""),
        ("svc/out/bin/tool", ""),
        ("svc/out/bin/other.tmp", ""),
        ("svc/out/report", ""),
        ("svc/a/one.go", ""),
        ("svc/two.go", ""),
        ("svc/note.tmp", ""),
    ]);
    let root = temporary.path();
    for (include, exclude, expected) in [
        (&["**"][..], &["docs"][..], &["a/docs/y", "a/one.go", "two.go"][..]),
        (&[], &["**/docs"], &["a/one.go", "two.go"]),
        (&["*.go"], &[], &["two.go"]),
        (&["**/*.go"], &["a"], &["two.go"]),
        (&["a/**"], &[], &["a/docs/y", "a/one.go"]),
        (&["a"], &["a/docs"], &["a/one.go"]),
        // Named: the ignored directory is taken, rules for what lies in it still hold.
        (&["out"], &[], &["out/bin/tool", "out/report"]),
        (&["out/bin/"], &[], &["out/bin/tool"]),
        (&["out/bin/other.tmp", "*.go"], &[], &["out/bin/other.tmp", "two.go"]),
        (&["./note.tmp"], &[], &["note.tmp"]),
        (&["note.tmp"], &["*.tmp"], &[]),
        // A glob names nothing.
        (&["out/**", "*.tmp"], &[], &[]),
    ] {
        assert_eq!(paths(root, "svc", include, exclude), expected, "{include:?} {exclude:?}");
    }
    // The scanned directory itself is named too.
    assert_eq!(paths(root, "svc/out", &[], &[]), ["bin/tool", "report"]);
}

#[test]
fn secret_files_need_their_own_name() {
    let temporary = workspace(&[
        ("conf/.env", ""),
        ("conf/.env.example", ""),
        ("conf/.env.local", ""),
        ("conf/keys/id_ed25519", ""),
        ("conf/.git", "gitdir: elsewhere"),
        ("conf/app/.env/bin/python", ""),
    ]);
    let scan = try_scan(temporary.path(), ".", &["conf", "conf/.env.local"], &[]).unwrap();
    let taken: Vec<_> = scan.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(taken, ["conf/.env.example", "conf/.env.local", "conf/app/.env/bin/python"]);
    assert_eq!(scan.secrets, ["conf/.env", "conf/keys/id_ed25519"]);
    let error = try_scan(temporary.path(), "conf", &[".git"], &[]).unwrap_err();
    assert_eq!(error.to_string(), "`conf/.git` is in a .git directory, which never enters an image");
}

#[test]
fn the_lock_file_of_the_workspace_is_no_source() {
    let temporary = workspace(&[("imgpack.lock", ""), ("imgpack.yaml", ""), ("svc/imgpack.lock", "")]);
    let root = temporary.path();
    assert_eq!(paths(root, ".", &[], &[]), ["imgpack.yaml", "svc/imgpack.lock"]);
    assert_eq!(paths(root, ".", &["imgpack.*"], &[]), ["imgpack.yaml"]);
    assert_eq!(paths(root, ".", &["imgpack.lock"], &[]), ["imgpack.lock"]);
    assert_eq!(paths(root, "svc", &[], &[]), ["imgpack.lock"]);
}

#[test]
fn every_path_is_explained() {
    let temporary = workspace(&[
        (".gitignore", "# comment\n*.log\n\nout/\n*.log\n"),
        (".imgpackignore", "!kept.log\n"),
        ("svc/x.log", ""),
        ("svc/kept.log", ""),
        ("svc/out/x", ""),
        ("svc/out/y", ""),
        ("svc/docs/x", ""),
        ("svc/main.go", ""),
        ("svc/.env", ""),
        ("svc/.git/HEAD", ""),
        ("svc/notes.txt", ""),
    ]);
    let explained = |include: &[&str], exclude: &[&str]| {
        let scan = try_scan(temporary.path(), "svc", include, exclude).unwrap();
        let line = |decision: &Decision| {
            let verb = if decision.taken { "+" } else { "-" };
            format!("{verb} {} ({})", decision.path, decision.rule)
        };
        scan.decisions.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        explained(&[], &["docs"]),
        [
            "- .env (secret file)",
            "- .git/ (`.git`)",
            "- docs/ (exclude `docs`)",
            "+ kept.log (.imgpackignore:1 `!kept.log`)",
            "+ main.go (no rule against it)",
            "+ notes.txt (no rule against it)",
            "- out/ (.gitignore:4 `out/`)",
            "- x.log (.gitignore:5 `*.log`)",
        ]
    );
    assert_eq!(
        explained(&["*.go", "out/x"], &[]),
        [
            "- .env (not in include)",
            "- .git/ (`.git`)",
            "- docs/ (not in include)",
            "- kept.log (not in include)",
            "+ main.go (include `*.go`)",
            "- notes.txt (not in include)",
            "+ out/x (named)",
            "- out/y (.gitignore:4 `out/`)",
            "- x.log (not in include)",
        ]
    );
    let quiet = ScanRequest {
        root: temporary.path(),
        dir: "svc",
        include: &[],
        exclude: &[],
        named: &list(&["out/y"]),
        explain: false,
    };
    let quiet = scan(&quiet, &Cancel::new()).unwrap();
    assert!(quiet.decisions.is_empty());
    assert!(quiet.files.iter().any(|file| file.path == "out/y"));
}

#[test]
fn links_stay_links_inside_the_workspace() {
    let temporary = workspace(&[("svc/a/file", ""), ("shared/lib", ""), (".gitignore", "ignored\n")]);
    let root = temporary.path();
    symlink("../../shared/lib", root.join("svc/a/lib")).unwrap();
    symlink("a", root.join("svc/dir")).unwrap();
    symlink("nowhere", root.join("svc/dangling")).unwrap();
    symlink("/etc/passwd", root.join("svc/ignored")).unwrap();
    let scan = try_scan(root, "svc", &[], &[]).unwrap();
    let links: Vec<_> = scan
        .files
        .iter()
        .filter_map(|file| match &file.kind {
            SourceKind::Symlink { target } => Some((file.path.as_str(), target.as_str())),
            SourceKind::File { .. } => None,
        })
        .collect();
    assert_eq!(links, [("a/lib", "../../shared/lib"), ("dangling", "nowhere"), ("dir", "a")]);
    assert_eq!(scan.files.len(), 4);
    assert_eq!(
        try_scan(root, "svc", &["dir/file"], &[]).unwrap_err().to_string(),
        "`svc/dir/file` lies behind the symbolic link `svc/dir`, which is taken as a link"
    );
    for (target, message) in [
        (
            "/etc/passwd",
            "`svc/l` is a symbolic link to the absolute path `/etc/passwd`, which means another place on every machine",
        ),
        ("../..", "`svc/l` is a symbolic link to `../..`, which is outside of the workspace"),
        ("../../gone", "`svc/l` is a symbolic link to `../../gone`, which is outside of the workspace"),
        (
            "a/../../../gone/x",
            "`svc/l` is a symbolic link to `a/../../../gone/x`, which is outside of the workspace",
        ),
    ] {
        symlink(target, root.join("svc/l")).unwrap();
        assert_eq!(try_scan(root, "svc", &[], &[]).unwrap_err().to_string(), message);
        fs::remove_file(root.join("svc/l")).unwrap();
    }
}

#[test]
fn refusals_name_the_path() {
    type Make = fn(&Path);
    let cases: [(Make, &str); 5] = [
        (
            |root| drop(UnixListener::bind(root.join("svc/s")).unwrap()),
            "`svc/s` is a socket, which cannot be put into an image",
        ),
        (
            |root| {
                let made = std::process::Command::new("mkfifo").arg(root.join("svc/p")).status().unwrap();
                assert!(made.success());
            },
            "`svc/p` is a named pipe, which cannot be put into an image",
        ),
        (
            |root| fs::write(root.join("svc/.wh.x"), "").unwrap(),
            "the name of `svc/.wh.x` begins with .wh., which marks a removal in a layer",
        ),
        (
            |root| fs::write(root.join("svc").join(OsStr::from_bytes(b"\xffx")), "").unwrap(),
            "the name of `svc/\u{fffd}x` is not UTF-8",
        ),
        (
            |root| symlink(OsStr::from_bytes(b"\xff"), root.join("svc/l")).unwrap(),
            "the link target of `svc/l` is not UTF-8",
        ),
    ];
    for (make, message) in cases {
        let temporary = workspace(&[("svc/ok", ""), ("svc/sub/ok", "")]);
        make(temporary.path());
        assert_eq!(try_scan(temporary.path(), "svc", &[], &[]).unwrap_err().to_string(), message);
        // What is not taken does no harm.
        assert_eq!(paths(temporary.path(), "svc", &["sub"], &[]), ["sub/ok"]);
    }
}

#[test]
fn what_cannot_be_scanned_is_an_error_with_a_way_out() {
    let temporary = workspace(&[
        ("svc/go.mod", ""),
        ("svc/libs/sub/", ""),
        (".gitmodules", "[submodule \"x\"]\n\tpath = svc/libs/sub\n"),
        ("bad/.imgpackignore", "ok\na[\n"),
        ("bad/x", ""),
        ("git/.gitignore", "a[\n*.log\n"),
        ("git/x.log", ""),
    ]);
    let root = temporary.path();
    let failure = |dir: &str, include: &[&str]| {
        let error = try_scan(root, dir, include, &[]).unwrap_err();
        (error.to_string(), error.hint())
    };
    let submodule = (
        "the git submodule `svc/libs/sub` is not checked out".to_owned(),
        Some("git submodule update --init svc/libs/sub".to_owned()),
    );
    assert_eq!(failure("svc", &[]), submodule);
    assert_eq!(failure("svc/libs/sub", &[]), submodule);
    assert_eq!(failure("svc", &["libs/sub/x.proto"]), submodule);
    assert_eq!(paths(root, "svc", &["*.mod"], &[]), ["go.mod"]);
    assert_eq!(failure("svc/go.mod", &[]).0, "`svc/go.mod` is not a directory");
    let (message, hint) = failure("svc", &["go.sum"]);
    assert_eq!(message, "`svc/go.sum` does not exist in the workspace");
    assert_eq!(hint, None);
    assert_eq!(failure("svcs", &[]).1.as_deref(), Some("did you mean `svc`?"));
    let (message, _) = failure("bad", &[]);
    assert!(message.starts_with("bad/.imgpackignore:2: `a[` is not an ignore pattern: "), "{message}");
    assert_eq!(paths(root, "git", &[], &[]), [".gitignore"]);
    assert_eq!(failure("svc", &["../x"]).0, "`svc/../x` is not a path inside the workspace");
}

#[test]
fn modes_are_the_owners_and_order_is_bytewise() {
    use std::os::unix::fs::PermissionsExt as _;
    let temporary = workspace(&[("a/x", "1"), ("a.b", ""), ("a-b", ""), ("B", "")]);
    let root = temporary.path();
    for (path, mode) in [("a/x", 0o700), ("a.b", 0o077), ("a-b", 0o644), ("B", 0o555)] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let scan = try_scan(root, ".", &[], &[]).unwrap();
    let found: Vec<_> = scan
        .files
        .iter()
        .map(|file| (file.path.as_str(), matches!(file.kind, SourceKind::File { executable: true, .. })))
        .collect();
    assert_eq!(found, [("B", true), ("a-b", false), ("a.b", false), ("a/x", true)]);
    let cancel = Cancel::new();
    cancel.cancel();
    let request = ScanRequest { root, dir: ".", include: &[], exclude: &[], named: &[], explain: false };
    assert_eq!(scan_error(&request, &cancel), "cancelled");
}

fn scan_error(request: &ScanRequest<'_>, cancel: &Cancel) -> String {
    scan(request, cancel).unwrap_err().to_string()
}
