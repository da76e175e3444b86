use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use imgpack::builder::{BuilderError, key_fields};
use imgpack::model::Platform;
use imgpack::spec::{Build, RustBuild, RustTarget, Template, Value};

use crate::fixture::{Checkout, Site, processes_of};

fn spec(change: impl FnOnce(&mut RustBuild)) -> Build {
    let mut build = RustBuild {
        package: None,
        bin: None,
        to: None,
        profile: "release".into(),
        features: vec![],
        default_features: true,
        target: RustTarget::Musl,
        env: BTreeMap::new(),
    };
    change(&mut build);
    Build::Rust(build)
}

fn plain() -> Build {
    spec(|_| {})
}

/// Everything a build script of a package may see besides what cargo says of the package and the target.
const ENVIRONMENT: [&str; 22] = [
    "CARGO",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_OFFLINE",
    "CARGO_TERM_COLOR",
    "CARGO_TERM_PROGRESS_WHEN",
    "DEBUG",
    "HOME",
    "HOST",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PATH",
    "PROFILE",
    "SOURCE_DATE_EPOCH",
    "TARGET",
    "TMPDIR",
    "TZ",
];
const TOOLS: [&str; 6] =
    ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC", "SSL_CERT_DIR", "SSL_CERT_FILE"];

#[test]
fn equal_bytes_whatever_is_around() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    let quiet = Site::new(&base.join("one/cache"));
    let first = Checkout::of("rust-app", &base.join("one/checkout"));

    // A cache and a checkout with odd names, configuration of somebody else above both, and a hostile environment.
    let odd = base.join("ünï ço'de $(x)");
    let config = "[build]\nrustflags = [\"--cfg\", \"hostile\"]\nrustc-wrapper = \"/nonexistent\"\n\
                  [profile.release]\nopt-level = 0\n[source.crates-io]\nreplace-with = \"x\"\n[source.x]\ndirectory = \"/x\"\n";
    for path in [odd.join(".cargo/config.toml"), odd.join("cache/.cargo/config.toml")] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, config).unwrap();
    }
    std::fs::write(odd.join("rust-toolchain.toml"), "[toolchain]\nchannel = \"nightly\"\n").unwrap();
    std::fs::write(odd.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    std::os::unix::fs::symlink(odd.join("cache"), base.join("link")).unwrap();
    let hostile = Site::with(
        &base.join("link/v1"),
        &[
            ("RUSTFLAGS", "--cfg hostile"),
            ("CARGO_ENCODED_RUSTFLAGS", "--hostile"),
            ("CARGO_BUILD_RUSTFLAGS", "--hostile"),
            ("RUSTC_WRAPPER", "/nonexistent"),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
            ("CARGO_TARGET_DIR", "/nonexistent"),
            ("RUSTUP_TOOLCHAIN", "nightly"),
            ("SECRET_TOKEN", "hunter2"),
            ("TZ", "Asia/Tokyo"),
        ],
    );
    let second = Checkout::of("rust-app", &odd.join("checkout"));
    let names = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();

    for platform in Platform::ALL {
        let (one, two) =
            (quiet.build(&plain(), platform, &first), hostile.build(&plain(), platform, &second));
        assert!(one.bytes() == two.bytes(), "{platform}");
        assert_eq!(one.artefact().name, "app");
        assert!(one.says("uses musl's slow allocator") && !one.says("path of the cache"), "{:?}", one.lines);
        assert_eq!(one.run(platform, &[]), "hello");
        assert_eq!(one.run(platform, &["home"]), "0");
        if quiet.host.cuts_network(&quiet.cancel) {
            assert_eq!(one.run(platform, &["network"]), "false");
        } else {
            eprintln!("not tried: this machine does not let a process give up its network");
        }
        let seen = names(&one.run(platform, &["environment"]));
        let cargo = ["CARGO_CFG_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_FEATURE_"];
        let strange: Vec<_> = seen
            .iter()
            .filter(|name| !cargo.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !ENVIRONMENT.contains(&name.as_str()) && !TOOLS.contains(&name.as_str()))
            .collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert!(seen.contains("HOME"));
    }

    // With debug information, and a path dependency outside the Cargo workspace.
    let dev = spec(|rust| rust.profile = "dev".into());
    let nested = |root: std::path::PathBuf| {
        let mut checkout = Checkout::of("rust-app", &root.join("app"));
        (checkout.root, checkout.dir) = (root, "app".to_owned());
        let manifest = std::fs::read_to_string(checkout.root.join("app/Cargo.toml")).unwrap();
        let dependency = "[dependencies]\nbeside = { path = \"../beside\" }";
        checkout.write("app/Cargo.toml", &manifest.replace("[dependencies]", dependency));
        let lock = std::fs::read_to_string(checkout.root.join("app/Cargo.lock")).unwrap();
        let lock = lock.replace(" \"anyhow\",\n", " \"anyhow\",\n \"beside\",\n")
            + "\n[[package]]\nname = \"beside\"\nversion = \"0.1.0\"\n";
        checkout.write("app/Cargo.lock", &lock);
        checkout.write("beside/Cargo.toml", "[package]\nname = \"beside\"\nversion = \"0.1.0\"\n");
        checkout.write("beside/src/lib.rs", "pub fn fail() -> String { panic!(\"beside\") }\n");
        let main = std::fs::read_to_string(checkout.root.join("app/src/main.rs")).unwrap();
        checkout.write("app/src/main.rs", &main.replace("seen::fail()", "panic!(\"{}\", beside::fail())"));
        checkout
    };
    let (one, two) = (nested(base.join("one/nested")), nested(odd.join("nested")));
    let (one, two) = (quiet.build(&dev, Platform::ARM64, &one), hostile.build(&dev, Platform::ARM64, &two));
    assert!(one.bytes() == two.bytes());

    // The same sources from a third place, with the cache of the first: nothing is compiled again.
    let third = Checkout::of("rust-app", &base.join("third"));
    let again = quiet.build(&plain(), Platform::AMD64, &third);
    assert!(!again.says("Compiling"), "{:?}", again.lines);
    // Unless it is asked for.
    let fresh = Site { fresh: Some("1".into()), ..Site::new(&base.join("one/cache")) };
    assert!(fresh.build(&plain(), Platform::AMD64, &third).says("Compiling itoa"));
    assert!(!fresh.build(&plain(), Platform::AMD64, &third).says("Compiling"));
}

