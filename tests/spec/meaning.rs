use std::collections::BTreeMap;
use std::time::Duration;

use imgpack::model::{Class, Compression, Owner, Platform};
use imgpack::spec::{
    ApkLocation, Base, Build, Component, FileKind, HealthTest, ImageSpec, Inherit, Init, Keep, Packages,
    Part, RustTarget, Template, Value,
};

use crate::memory::{Memory, one, try_one};

fn texts(templates: &Inherit<Vec<Template>>) -> Vec<String> {
    let Inherit::Set(templates) = templates else { panic!("{templates:?}") };
    templates.iter().map(ToString::to_string).collect()
}

fn env(spec: &ImageSpec) -> BTreeMap<&str, String> {
    spec.image
        .env
        .iter()
        .map(|(name, value)| match value {
            Inherit::Set(value) => (name.as_str(), value.to_string()),
            other => (name.as_str(), format!("{other:?}")),
        })
        .collect()
}

/// The plain spec of `app` in a workspace of these files.
fn app(files: &[(&str, &str)]) -> ImageSpec {
    let workspace = Memory::new(files).load().unwrap_or_else(|problems| panic!("{problems}"));
    workspace.select(&["app".parse().unwrap()], None).unwrap().remove(0)
}

#[test]
fn nothing_said() {
    let spec = one("");
    assert_eq!(spec.base, Base::Static);
    assert_eq!(spec.build, None);
    assert_eq!(spec.source.dir.path, ".");
    assert_eq!(spec.platforms, Platform::ALL);
    assert_eq!(spec.tags, [Template::text("latest")]);
    assert_eq!(spec.repository, "app");
    assert_eq!(spec.image.user, Inherit::Base);
    assert!(!spec.stamp && !spec.docker_media_types && !spec.index_always);
    assert_eq!(spec.site.to_string(), "buildspecs/app.yaml:1:1");
}

#[test]
fn compression() {
    for (text, expected) in [
        ("", Compression::Gzip(6)),
        ("compression: gzip", Compression::Gzip(6)),
        ("compression: gzip:12", Compression::Gzip(12)),
        ("compression: zstd", Compression::Zstd(3)),
        ("compression: 'zstd:19'", Compression::Zstd(19)),
        ("compression: none", Compression::None),
        ("compression: none\nmediaTypes: docker", Compression::None),
        ("args: { L: '9' }\ncompression: 'gzip:${arg.L}'", Compression::Gzip(9)),
    ] {
        assert_eq!(one(text).compression, expected, "{text}");
    }
}

#[test]
fn builders() {
    let Some(Build::Go(go)) = one("build: { go: {} }").build else { panic!("no go") };
    assert_eq!((go.package.as_str(), go.to.as_str(), go.ldflags.as_str()), (".", "/app/app", "-s -w"));
    let spec = one(
        "args: { V: '1' }\nbuild: { go: { package: .//cmd/./gate, tags: [a, 'x${arg.V}'], ldflags: '-s -X a=${arg.V}',\
         stamp: { main.v: '${git:tag}', a.b/c.D: x }, env: { A: '${target.arch}' } } }",
    );
    let Some(Build::Go(go)) = spec.build else { panic!("no go") };
    assert_eq!(
        (go.package.as_str(), go.to.as_str(), go.ldflags.as_str()),
        ("./cmd/gate", "/app/gate", "-s -X a=1")
    );
    assert_eq!(go.tags, ["a", "x1"]);
    assert_eq!(go.stamp["main.v"], Template(vec![Part::Value(Value::GitTag)]));
    assert_eq!(go.env["A"].to_string(), "${target.arch}");

    let Some(Build::Rust(rust)) = one("build: { rust: {} }").build else { panic!("no rust") };
    assert_eq!(
        (rust.profile.as_str(), rust.default_features, rust.target),
        ("release", true, RustTarget::Musl)
    );
    assert_eq!((rust.package, rust.bin, rust.to), (None, None, None));
}

