//! Programs of one Cargo workspace: what of it they are built from, and what they share.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use imgpack::model::Platform;
use imgpack::spec::{Build, RustBuild, RustTarget, Template};

use crate::fixture::{Built, Checkout, Site};

fn program(package: &str, change: impl FnOnce(&mut RustBuild)) -> Build {
    let mut build = RustBuild {
        package: Some(package.into()),
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

/// `core` and `other` depend on `words` and on a crate from outside; `tool` is for the tests of `core`.
fn workspace(root: &Path) -> Checkout {
    let checkout = Checkout { root: root.to_owned(), dir: ".".to_owned() };
    checkout.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"2\"\n\n[workspace.dependencies]\nwords = { path = \"crates/words\" }\n",
    );
    let package = |name: &str, rest: &str| {
        let text = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}");
        checkout.write(&format!("crates/{name}/Cargo.toml"), &text);
    };
    let main =
        "fn main() {\n    println!(\"NAME {} {}\", words::text(), itoa::Buffer::new().format(5));\n}\n";
    for name in ["core", "other"] {
        let dev = if name == "core" { "\n[dev-dependencies]\ntool = { path = \"../tool\" }\n" } else { "" };
        package(name, &format!("\n[dependencies]\nwords.workspace = true\nitoa = \"1.0.14\"\n{dev}"));
        checkout.write(&format!("crates/{name}/src/main.rs"), &main.replace("NAME", name));
    }
    package("words", "\n[features]\nloud = []\n");
    checkout.write("crates/words/src/lib.rs", WORDS);
    checkout.write("crates/words/src/text.txt", "A1");
    package("tool", "");
    checkout.write("crates/tool/src/lib.rs", "");
    checkout.write("docs/index.md", "");
    let outside = "name = \"itoa\"\nversion = \"1.0.18\"\n\
        source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
        checksum = \"8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682\"";
    let rows = [
        "name = \"core\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n \"tool\",\n \"words\",\n]",
        outside,
        "name = \"other\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n \"words\",\n]",
        "name = \"tool\"\nversion = \"0.1.0\"",
        "name = \"words\"\nversion = \"0.1.0\"",
    ];
    let rows: Vec<String> = rows.iter().map(|row| format!("[[package]]\n{row}\n")).collect();
    checkout.write("Cargo.lock", &format!("version = 4\n\n{}", rows.join("\n")));
    let toolchain = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-toolchain.toml");
    std::fs::copy(toolchain, checkout.root.join("rust-toolchain.toml")).unwrap();
    checkout
}

const WORDS: &str = "pub fn text() -> &'static str {\n    include_str!(\"text.txt\").trim()\n}\n";

/// The packages that were compiled, in order of their names.
fn compiled(built: &Built) -> Vec<String> {
    built.artefact();
    let mut names: Vec<String> = built
        .lines
        .iter()
        .filter_map(|line| Some(line.trim().strip_prefix("Compiling ")?.split(' ').next()?.to_owned()))
        .collect();
    names.sort();
    names
}

