use std::collections::BTreeMap;

use imgpack::builder::BuilderError;
use imgpack::model::{Class, ImagePath, Platform};
use imgpack::spec::{Build, GoBuild, Part, Template, Value};

use crate::fixture::{Checkout, Site};

fn spec(change: impl FnOnce(&mut GoBuild)) -> Build {
    let mut build = GoBuild {
        package: "./cmd/app".into(),
        to: ImagePath::parse("/app/server").unwrap(),
        tags: vec![],
        ldflags: "-s -w".into(),
        stamp: BTreeMap::new(),
        env: BTreeMap::new(),
        class: Class::App,
    };
    change(&mut build);
    Build::Go(build)
}

fn plain() -> Build {
    spec(|_| {})
}

#[test]
fn equal_bytes_whatever_is_around() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    let quiet = Site::new(&base.join("one/cache"));
    let first = Checkout::of("go-app", &base.join("one/checkout"));

    let odd = base.join("ünï ço'de $(x)");
    std::fs::create_dir_all(odd.join("cache")).unwrap();
    for path in ["go.work", "cache/go.work"] {
        std::fs::write(odd.join(path), "go 1.24\nuse ./nowhere\n").unwrap();
    }
    let hostile = Site::with(
        &odd.join("cache/v1"),
        &[
            ("GOFLAGS", "-race -mod=mod -tags=hostile"),
            ("GOWORK", "/nonexistent/go.work"),
            ("GOENV", "/nonexistent/env"),
            ("GOOS", "plan9"),
            ("CGO_ENABLED", "1"),
            ("GOAMD64", "v3"),
            ("GOEXPERIMENT", "hostile"),
            ("GOTOOLCHAIN", "go1.99.9"),
            ("GODEBUG", "hostile=1"),
            ("GOCACHE", "/nonexistent"),
            ("TMPDIR", "/nonexistent"),
        ],
    );
    let second = Checkout::of("go-app", &odd.join("checkout"));
    for platform in Platform::ALL {
        let (one, two) =
            (quiet.build(&plain(), platform, &first), hostile.build(&plain(), platform, &second));
        assert!(one.bytes() == two.bytes(), "{platform}");
        assert_eq!((one.artefact().name.as_str(), one.artefact().executable), ("server", true));
        assert!(!one.says("path of the cache"), "{:?}", one.lines);
        assert_eq!(
            one.run(platform, &[]),
            "none hello Don't communicate by sharing memory, share memory by communicating."
        );
    }
}

#[test]
fn stamps_workspaces_and_changes() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let checkout = Checkout::of("go-app", &directory.path().join("checkout"));
    let stamped = spec(|go| {
        go.stamp.insert("main.version".into(), Template(vec![Part::Value(Value::GitTag)]));
    });
    let built = site.build(&stamped, Platform::AMD64, &checkout);
    assert!(built.run(Platform::AMD64, &[]).starts_with("v1.2.3 'x' hello"));
    checkout.write("greet/greet.go", "package greet\n\nfunc Text() string { return \"bye\" }\n");
    assert!(site.build(&stamped, Platform::AMD64, &checkout).run(Platform::AMD64, &[]).contains("'x' bye "));

    // The same package out of a workspace in the source root, with `source.dir` below it.
    let root = directory.path().join("workspace");
    let mut inner = Checkout::of("go-app", &root.join("app"));
    (inner.root, inner.dir) = (root, "app".to_owned());
    inner.write("go.work", "go 1.24\nuse ./app\nuse ./quote\nreplace rsc.io/quote v1.5.2 => ./quote\n");
    inner.write("quote/go.mod", "module rsc.io/quote\n\ngo 1.24\n");
    inner.write("quote/quote.go", "package quote\n\nfunc Go() string { return \"local\" }\n");
    inner.write("go.work", "go 1.24\nuse (\n\t./app\n\t./quote\n)\n");
    let built = site.build(&plain(), Platform::AMD64, &inner);
    assert_eq!(built.run(Platform::AMD64, &[]), "none hello local");

    // Dependencies in the repository: nothing is fetched, whatever the host says.
    let vendored = Checkout::of("go-app", &directory.path().join("vendored"));
    let done = std::process::Command::new("go").args(["mod", "vendor"]).current_dir(&vendored.root).status();
    assert!(done.unwrap().success());
    let poor =
        Site::with(&directory.path().join("poor"), &[("GOPROXY", "off"), ("GOMODCACHE", "/nonexistent")]);
    assert!(
        poor.build(&plain(), Platform::AMD64, &vendored).run(Platform::AMD64, &[]).contains(" hello Don't")
    );
    assert!(!directory.path().join("poor/go/mod").exists());

    let fresh = Site { fresh: Some("1".into()), ..Site::new(&directory.path().join("cache")) };
    assert!(fresh.build(&plain(), Platform::AMD64, &inner).bytes() == built.bytes());
}