#[test]
fn bases() {
    let Base::Rootfs(files) =
        one("platforms: [linux/arm64]\nbase: { rootfs: { linux/arm64: ../bases/a.tar.gz } }").base
    else {
        panic!("no rootfs")
    };
    assert_eq!(files[&Platform::ARM64].path, "bases/a.tar.gz");
    assert_eq!(one("base: scratch").base, Base::Scratch);
    assert_eq!(one("base: ghcr.io/a/b:1").base, Base::Registry("ghcr.io/a/b:1".to_owned()));
    let Base::OciLayout(path) = one("base: 'oci:x'").base else { panic!("no layout") };
    assert_eq!(path.path, "buildspecs/x");
    let Base::OciArchive(path) = one("base: 'oci-archive:../x.tar'").base else { panic!("no archive") };
    assert_eq!(path.path, "x.tar");
    let Base::DockerArchive(_) = one("base: 'docker-archive:x.tar'").base else { panic!("no archive") };
    let text = "args: { V: '3.20' }\nbase: 'docker.io/library/alpine:${arg.V}'";
    assert_eq!(one(text).base, Base::Registry("docker.io/library/alpine:3.20".to_owned()));
    assert!(try_one("args: { V: alpine }\nbase: '${arg.V}'").unwrap_err().contains("which registry"));
}

#[test]
fn packages() {
    let Some(Packages::Debian(debian)) = one("args: { V: '15' }\npackages:\n  debian:\n    suite: trixie\n    \
         install: [curl, libpq5=17.2-1+b1, 'postgresql-${arg.V}', g++]\n    exclude: [perl, perl]\n    \
         keep: [man, docs]\n    scripts: { perl: ignore, curl: null }\n    repositories:\n    \
         - { url: 'https://apt.example.org/debian/', suite: trixie, components: [main, a/b], key: a.asc }\n    \
         - { url: 'http://apt.example.org', suite: ./, key: b.asc }")
    .packages
    else {
        panic!("no packages of Debian")
    };
    assert_eq!(debian.suite, "trixie");
    assert_eq!(debian.install, ["curl", "libpq5=17.2-1+b1", "postgresql-15", "g++"]);
    assert_eq!(debian.exclude, ["perl"]);
    assert_eq!(debian.keep, Keep { docs: true, man: true, locales: false });
    assert_eq!(debian.scripts_ignored.into_iter().collect::<Vec<_>>(), ["perl"]);
    let repositories: Vec<_> = debian
        .repositories
        .iter()
        .map(|row| (row.url.as_str(), row.suite.as_str(), row.components.len()))
        .collect();
    assert_eq!(
        repositories,
        [("https://apt.example.org/debian", "trixie", 2), ("http://apt.example.org", "./", 0)]
    );
    assert_eq!(debian.repositories[0].key.path, "buildspecs/a.asc");
    assert_eq!(debian.site.to_string(), "buildspecs/app.yaml:4:5");

    let wanted =
        ["curl", "curl=8.14.1-r2", "curl~8", "curl>=8", "so:libpq.so.5", "cmd:psql", "!perl", "pc:x=1.2"];
    let Some(Packages::Apk(apk)) = one(&format!(
        "packages: {{ apk: {{ install: ['{}'], repositories: [{{ dir: ../apks, key: k.rsa.pub }}, {{ url: 'https://a.b/c/' }}] }} }}",
        wanted.join("', '")
    ))
    .packages
    else {
        panic!("no packages of Alpine")
    };
    assert_eq!(apk.install, wanted);
    assert!(matches!(&apk.repositories[0].from, ApkLocation::Directory(path) if path.path == "apks"));
    assert!(matches!(&apk.repositories[1].from, ApkLocation::Url(url) if url == "https://a.b/c"));
    assert_eq!(apk.repositories[1].key, None);

    assert_eq!(one("packages: {}").packages, None);
    assert_eq!(one("packages: { debian: null }").packages, None);
}

