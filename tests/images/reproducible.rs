//! The same sources are the same images, wherever, by whomever and amid whatever they are built.
//!
//! One plain build and one in which everything that could matter is another: the checkout's place, its files' times
//! and modes, what stands above it, the user, home, umask, time zone, language, number of jobs, the cache, and the
//! settings of git, Go, Cargo and rustup.

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use std::{env, fs};

use serde_json::Value;

use crate::built::Built;
use crate::layout::Layout;
use crate::program::{self, text};
use crate::rootfs;
use crate::workspace::output;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];
const NOBODY: u32 = 65_534;

const WORKSPACE: &str = "\
apiVersion: imgpack/v1
registry: registry.example/team
services:
  _go: { source: go, build: { go: { package: ./cmd/app, to: /usr/local/bin/app, stamp: { main.version: v1 } } } }
  go-static: { extends: [_go] }
  go-scratch: { extends: [_go], base: scratch, image: { user: \"1001:1001\" } }
  go-merged: { extends: [_go], base: { rootfs: { linux/amd64: root.tar.gz, linux/arm64: root.tar.gz } } }
  rust: { source: rust, build: { rust: { to: /usr/local/bin/app } } }
  files:
    files:
      - { from: tree, to: /srv/tree }
      - { from: large, to: /opt/large, class: deps }
      - { to: /srv/cache, dir: true, owner: app, mode: \"0700\" }
    elf: { ignore: [/srv/tree/run.sh] }
    image: { user: { name: app, uid: 1001 }, volumes: [/data], entrypoint: [/srv/tree/run.sh] }
";
const GO: [&str; 3] = ["go-static", "go-scratch", "go-merged"];

/// The sources at `root`, as git would check them out.
fn checkout(root: &Path) {
    let write = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("imgpack.yaml", WORKSPACE.as_bytes());
    write("root.tar.gz", &rootfs::merged());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/builder");
    copy(&fixtures.join("go-app"), &root.join("go"));
    copy(&fixtures.join("rust-app"), &root.join("rust"));
    // What hostile settings would bring in, were they heard.
    write(
        "go/cmd/app/hostile.go",
        b"//go:build hostile\n\npackage main\n\nfunc init() { version = \"hostile\" }\n",
    );
    write("tree/run.sh", b"#!/bin/sh\n");
    fs::set_permissions(root.join("tree/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    write("tree/.gitignore", b"*.log\n");
    write("tree/left-out.log", b"x");
    write("tree/ünï/text.txt", b"text\n");
    for number in 0..120_u32 {
        write(
            &format!("large/{:02}/{number}.txt", number % 7),
            format!("{number} of large\n").repeat(4_000).as_bytes(),
        );
    }
    std::os::unix::fs::symlink("run.sh", root.join("tree/link")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// A variable of this process, or what `otherwise` below the home directory is.
fn setting(name: &str, otherwise: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| {
        Path::new(&env::var_os("HOME").expect("a home directory")).join(otherwise).into_os_string()
    })
}

/// Somebody else's machine: everything around the checkout.
struct Hostile {
    dir: PathBuf,
    root: PathBuf,
    home: PathBuf,
    program: PathBuf,
}

impl Hostile {
    fn new(dir: &Path) -> Self {
        // Everybody may pass.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let dir = dir.join("ünï ço'de $(x) 日本");
        let (root, home) = (dir.join("check out"), dir.join("home"));
        let hostile = Self { program: dir.join("imgpack"), root, home, dir };
        checkout(&hostile.root);
        hostile.surround();
        fs::copy(env!("CARGO_BIN_EXE_imgpack"), &hostile.program).unwrap();
        change(&hostile.root);
        hostile
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Settings of tools above the checkout and at home.
    fn surround(&self) {
        // How this host reaches its registries has to stay.
        let own = PathBuf::from(setting("CARGO_HOME", ".cargo")).join("config.toml");
        let own = fs::read_to_string(own).unwrap_or_default();
        let cargo = "[build]\nrustflags = [\"--cfg\", \"hostile\"]\nrustc-wrapper = \"/nonexistent\"\n\
                     target-dir = \"/nonexistent\"\n[profile.release]\nopt-level = 0\ndebug = true\n";
        let at_home =
            if own.contains("[build]") || own.contains("[profile") { own } else { own + "\n" + cargo };
        self.write("home/.cargo/config.toml", &at_home);
        self.write(
            "home/.gitconfig",
            &format!("[core]\n\texcludesFile = {}\n", self.home.join("ignored").display()),
        );
        self.write("home/ignored", "*.txt\n*.go\n*.rs\n");
        self.write("home/.config/git/ignore", "*\n");
        self.write("home/.config/go/env", "GOFLAGS=-tags=hostile\nGOAMD64=v3\n");
        self.write(".cargo/config.toml", cargo);
        self.write("Cargo.toml", "[workspace]\nmembers = []\n");
        self.write("rust-toolchain.toml", "[toolchain]\nchannel = \"nightly\"\n");
        self.write("go.work", "go 1.24\n\nuse ./nothing\n");
        self.write(".gitignore", "*\n");
        self.write(".imgpackignore", "*\n");
        text(Command::new("git").args(["init", "--quiet"]).arg(&self.root));
        self.write("check out/.git/info/exclude", "*.txt\n");
    }

    /// imgpack under a hostile shell with this cache, as `nobody` or as who runs the test.
    fn command(&self, cache: &Path, nobody: bool) -> Command {
        let mut command = if nobody { as_nobody() } else { Command::new("sh") };
        if nobody {
            command.arg("sh");
        }
        command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(&self.program);
        command.current_dir(self.root.join("tree"));
        command.env("IMGPACK_CACHE", cache);
        // The way to registries stays, and programs are found where they are.
        for name in ["GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE"] {
            command.env(name, program::call("go", &["env", name]).trim());
        }
        command.env("RUSTUP_HOME", setting("RUSTUP_HOME", ".rustup"));
        for (name, value) in [
            ("HOME", self.home.as_path()),
            ("CARGO_HOME", &self.home.join(".cargo")),
            ("XDG_CONFIG_HOME", &self.home.join(".config")),
            ("GIT_CONFIG_GLOBAL", &self.home.join(".gitconfig")),
            ("GOENV", &self.home.join(".config/go/env")),
            ("GOWORK", &self.dir.join("go.work")),
            ("GOPATH", &self.home.join("go")),
            ("GOMODCACHE", &self.home.join("go/pkg/mod")),
        ] {
            command.env(name, value);
        }
        command.envs([
            ("GOFLAGS", "-tags=hostile -mod=mod -ldflags=-X=main.version=hostile"),
            ("GOAMD64", "v3"),
            ("GOARM64", "v8.2"),
            ("GO111MODULE", "off"),
            ("CGO_ENABLED", "1"),
            ("RUSTFLAGS", "--cfg hostile -C debuginfo=2"),
            ("CARGO_BUILD_RUSTFLAGS", "--hostile"),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
            ("CARGO_TARGET_DIR", "/nonexistent"),
            ("CARGO_INCREMENTAL", "1"),
            ("RUSTC_WRAPPER", "/nonexistent"),
            ("RUSTUP_TOOLCHAIN", "nightly"),
            ("TZ", "Asia/Kathmandu"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("LANG", "tr_TR.UTF-8"),
        ]);
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }
}

/// Other times and modes of every file, and no two the same.
fn change(at: &Path) {
    let metadata = fs::symlink_metadata(at).unwrap();
    if metadata.is_symlink() {
        return;
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * (1 + metadata.ino() % 20_000));
    fs::File::open(at).unwrap().set_modified(time).unwrap();
    let mode = if metadata.is_dir() || metadata.mode() & 0o100 != 0 { 0o700 } else { 0o600 };
    fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    if metadata.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            change(&entry.unwrap().path());
        }
    }
}

fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    let id = NOBODY.to_string();
    command.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups", "--"]);
    command
}

/// Builds these services into a layout and an archive in `place`.
fn build(mut command: Command, place: &Path, jobs: &str, services: &[&str]) -> (Built, Layout, String) {
    let result = place.join("result.json");
    let (layout, archive) = (place.join("layout"), place.join("image.tar"));
    command.args(["build", "--quiet", "--jobs", jobs, "--result"]).arg(&result);
    command.args(["--output", &output("oci", &layout), "--output", &output("oci-archive", &archive)]);
    text(command.args(services));
    let archive = crate::layout::sha256(&fs::read(archive).unwrap());
    (Built::read(&result), Layout::open(&layout), archive)
}

fn own(file: &Path) {
    std::os::unix::fs::lchown(file, Some(NOBODY), Some(NOBODY)).unwrap();
    if fs::symlink_metadata(file).unwrap().is_dir() {
        for entry in fs::read_dir(file).unwrap() {
            own(&entry.unwrap().path());
        }
    }
}

#[test]
fn nothing_around_a_build_is_in_its_bytes() {
    if !program::installed(&["cargo", "git", "go", "rustup", "setpriv"]) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("imgpack-images-").tempdir().unwrap();
    let plain_root = dir.path().join("plain");
    checkout(&plain_root);
    let plain = |cache: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgpack"));
        command.current_dir(&plain_root).env("IMGPACK_CACHE", dir.path().join(cache));
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    };
    let place = |name: &str| {
        let place = dir.path().join(name);
        fs::create_dir(&place).unwrap();
        // Whoever builds may write there.
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        place
    };
    let (built, layout, _) = build(plain("cache"), &place("all"), "8", &[]);
    binaries(&built, &layout);

    let hostile = Hostile::new(dir.path());
    // Another user, where this one may become another. Toolchains may be where only their owner reads.
    let root = fs::metadata(dir.path()).unwrap().uid() == 0;
    let go = root && as_nobody().args(["go", "version"]).current_dir("/").output().unwrap().status.success();
    let parts: [(&str, &[&str], bool); 3] =
        [("go", &GO, go), ("rust", &["rust"], false), ("files", &["files"], root)];
    for (name, services, nobody) in parts {
        let cache = hostile.dir.join(format!("cache-{name}"));
        fs::create_dir(&cache).unwrap();
        if nobody {
            own(&hostile.dir);
        } else {
            eprintln!(
                "{name} is built as the same user: another cannot be had here, or cannot read the toolchain"
            );
        }
        let place_of = place(&format!("hostile-{name}"));
        let (other, _, archive) = build(hostile.command(&cache, nobody), &place_of, "1", services);
        for service in services {
            assert_eq!(other.image(service), built.image(service), "{service}");
        }
        let builder = fs::metadata(place_of.join("image.tar")).unwrap().uid();
        assert_eq!(builder == NOBODY, nobody, "{name}");
        // The same once more from the plain side: the archives are equal bytes too.
        let (_, _, again) = build(plain("cache"), &place(&format!("plain-{name}")), "8", services);
        assert_eq!(archive, again, "{name}");
    }
}

/// The program's layer is one on all bases, and the program is what its sources say.
fn binaries(built: &Built, layout: &Layout) {
    for platform in PLATFORMS {
        let digests = GO.map(|service| built.layer(service, platform, "/usr/local/bin/app").digest);
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{platform}: {digests:?}");
        let entry = layout.entry(&digests[0], "usr/local/bin/app");
        assert_eq!((entry.mode, entry.owner), (0o755, (0, 0)));
        assert_eq!(&entry.content[..4], b"\x7fELF");
    }
    let tree = built.layers("files", PLATFORMS[0]);
    let tree = tree.iter().find(|layer| layer.class == "app").expect("the files' layer");
    let paths: Vec<String> = layout.entries(&tree.digest).into_iter().map(|entry| entry.path).collect();
    let want = [
        "srv/",
        "srv/tree/",
        "srv/tree/.gitignore",
        "srv/tree/link",
        "srv/tree/run.sh",
        "srv/tree/ünï/",
        "srv/tree/ünï/text.txt",
    ];
    assert_eq!(paths, want);
}

#[test]
fn the_number_of_jobs_and_the_order_of_directories_are_not_in_a_layer() {
    let dir = tempfile::Builder::new().prefix("imgpack-images-").tempdir().unwrap();
    let mut found: Vec<(Value, String)> = Vec::new();
    for jobs in ["1", "2", "8", "33"] {
        let place = dir.path().join(jobs);
        let root = place.join("checkout");
        checkout(&root);
        // Names in another order in the directory, where the file system keeps an order.
        for number in (0..120_u32).rev().filter(|_| jobs != "1") {
            let path = root.join(format!("large/{:02}/{number}.txt", number % 7));
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, content).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgpack"));
        command.current_dir(&root).env("IMGPACK_CACHE", place.join("cache")).env_remove("SOURCE_DATE_EPOCH");
        let (built, _, archive) = build(command, &place, jobs, &["files"]);
        found.push((built.document, archive));
    }
    assert!(found.iter().all(|other| *other == found[0]), "{found:#?}");
}

#[test]
fn the_time_of_a_build_is_in_no_layer() {
    let dir = tempfile::Builder::new().prefix("imgpack-images-").tempdir().unwrap();
    let root = dir.path().join("checkout");
    checkout(&root);
    let at = |name: &str, epoch: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgpack"));
        command
            .current_dir(&root)
            .env("IMGPACK_CACHE", dir.path().join("cache"))
            .env_remove("SOURCE_DATE_EPOCH");
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        let place = dir.path().join(name);
        fs::create_dir(&place).unwrap();
        let (built, layout, _) = build(command, &place, "2", &["files"]);
        (built, layout)
    };
    let (none, early, late, again) =
        (at("none", None), at("early", Some("0")), at("late", Some("1700000000")), at("again", Some("0")));
    assert_eq!(again.0, early.0);
    let created = "org.opencontainers.image.created";
    for platform in PLATFORMS {
        for (built, layout) in [&none, &early, &late] {
            assert_eq!(built.layers("files", platform), none.0.layers("files", platform));
            let config = layout.json(built.config("files", platform));
            let manifest = layout.json(built.manifest("files", platform));
            let index = layout.json(built.root("files"));
            let time = match built.root("files") {
                root if root == none.0.root("files") => Value::Null,
                root if root == early.0.root("files") => "1970-01-01T00:00:00Z".into(),
                _ => "2023-11-14T22:13:20Z".into(),
            };
            assert_eq!(config["created"], time);
            assert_eq!(manifest["annotations"][created], time);
            assert_eq!(index["annotations"][created], time);
            for row in config["history"].as_array().unwrap() {
                assert_eq!(row["created"], time);
            }
        }
        let different = |of: fn(&Built, &str) -> String| {
            let mut digests = [&none, &early, &late].map(|(built, _)| of(built, platform)).to_vec();
            digests.sort();
            digests.dedup();
            digests.len()
        };
        assert_eq!(different(|built, platform| built.config("files", platform).to_owned()), 3);
        assert_eq!(different(|built, platform| built.manifest("files", platform).to_owned()), 3);
    }
    for wrong in ["", "yesterday", "-1", "1.5", "99999999999999999999"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgpack"));
        command.current_dir(&root).env("IMGPACK_CACHE", dir.path().join("cache"));
        command.args(["build", "files"]).env("SOURCE_DATE_EPOCH", wrong);
        let said = program::failure(&mut command, 2);
        assert!(said.contains(&format!("SOURCE_DATE_EPOCH is `{wrong}`")), "{said}");
    }
}