#[test]
fn what_fails_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(&directory.path().join("cache"));
    let fresh = |name: &str| Checkout::of("go-app", &directory.path().join(name));

    let checkout = fresh("compile");
    checkout.write("greet/greet.go", "package greet\n\nfunc Text() string { return 1 }\n");
    let secret = spec(|go| _ = go.stamp.insert("main.version".into(), Template::text("hunter2")));
    let built = site.build(&secret, Platform::AMD64, &checkout);
    let failure = built.error().failure().unwrap();
    assert_eq!(
        built.error().to_string(),
        "`go build -trimpath -buildvcs=false -p=2 '-ldflags=-s -w -X '\\''main.version=…'\\''' -o server -- ./cmd/app` \
         failed in the make phase: exit status: 1"
    );
    assert!(failure.tail.iter().any(|line| line.contains("greet/greet.go:3:")), "{:?}", failure.tail);
    assert!(!std::fs::read_to_string(&failure.log).unwrap().contains("hunter2"));
    assert_eq!(built.error().exit_code(), 3);

    let checkout = fresh("sum");
    checkout.write("go.sum", "");
    let built = site.build(&plain(), Platform::AMD64, &checkout);
    assert_eq!(
        built.error().hint().as_deref(),
        Some("run `go mod tidy` and commit go.mod and go.sum"),
        "{:?}",
        built.lines
    );

    let checkout = fresh("wrong sum");
    let sum = std::fs::read_to_string(checkout.root.join("go.sum")).unwrap();
    checkout.write("go.sum", &sum.replace("w5fcysjrx7yq", "w5fcysjrx7yr"));
    let built = Site::new(&directory.path().join("other")).build(&plain(), Platform::AMD64, &checkout);
    let failure = built.error().failure().unwrap();
    assert_eq!(failure.phase, "fetch");
    assert!(failure.tail.iter().any(|line| line.contains("checksum mismatch")), "{:?}", failure.tail);

    let checkout = fresh("library");
    let built = site.build(&spec(|go| go.package = "./greet".into()), Platform::AMD64, &checkout);
    assert_eq!(built.error().to_string(), "the binary `server` was not made: ./greet is not a main package");

    let checkout = fresh("new");
    let modfile = std::fs::read_to_string(checkout.root.join("go.mod")).unwrap();
    checkout.write("go.mod", &modfile.replace("go 1.24", "go 1.99.1\n\ntoolchain go1.99.2"));
    let error = site.identify(&plain(), &checkout).unwrap_err();
    assert!(error.to_string().starts_with("go.mod wants go 1.99.1, and go 1."), "{error}");
    assert_eq!(error.hint().as_deref(), Some("install go 1.99.1 or later from https://go.dev/dl"));

    let site = Site::with(&directory.path().join("cache"), &[("PATH", "/nonexistent")]);
    let error = site.identify(&plain(), &fresh("none")).unwrap_err();
    assert!(matches!(error, BuilderError::MissingProgram { .. }));
    assert_eq!(error.to_string(), "go is not installed");
    assert_eq!(error.hint().as_deref(), Some("install Go from https://go.dev/dl and put it on the PATH"));
}