/// The other distribution replaces, the same one is laid over, and `null` removes.
#[test]
fn packages_of_variants() {
    let spec = |variant: &str| {
        let text = "packages: { debian: { suite: trixie, install: [curl], keep: [docs] } }\nvariants:\n  \
             apk: { packages: { apk: { install: [curl] } } }\n  \
             more: { packages: { debian: { install+: [jq] } } }\n  none: { packages: null }\n";
        let workspace =
            Memory::new(&[("buildspecs/app.yaml", text)]).load().unwrap_or_else(|p| panic!("{p}"));
        workspace.select(&[format!("app@{variant}").parse().unwrap()], None).unwrap().remove(0).packages
    };
    assert!(matches!(spec("apk"), Some(Packages::Apk(apk)) if apk.install == ["curl"]));
    assert!(
        matches!(spec("more"), Some(Packages::Debian(debian)) if debian.install == ["curl", "jq"] && debian.keep.docs)
    );
    assert_eq!(spec("none"), None);
}

#[test]
fn init_and_elf() {
    assert_eq!(one("").init, None);
    assert_eq!(one("init: false").init, None);
    assert_eq!(one("init: true").init, Some(Init::default()));
    let init = one("args: { A: up }\ninit:\n  expand: true\n  wait: ['db:5432', '[::1]:1', '$${DB}:5432']\n  \
         before: [[/app/migrate, '${arg.A}'], [x]]\n  render: [{ from: /a, to: /b, only: [A, B_1] }, { from: /c, to: /d }]")
    .init
    .unwrap();
    assert!(init.expand);
    assert_eq!(init.wait, ["db:5432", "[::1]:1", "${DB}:5432"]);
    assert_eq!(init.before, [vec!["/app/migrate", "up"], vec!["x"]]);
    assert_eq!((init.render[0].from.as_str(), init.render[0].to.as_str()), ("/a", "/b"));
    assert_eq!(
        (init.render[0].only.as_slice(), init.render[1].only.len()),
        (["A".into(), "B_1".into()].as_slice(), 0)
    );
    let elf = one("elf: { allow: ['libcuda.so.*'], ignore: ['/app/**/prebuilds/**'] }").elf;
    assert_eq!((elf.allow.as_slice(), elf.ignore.len()), (["libcuda.so.*".to_owned()].as_slice(), 1));
    assert_eq!(one("components: [probe, init]").components.len(), 2);
}

/// Images of the workspace, as bases and for their files.
#[test]
fn other_images() {
    let workspace = Memory::new(&[
        ("buildspecs/python3.yaml", "variants: { slim: { platforms: [linux/amd64] } }"),
        ("buildspecs/tools.yaml", "images: { a: {}, b: { base: 'spec:python3' } }"),
        (
            "buildspecs/app.yaml",
            "args: { B: python3 }\nbase: 'spec:${arg.B}'\nfiles:\n- { from: 'spec:tools/b', path: /x/, to: /y/, include: [z] }\n\
             variants: { slim: { base: spec:python3@slim, platforms: [linux/amd64], files: null } }",
        ),
    ])
    .load_with(&["args.B=python3"])
    .unwrap_or_else(|problems| panic!("{problems}"));
    let select =
        |name: &str| workspace.select(&[name.parse().unwrap()], None).map(|mut specs| specs.remove(0));
    let app = select("app").unwrap();
    assert_eq!(app.base, Base::Spec("python3".parse().unwrap()));
    let FileKind::Spec { identity, path, include, .. } = &app.files[0].kind else { panic!("no spec") };
    assert_eq!((identity.to_string(), path.as_ref().unwrap().as_str()), ("tools/b".to_owned(), "/x"));
    assert_eq!(include, &["z"]);
    let slim = select("app@slim").unwrap();
    let Base::Spec(identity) = &slim.base else { panic!("no spec") };
    assert_eq!(slim.needs.iter().map(|need| &need.identity).collect::<Vec<_>>(), [identity]);
    let needs: Vec<_> = app.needs.iter().map(|need| (need.identity.to_string(), need.needs.len())).collect();
    assert_eq!(needs, [("python3".to_owned(), 0), ("tools/b".to_owned(), 1)]);
    assert_eq!(app.needs[1].needs, app.needs[..1]);

    // What `--set` names has to be there too.
    let text = [("buildspecs/app.yaml", "")];
    let workspace = Memory::new(&text).load_with(&["base=spec:other"]).unwrap();
    let message = workspace.select(&[], None).unwrap_err().to_string();
    assert!(message.contains("there is no service `other`"), "{message}");
}