#[test]
fn dependencies_are_compiled_once_and_programs_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let first = workspace(&directory.path().join("first"));
    let (core, other) = (program("core", |_| {}), program("other", |_| {}));
    let build = |spec: &Build, checkout: &Checkout| site.build(spec, Platform::AMD64, checkout);

    let built = build(&core, &first);
    assert_eq!(compiled(&built), ["core", "itoa", "words"]);
    assert_eq!(built.run(Platform::AMD64, &[]), "core A1 5");
    let original = built.bytes();
    // Another program of the workspace shares the crates from outside.
    let built = build(&other, &first);
    assert_eq!(compiled(&built), ["other", "words"]);
    assert_eq!(built.run(Platform::AMD64, &[]), "other A1 5");
    // A change of one's own source compiles that alone, whoever was built before.
    first.write("crates/core/src/main.rs", "fn main() {\n    println!(\"changed {}\", words::text());\n}\n");
    let built = build(&core, &first);
    assert_eq!(
        (compiled(&built), built.run(Platform::AMD64, &[])),
        (vec!["core".to_owned()], "changed A1".into())
    );
    assert!(compiled(&build(&other, &first)).is_empty());
    // Another checkout with the same lock file.
    let second = workspace(&directory.path().join("second"));
    let built = build(&core, &second);
    assert_eq!((compiled(&built), built.bytes() == original), (vec!["core".to_owned()], true));

    // Equal sizes, times of the past, two checkouts, both orders: always the text that is there.
    let old = SystemTime::now() - Duration::from_hours(24);
    let say = |checkout: &Checkout, spec: &Build, text: &str| {
        checkout.write("crates/words/src/text.txt", text);
        let path = checkout.root.join("crates/words/src/text.txt");
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        let built = build(spec, checkout);
        assert!(!compiled(&built).contains(&"itoa".to_owned()), "{:?}", built.lines);
        built.run(Platform::AMD64, &[])
    };
    for (checkout, name, text) in [
        (&second, "core", "B2"),
        (&second, "other", "A1"),
        (&second, "core", "A1"),
        (&second, "other", "B2"),
        (&first, "other", "C3"),
        (&second, "core", "B2"),
    ] {
        let spec = if name == "core" { &core } else { &other };
        let said = say(checkout, spec, text);
        assert!(said.contains(text), "{name} {text}: {said}");
    }
    assert_eq!(say(&second, &core, "A1"), "core A1 5");
    assert!(build(&core, &second).bytes() == original);

    // Another lock file, and the one before.
    let lock = std::fs::read_to_string(second.root.join("Cargo.lock")).unwrap();
    let older = "d75a2a4b1b190afb6f5425f10f6a8f959d2ea0b9c2b1d79553551850539e4674";
    let newer = "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682";
    second.write("Cargo.lock", &lock.replace("1.0.18", "1.0.14").replace(newer, older));
    let built = build(&core, &second);
    assert!(built.says("Compiling itoa v1.0.14") && built.bytes() != original, "{:?}", built.lines);
    second.write("Cargo.lock", &lock);
    assert!(build(&core, &second).bytes() == original);

    // Features of the command line and of manifests, configuration.
    let loud = program("core", |rust| rust.features = vec!["words/loud".into()]);
    second.write(
        "crates/words/src/lib.rs",
        &WORDS.replace(
            "{\n",
            "{\n    if cfg!(feature = \"loud\") { return \"LOUD\" }\n    if cfg!(set) { return \"SET\" }\n",
        ),
    );
    assert_eq!(build(&loud, &second).run(Platform::AMD64, &[]), "core LOUD 5");
    assert_eq!(build(&core, &second).run(Platform::AMD64, &[]), "core A1 5");
    second.write(".cargo/config.toml", "[build]\nrustflags = [\"--cfg\", \"set\"]\n");
    assert_eq!(build(&core, &second).run(Platform::AMD64, &[]), "core SET 5");
    std::fs::remove_file(second.root.join(".cargo/config.toml")).unwrap();
    assert_eq!(build(&core, &second).run(Platform::AMD64, &[]), "core A1 5");
}

#[test]
fn a_package_beside_the_members_is_not_mixed_up() {
    // Cargo tells such packages apart by their place in the workspace alone.
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = workspace(&directory.path().join("checkout"));
    let manifest = std::fs::read_to_string(checkout.root.join("Cargo.toml")).unwrap();
    checkout.write("Cargo.toml", &manifest.replace("resolver", "exclude = [\"crates/words\"]\nresolver"));
    let (core, other) = (program("core", |_| {}), program("other", |_| {}));
    let say = |spec: &Build, text: &str| {
        checkout.write("crates/words/src/text.txt", text);
        site.build(spec, Platform::AMD64, &checkout).run(Platform::AMD64, &[])
    };
    assert_eq!(say(&core, "A1"), "core A1 5");
    assert_eq!(say(&other, "B2"), "other B2 5");
    assert_eq!(say(&core, "A1"), "core A1 5");
    assert_eq!(say(&other, "A1"), "other A1 5");
    assert_eq!(say(&core, "B2"), "core B2 5");
}