#[test]
fn old_content_with_old_times_is_built_again() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = Checkout::of("rust-app", &directory.path().join("checkout"));
    let old = SystemTime::now() - Duration::from_hours(24);
    let say = |text: &str, cold: bool| {
        checkout.write("src/greeting.txt", text);
        let file = std::fs::File::options().write(true).open(checkout.root.join("src/greeting.txt")).unwrap();
        file.set_modified(old).unwrap();
        let built = site.build(&plain(), Platform::AMD64, &checkout);
        assert_eq!(built.says("Compiling itoa"), cold, "dependencies stay: {:?}", built.lines);
        (built.run(Platform::AMD64, &[]), built.bytes())
    };
    let (first, bytes) = say("A1", true);
    assert_eq!((first.as_str(), say("B2", false).0.as_str()), ("A1", "B2"));
    checkout.write("src/other.txt", "a file appears");
    assert_eq!(say("B2", false).0, "B2");
    std::fs::remove_file(checkout.root.join("src/other.txt")).unwrap();
    let (third, again) = say("A1", false);
    assert_eq!((third.as_str(), again == bytes), ("A1", true));
}

#[test]
fn what_fails_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let fresh = |name: &str| Checkout::of("rust-app", &directory.path().join(name));

    let checkout = fresh("compile");
    checkout.write("src/main.rs", "fn main() { let x: u8 = \"no\"; }");
    let built = site.build(&plain(), Platform::AMD64, &checkout);
    let failure = built.error().failure().unwrap();
    assert_eq!((failure.phase, failure.status.as_str()), ("make", "exit status: 101"));
    assert!(failure.command.starts_with("cargo build --frozen"), "{}", failure.command);
    assert!(
        failure.tail.iter().any(|line| line.contains("error[E0308]: mismatched types")),
        "{:?}",
        failure.tail
    );
    assert!(std::fs::read_to_string(&failure.log).unwrap().contains("E0308"));
    assert_eq!(built.error().exit_code(), 3);

    let checkout = fresh("bin");
    let built = site.build(&spec(|rust| rust.bin = Some("other".into())), Platform::AMD64, &checkout);
    let failure = built.error().failure().unwrap();
    assert!(
        failure.tail.iter().any(|line| line.contains("no bin target named `other`")),
        "{:?}",
        failure.tail
    );

    let checkout = fresh("stale");
    let manifest = std::fs::read_to_string(checkout.root.join("Cargo.toml")).unwrap();
    checkout.write("Cargo.toml", &manifest.replace("[dependencies]", "[dependencies]\ncfg-if = \"1\""));
    let lock = std::fs::read(checkout.root.join("Cargo.lock")).unwrap();
    let built = site.build(&plain(), Platform::AMD64, &checkout);
    assert!(built.error().hint().unwrap().starts_with("Cargo.lock is not up to date"), "{:?}", built.lines);
    assert_eq!(std::fs::read(checkout.root.join("Cargo.lock")).unwrap(), lock);
    std::fs::remove_file(checkout.root.join("Cargo.lock")).unwrap();
    let error = site.build(&plain(), Platform::AMD64, &checkout);
    assert!(error.error().to_string().starts_with("Cargo.lock: there is no lock file"), "{}", error.error());

    let checkout = fresh("outside");
    let main = std::fs::read_to_string(checkout.root.join("src/main.rs")).unwrap();
    let outside = directory.path().join("outside.txt");
    std::fs::write(&outside, "x").unwrap();
    let line = format!("const _X: &str = include_str!({:?});\n", outside.to_str().unwrap());
    checkout.write("src/main.rs", &(main + &line));
    let built = site.build(&plain(), Platform::AMD64, &checkout);
    let message = format!("the build read {}, which is not one of its inputs", outside.display());
    assert_eq!(built.error().to_string(), message);

    let reserved = spec(|rust| _ = rust.env.insert("CARGO_HOME".into(), Template::text("/x")));
    let built = site.build(&reserved, Platform::AMD64, &fresh("reserved"));
    assert!(matches!(built.error(), BuilderError::Reserved { name } if name == "CARGO_HOME"));
}