#[test]
fn mirrors_of_packages() {
    let text = "apiVersion: imgpack/v1\nmirrors: { debian: ['https://a.b/debian/', 'http://c.d'], docker.io: [m.example] }";
    let workspace = Memory::new(&[("imgpack.yaml", text)]).load().unwrap();
    assert_eq!(workspace.debian_mirrors, ["https://a.b/debian", "http://c.d"]);
    assert!(workspace.apk_mirrors.is_empty());
    assert_eq!(workspace.mirrors.keys().collect::<Vec<_>>(), ["docker.io"]);
}

#[test]
fn files() {
    let spec = one("image: { user: { name: app, uid: 7, gid: 8 } }\n\
         files:\n\
         - { from: a, to: /a, mode: '4755', owner: app, class: deps, include: [x], exclude: [y], replace: true }\n\
         - { from: b/, to: / }\n\
         - { to: /d/, dir: true, owner: '1:2', mode: '0700' }\n\
         - { to: /l, link: ../x, owner: 'app:app' }\n\
         - { to: /t, text: \"a${target.arch}\", class: config }\n");
    let copy = &spec.files[0];
    assert_eq!((copy.mode, copy.owner), (Some(0o4755), Some(Owner { uid: 7, gid: 8 })));
    assert_eq!((copy.class, copy.replace), (Class::Deps, true));
    let FileKind::Copy { from, include, exclude } = &copy.kind else { panic!("no copy") };
    assert_eq!((from.path.as_str(), include.len(), exclude.len()), ("buildspecs/a", 1, 1));
    assert_eq!(from.site.to_string(), "buildspecs/app.yaml:3:11");
    assert_eq!(spec.files[1].to, None);
    assert_eq!(spec.files[2].kind, FileKind::Directory);
    assert_eq!(spec.files[2].owner, Some(Owner { uid: 1, gid: 2 }));
    assert_eq!(spec.files[3].kind, FileKind::Link("../x".to_owned()));
    assert_eq!(spec.files[3].owner, Some(Owner { uid: 7, gid: 8 }));
    assert!(matches!(&spec.files[4].kind, FileKind::Text(text) if text.to_string() == "a${target.arch}"));

    let short = one("files: { /srv/www: web, /: root, /gone: null }");
    let shown: Vec<_> = short
        .files
        .iter()
        .map(|rule| match &rule.kind {
            FileKind::Copy { from, .. } => (rule.to.as_ref().map(ToString::to_string), from.path.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, [(None, "buildspecs/root".into()), (Some("/srv/www".into()), "buildspecs/web".into())]);
}

#[test]
fn the_image() {
    let spec = one(
        "components: [tzdata, ca-certificates, tzdata]\nremove: [/usr/share//doc/]\ncertificates: [ca.pem]\n\
         stamp: true\nmediaTypes: docker\nindex: always\nplatforms: [linux/arm64, linux/amd64]\n\
         image:\n\
         \x20 user: '1001'\n  entrypoint: [sh, -c, 'echo $${HOME}']\n  cmd: null\n\
         \x20 env: { A: '${base.PATH}', B: null, C: '${git:sha}' }\n  workdir: /\n\
         \x20 ports: { http: 8000, dns: 53/udp, gone: null }\n  volumes: [/data]\n  stopSignal: SIGINT\n\
         \x20 labels: { a: b, c: null }\n  annotations: { x: y }\n  info: { title: t }\n\
         \x20 healthcheck: { command: [x, y], interval: 1m30s, timeout: 500ms, retries: 3, startPeriod: 10s }\n",
    );
    assert_eq!(
        spec.components.into_iter().collect::<Vec<_>>(),
        [Component::CaCertificates, Component::Tzdata]
    );
    assert_eq!(spec.remove[0].as_str(), "/usr/share/doc");
    assert_eq!(spec.certificates[0].path, "buildspecs/ca.pem");
    assert!(spec.stamp && spec.docker_media_types && spec.index_always);
    assert_eq!(spec.platforms, Platform::ALL);
    let image = &spec.image;
    let Inherit::Set(user) = &image.user else { panic!("no user") };
    assert_eq!((user.uid, user.gid, &user.name, &user.group), (1001, 1001, &None, &None));
    assert_eq!(texts(&image.entrypoint), ["sh", "-c", "echo $${HOME}"]);
    let Inherit::Set(entrypoint) = &image.entrypoint else { panic!("no entrypoint") };
    assert_eq!(entrypoint[2], Template::text("echo ${HOME}"));
    assert_eq!(image.cmd, Inherit::Removed);
    assert_eq!(image.env["B"], Inherit::Removed);
    assert!(matches!(&image.env["C"], Inherit::Set(value) if value.is_volatile()));
    assert_eq!(image.workdir, Inherit::Set("/".to_owned()));
    let ports = BTreeMap::from([("dns".into(), "53/udp".into()), ("http".into(), "8000/tcp".into())]);
    assert_eq!(image.ports, Inherit::Set(ports));
    assert_eq!(image.labels["c"], Inherit::Removed);
    assert_eq!((image.annotations.len(), image.info.len()), (1, 1));
    let Inherit::Set(health) = &image.healthcheck else { panic!("no health check") };
    assert_eq!(health.test, HealthTest::Command(vec!["x".into(), "y".into()]));
    assert_eq!((health.interval, health.retries), (Some(Duration::from_secs(90)), Some(3)));

    let spec = one("image: { ports: [8000, 53/udp, '53'], user: { name: app, uid: 5 }, healthcheck: none }");
    let ports = [("53", "53/tcp"), ("53/udp", "53/udp"), ("8000", "8000/tcp")];
    let ports = ports.map(|(name, port)| (name.to_owned(), port.to_owned()));
    assert_eq!(spec.image.ports, Inherit::Set(BTreeMap::from(ports)));
    let Inherit::Set(user) = &spec.image.user else { panic!("no user") };
    assert_eq!((user.gid, user.group.as_deref()), (5, Some("app")));
    assert!(matches!(spec.image.healthcheck, Inherit::Set(health) if health.test == HealthTest::None));
}

#[test]
fn later_wins() {
    let files = [
        (
            "imgpack.yaml",
            "apiVersion: imgpack/v1\ndefaults: { image: { env: { A: '1', B: '1', C: '1', D: '1', E: '1', F: '1' } } }\n",
        ),
        (
            "buildspecs/_t1.yaml",
            "image: { env: { B: '2', C: '2', D: '2', E: '2', F: '2', G: '2' }, cmd: [t1] }\n",
        ),
        (
            "buildspecs/_t2.yaml",
            "extends: _t0\nimage: { env: { C: '3', D: '3', E: '3', F: '3' }, cmd+: [t2] }\n",
        ),
        ("buildspecs/_t0.yaml", "image: { env: { B: '2.5', C: '2.5' }, cmd+: [t0] }\n"),
        (
            "buildspecs/app.yaml",
            "extends: [_t1, _t2]\nimage: { env: { D: '4', E: '4', F: '4', G: null }, cmd+: [app] }\n\
             images: { app: { image: { env: { E: '5', F: '5' }, cmd+: [image] } } }\n\
             variants: { v: { image: { env: { F: '6' }, cmd+: [variant] } } }\n",
        ),
    ];
    let workspace = Memory::new(&files).load_with(&["image.env.Z=7", "image.cmd+=[set]"]).unwrap();
    let spec = workspace.select(&["app@v".parse().unwrap()], None).unwrap().remove(0);
    let expected = ["1", "2.5", "3", "4", "5", "6", "Removed", "7"];
    assert_eq!(env(&spec).into_values().collect::<Vec<_>>(), expected);
    assert_eq!(texts(&spec.image.cmd), ["t1", "t0", "t2", "app", "image", "variant", "set"]);
}

#[test]
fn null_stays_in_force() {
    let spec = app(&[
        ("buildspecs/_t.yaml", "image: { env: { A: b }, ports: null, cmd: [x], labels: { a: b } }\n"),
        ("buildspecs/_n.yaml", "extends: [_t]\nimage: { env: null, labels: null }\n"),
        ("buildspecs/app.yaml", "extends: [_n]\nimage: { env: { C: d }, ports: [80], cmd: null }\n"),
    ]);
    assert_eq!(env(&spec), BTreeMap::from([("C", "d".to_owned())]));
    assert!(spec.image.env_removed && spec.image.ports_removed && spec.image.labels_removed);
    assert!(!spec.image.volumes_removed);
    assert!(matches!(spec.image.ports, Inherit::Set(_)));
    assert_eq!(spec.image.cmd, Inherit::Removed);
    // Without a null, nothing of the base goes.
    assert!(!one("image: { env: { A: b } }").image.env_removed);
}

#[test]
fn another_builder_replaces_build_whole() {
    let files = [(
        "buildspecs/app.yaml",
        "build: { go: { ldflags: x } }\nvariants: { r: { build: { rust: {} } }, g: { build: { go: { tags: [t] } } } }\n",
    )];
    let workspace = Memory::new(&files).load().unwrap();
    let specs =
        |name: &str| workspace.select(&[name.parse().unwrap()], None).unwrap().remove(0).build.unwrap();
    assert!(matches!(specs("app@r"), Build::Rust(_)));
    assert!(matches!(specs("app@g"), Build::Go(go) if go.ldflags == "x" && go.tags == ["t"]));
}

#[test]
fn paths_belong_to_the_file_they_are_written_in() {
    let spec = app(&[
        ("imgpack.yaml", "apiVersion: imgpack/v1\ndefaults: { certificates: [ca/root.pem] }\nspecs: [a]\n"),
        ("common/deep/_t.yaml", "source: ../../src\nfiles: [{ from: conf, to: /conf }]\n"),
        ("a/b/app.yaml", "extends: [../../common/deep/_t.yaml]\nfiles+: [{ from: mine, to: /mine }]\n"),
    ]);
    assert_eq!(spec.source.dir.path, "src");
    assert_eq!(spec.certificates[0].path, "ca/root.pem");
    let from: Vec<_> = spec
        .files
        .iter()
        .map(|rule| match &rule.kind {
            FileKind::Copy { from, .. } => from.path.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(from, ["common/deep/conf", "a/b/mine"]);
}

#[test]
fn anchors_in_one_file() {
    let spec = one("x-env: &env { A: b }\nimage: { env: *env, labels: *env }\n");
    assert_eq!(env(&spec)["A"], "b");
    assert_eq!(spec.image.labels.len(), 1);
}

#[test]
fn ends_of_lines_and_byte_order_marks() {
    let spec = one("\u{feff}stamp: true\r\ntags:\r\n  - a\r\n");
    assert!(spec.stamp);
    assert_eq!(spec.tags, [Template::text("a")]);
}

#[test]
fn set_is_typed_by_the_schema() {
    let memory = Memory::new(&[
        (
            "buildspecs/app.yaml",
            "args: { REGION: eu }\nbuild: { go: {} }\nimage: { env: { R: '${arg.REGION}', X: y } }\n",
        ),
        ("buildspecs/other.yaml", "build: { rust: {} }\nfiles: { /x: a/x }\n"),
    ]);
    let app = |sets: &[&str], name: &str| {
        let workspace = memory.load_with(sets).unwrap_or_else(|problems| panic!("{problems}"));
        workspace.select(&[name.parse().unwrap()], None).unwrap_or_else(|error| panic!("{error}")).remove(0)
    };
    assert_eq!(env(&app(&["args.REGION=010"], "app"))["R"], "010");
    assert_eq!(app(&["args.REGION=us"], "app").args["REGION"], "us");
    assert!(app(&["stamp=true"], "app").stamp);
    let tags = app(&["tags=[a, \"1.0\"]", "tags+=[c]"], "app").tags;
    assert_eq!(tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "1.0", "c"]);
    assert_eq!(app(&["tags=3.10"], "app").tags, [Template::text("3.10")]);
    assert!(app(&["image.labels.com.example.tier=web"], "app").image.labels.contains_key("com.example.tier"));
    assert_eq!(app(&["image.env.X=null"], "app").image.env["X"], Inherit::Removed);
    assert!(matches!(app(&["image.user={uid: 7}"], "app").image.user, Inherit::Set(user) if user.uid == 7));
    assert!(matches!(app(&["image.user=7:8"], "app").image.user, Inherit::Set(user) if user.gid == 8));
    assert!(
        matches!(app(&["image.healthcheck.retries=3", "image.healthcheck.command=[x]"], "app").image.healthcheck, Inherit::Set(health) if health.retries == Some(3))
    );
    assert_eq!(app(&["source=src"], "app").source.dir.path, "src");
    assert_eq!(app(&["base=scratch"], "other").base, Base::Scratch);
    assert_eq!(
        app(&["image.ports.http=80"], "app").image.ports,
        Inherit::Set(BTreeMap::from([("http".into(), "80/tcp".into())]))
    );
    // For those that are built so, and no others.
    let specs = memory.load_with(&["build.go.ldflags=-w"]).unwrap().select(&[], None).unwrap();
    assert!(matches!(specs[0].build.as_ref().unwrap(), Build::Go(go) if go.ldflags == "-w"));
    assert!(matches!(specs[1].build.as_ref().unwrap(), Build::Rust(_)));
}

#[test]
fn set_says_what_is_wrong() {
    let memory = Memory::new(&[
        ("buildspecs/app.yaml", "args: { REGION: eu }\n"),
        ("buildspecs/other.yaml", "build: { go: {} }\n"),
    ]);
    for (set, expected) in [
        (
            "image.prots=[1]",
            "--set:1:7: unknown field `prots` in image\n  1 | image.prots=[1]\n    |       ^^^^^\nhint: did you mean `ports`?",
        ),
        ("args.REGOIN=x", "no service in the workspace has an argument `REGOIN`"),
        ("build.rust.bin=x", "no service in the workspace is built with `rust`"),
        ("stamp=yes", "`stamp` wants true or false, found text"),
        ("image.healthcheck.retries=many", "wants a whole number"),
        ("variants.a.stamp=true", "unknown field `variants`"),
        ("name=x", "unknown field `name`"),
        ("budget.transfer=1MB", "`budget` (size budgets) is not in this version of imgpack yet"),
        ("source=../x", "leads out of the workspace"),
        ("tags=[a", "not YAML"),
        ("image=x", "`image` wants a map, found text"),
        ("image.env=x", "`env` wants a map of variable names to text"),
        ("image.env.A=${git:sha}", ""),
    ] {
        let error = match memory.load_with(&[set]) {
            Err(problems) => problems.to_string(),
            Ok(workspace) => workspace.select(&[], None).map(|_| ()).unwrap_err().to_string(),
        };
        assert!(error.contains(expected), "{set}: {error}");
        assert!(error.starts_with("--set:1:"), "{set}: {error}");
    }
    let workspace = memory.load_with(&["args.REGION=us"]).unwrap();
    let error = workspace.select(&["other".parse().unwrap()], None).unwrap_err();
    assert!(error.to_string().contains("no service that is selected has an argument `REGION`"), "{error}");
    for text in ["stamp", "=x", "a..b=c", ".a=b"] {
        assert!(text.parse::<imgpack::spec::SetArg>().is_err(), "{text}");
    }
}

#[test]
fn all_mistakes_of_all_files() {
    let memory = Memory::new(&[
        ("imgpack.yaml", "apiVersion: imgpack/v1\nservices: { a: { baze: x } }\n"),
        ("buildspecs/b.yaml", "tags: x\nfiles: [{ to: /a }, { from: ../../x, to: b }]\n"),
        ("buildspecs/c.yaml", "a: [\n"),
    ]);
    let problems = memory.load().unwrap_err();
    let sites: Vec<String> = problems.iter().map(|problem| problem.site.to_string()).collect();
    assert_eq!(
        sites,
        [
            "buildspecs/b.yaml:1:7",
            "buildspecs/b.yaml:2:9",
            "buildspecs/b.yaml:2:29",
            "buildspecs/b.yaml:2:42",
            "buildspecs/c.yaml:1:5",
            "imgpack.yaml:2:18",
        ],
        "{problems}"
    );
}