#[test]
fn what_is_read_is_an_input_or_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = workspace(&directory.path().join("checkout"));
    let core = program("core", |_| {});
    let script =
        |line: &str| checkout.write("crates/core/build.rs", &format!("fn main() {{\n    {line}\n}}\n"));
    let says = |spec: &Build| {
        let built = site.build(spec, Platform::AMD64, &checkout);
        match &built.result {
            Ok(_) => built.run(Platform::AMD64, &[]),
            Err(error) => error.to_string(),
        }
    };
    let outside = |path: &str| format!("the build read {path}, which is not one of its inputs");

    // Variables: of build scripts, of compilations of a library.
    script(
        "println!(\"cargo::rerun-if-env-changed=MINE\"); println!(\"cargo::rerun-if-env-changed=TARGET\");",
    );
    let message =
        "the package in crates/core reads the environment variable MINE, which the spec does not declare";
    assert_eq!(says(&core), message);
    let built = site.build(&core, Platform::AMD64, &checkout);
    assert_eq!(
        built.error().hint().unwrap(),
        "builds see no environment: give the value, empty too, in `build.rust.env: { MINE: \"\" }`"
    );
    assert_eq!(built.error().exit_code(), 3);
    let mine = program("core", |rust| _ = rust.env.insert("MINE".into(), Template::text("1")));
    assert_eq!(says(&mine), "core A1 5");
    script("println!(\"cargo::rustc-env=GIVEN=yes\");");
    checkout.write(
        "crates/core/src/main.rs",
        "fn main() {\n    println!(\"{} {}\", env!(\"GIVEN\"), env!(\"SET\"));\n}\n",
    );
    checkout.write(".cargo/config.toml", "[env]\nSET = \"too\"\n");
    assert_eq!(says(&core), "yes too");
    checkout.write(
        "crates/words/src/lib.rs",
        "pub fn text() -> Option<&'static str> {\n    option_env!(\"A\").or(option_env!(\"B\"))\n}\n",
    );
    let message =
        "the package in crates/words reads the environment variables A, B, which the spec does not declare";
    checkout.write("crates/core/src/main.rs", "fn main() {\n    println!(\"{:?}\", words::text());\n}\n");
    assert_eq!(says(&core), message);
    // Nothing is compiled, and it is still told.
    assert_eq!(says(&core), message);
    checkout.write("crates/words/src/lib.rs", WORDS);

    // Files: what another package or nobody has, what is not in the workspace.
    script("println!(\"cargo::rerun-if-changed=../tool/src/lib.rs\");");
    assert_eq!(says(&core), outside("crates/tool/src/lib.rs"));
    script("println!(\"cargo::rerun-if-changed=../../docs\");");
    assert_eq!(says(&core), outside("docs/index.md"));
    script("println!(\"cargo::rerun-if-changed=/etc/passwd\");");
    assert_eq!(says(&core), outside("/etc/passwd"));
    script(
        "println!(\"cargo::rerun-if-changed=../words\"); println!(\"cargo::rerun-if-changed=../../.git/HEAD\");",
    );
    assert_eq!(says(&core), "\"A1\"");
    script("println!(\"{}\", include_str!(\"/etc/hostname\").len());");
    assert_eq!(says(&core), outside("/etc/hostname"));
    script("println!(\"{}\", include_str!(\"../tool/src/lib.rs\").len());");
    assert_eq!(says(&core), outside("crates/tool/src/lib.rs"));
    // A stand-in that is compiled says so.
    std::fs::remove_file(checkout.root.join("crates/core/build.rs")).unwrap();
    checkout
        .write("crates/core/src/main.rs", "#[path = \"../../tool/src/lib.rs\"]\nmod tool;\nfn main() {}\n");
    let built = site.build(&core, Platform::AMD64, &checkout);
    assert!(built.says("not an input of this image"), "{:?}", built.lines);
}