#[test]
fn the_projects_own_flags_stay_and_paths_that_leak_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = Checkout::of("rust-app", &directory.path().join("checkout"));
    checkout.write(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"--cfg\", \"mine\"]\nrustc-wrapper = \"/nonexistent\"\n",
    );
    checkout.write(
        "src/main.rs",
        "fn main() { println!(\"{} {:?} {}\", cfg!(mine), option_env!(\"MINE\"), env!(\"CARGO_MANIFEST_DIR\")); }",
    );
    let mine = spec(|rust| _ = rust.env.insert("MINE".into(), Template::text("yes")));
    let built = site.build(&mine, Platform::AMD64, &checkout);
    assert!(built.run(Platform::AMD64, &[]).starts_with("true Some(\"yes\") /"));
    assert!(built.says("contains a path of the cache"), "{:?}", built.lines);
}

#[test]
fn cancelling_leaves_no_process_and_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let mut site = Site::new(&cache);
    let checkout = Checkout::of("rust-app", &directory.path().join("checkout"));
    checkout.write("build.rs", "fn main() { loop { std::thread::park() } }");
    let cancel = site.cancel.clone();
    site.watch = Box::new(move |line| {
        if line.contains("Compiling app") {
            cancel.cancel();
        }
    });
    let built = site.build(&plain(), Platform::AMD64, &checkout);
    assert!(matches!(built.error(), BuilderError::Cancelled(_)), "{:?}", built.error());
    assert_eq!(processes_of(&cache), 0);

    let site = Site::new(&cache);
    let checkout = Checkout::of("rust-app", &directory.path().join("checkout"));
    assert_eq!(site.build(&plain(), Platform::AMD64, &checkout).run(Platform::AMD64, &[]), "hello");
}

#[test]
fn two_at_once_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let texts = ["one", "two"].map(|text| {
        let checkout = Checkout::of("rust-app", &directory.path().join(text));
        checkout.write("src/greeting.txt", text);
        checkout
    });
    let build = |checkout: &Checkout| {
        Site::new(&cache).build(&plain(), Platform::AMD64, checkout).run(Platform::AMD64, &[])
    };
    let said = std::thread::scope(|scope| {
        let threads = [0, 1].map(|index| {
            scope.spawn({
                let checkout = &texts[index];
                move || build(checkout)
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(said, ["one", "two"]);
}

#[test]
fn the_tool_is_named_whole_and_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = Checkout::of("rust-app", &directory.path().join("checkout"));
    let tool = site.identify(&plain(), &checkout).unwrap();
    assert_eq!(tool.field("version"), "1.95.0");
    for name in ["commit", "llvm", "host", "cargo", "linker", "std"] {
        assert!(!tool.field(name).is_empty(), "{name}");
    }
    assert!(tool.identity.fields.iter().all(|(_, value)| !value.contains('/')), "{:?}", tool.identity);
    assert_eq!(site.identify(&plain(), &checkout).unwrap(), tool);

    let none = |_: &Value| None;
    let project = checkout.project();
    let fields = key_fields(&plain(), Platform::AMD64, &project, &none).unwrap();
    let other = spec(|rust| rust.features = vec!["x".into()]);
    assert_ne!(key_fields(&other, Platform::AMD64, &project, &none).unwrap(), fields);
    assert_ne!(key_fields(&plain(), Platform::ARM64, &project, &none).unwrap(), fields);
}

#[test]
fn what_is_not_installed_is_said_with_the_command_that_installs_it() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = Checkout::of("rust-app", &directory.path().join("checkout"));
    checkout.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.2.3\"\n");
    let error = site.identify(&plain(), &checkout).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Rust toolchain `1.2.3` that rust-toolchain.toml asks for is not installed"
    );
    let hint = "rustup toolchain install 1.2.3 --profile minimal --target x86_64-unknown-linux-musl";
    assert_eq!((error.hint().as_deref(), error.exit_code()), (Some(hint), 5));

    // A toolchain without the target.
    let fake = directory.path().join("fake");
    let script = |path: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = fake.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let root = fake.to_str().unwrap();
    script("rustup", &format!("echo {root}/t/bin/rustc"));
    script("t/bin/rustc", &format!("case $1 in -vV) echo 'release: 1.95.0';; *) echo {root}/t;; esac"));
    script("t/bin/cargo", "echo cargo 1.95.0");
    let path = format!("{root}:/usr/bin:/bin");
    let site = Site::with(&directory.path().join("cache"), &[("PATH", &path)]);
    checkout.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\"\n");
    let error = site.identify(&plain(), &checkout).unwrap_err();
    assert_eq!(error.to_string(), "the Rust toolchain `1.95.0` has no target x86_64-unknown-linux-musl");
    let hint = "rustup target add x86_64-unknown-linux-musl --toolchain 1.95.0";
    assert_eq!(error.hint().as_deref(), Some(hint));

    let nothing = Path::new("/nonexistent").to_str().unwrap();
    let site = Site::with(
        &directory.path().join("cache"),
        &[("PATH", nothing), ("HOME", nothing), ("CARGO_HOME", nothing)],
    );
    let error = site.identify(&plain(), &checkout).unwrap_err();
    assert_eq!(error.to_string(), "rustc is not installed");
    assert_eq!(error.hint().as_deref(), Some("install rustup from https://rustup.rs"));
}
