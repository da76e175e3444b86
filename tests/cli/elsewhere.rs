//! Files that come from other images and from addresses: what they become, what is asked for them, and what is said where
//! they cannot be had.

use std::fs;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use crate::env::{Ended, Env, without_digests};
use crate::fake::{Fake, Reply};
use crate::keeping::{self, counted};

const LOCK: &str = "imgpack.lock";

/// A registry with the image `tool`: two layers, of which the second removes a file of the first and changes another; and
/// a workspace with the service `app`.
fn with_tool() -> (Env, Fake) {
    let server = keeping::start();
    let env = Env::new();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    env.file("tool/bin/run", "#!/bin/sh\n").file("tool/conf", "old\n").file("tool/lib/a", "a\n");
    env.link("tool/bin/link", "../lib/a");
    let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(env.path("tool/bin/run"), run).unwrap();
    env.spec(
        "below",
        "base: scratch\nfiles:\n  - { from: ../tool, to: /opt/tool, owner: '7:8', class: deps }\n\
         \x20 - { text: gone, to: /opt/tool/gone }\n  - { dir: true, to: /opt/tool/empty }\n\
         \x20 - { text: '${target.arch}', to: /opt/arch }\n  - { link: /opt/tool, to: /tool }\n\
         \x20 - { link: ../out, to: /opt/bad/link }\n",
    );
    env.spec(
        "tool",
        &format!(
            "base: {}/acme/below:latest\nremove: [/opt/tool/gone]\nfiles:\n\
             \x20 - {{ text: new, to: /opt/tool/conf, mode: '4755' }}\n",
            server.address
        ),
    );
    env.succeeds(&["build", "below", "--push"]);
    env.succeeds(&["build", "tool", "--push"]);
    fs::remove_file(env.path("buildspecs/below.yaml")).unwrap();
    fs::remove_file(env.path("buildspecs/tool.yaml")).unwrap();
    (env, server)
}

/// The spec of `app` with one row of files, in which `TOOL` is the image and `AT` a server.
fn app(env: &Env, server: &Fake, rows: &[&str]) {
    let rows = rows
        .iter()
        .map(|row| format!("  - {{ {row} }}\n"))
        .collect::<Vec<_>>()
        .concat()
        .replace("TOOL", &format!("image:{}/acme/tool:latest", server.address))
        .replace("AT", &format!("http://{}", server.address));
    env.spec("app", &format!("base: scratch\nfiles:\n{rows}"));
}

/// What the layers of `app` hold, a line each: path, mode, owner, and content or target.
fn members(env: &Env, platform: &str) -> String {
    let _ = fs::remove_dir_all(env.path("out"));
    env.succeeds(&["build", "app", "--platform", platform, "--output", "oci:out"]);
    let mut lines = Vec::new();
    for blob in crate::env::files_below(&env.path("out/blobs")) {
        let Ok(bytes) = fs::read(&blob) else { continue };
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            continue;
        }
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(&*bytes));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            let path = entry.path().unwrap().display().to_string();
            let mut what = String::new();
            entry.read_to_string(&mut what).unwrap();
            if let Some(target) = entry.link_name().unwrap() {
                what = format!("-> {}", target.display());
            }
            lines.push(format!("{path} {mode:o} {uid}:{gid} {}", what.trim()).trim_end().to_owned());
        }
    }
    lines.join("\n")
}

fn asked(env: &Env, server: &Fake, arguments: &[&str]) -> (Ended, Vec<String>) {
    let before = server.lines().len();
    let ended = env.succeeds(arguments);
    (ended, server.lines()[before..].to_vec())
}

fn fails(env: &Env, server: &Fake, code: i32, arguments: &[&str]) -> String {
    without_digests(&env.fails(code, arguments)).replace(&server.address.to_string(), "[registry]")
}

#[test]
fn a_directory_of_an_image_is_copied_as_its_layers_left_it() {
    let (env, server) = with_tool();
    app(
        &env,
        &server,
        &["from: 'TOOL', path: /opt/tool, to: /app", "from: 'TOOL', path: /opt/arch, to: /arch"],
    );
    assert_snapshot!(members(&env, "linux/arm64"), @r"
    app/ 755 0:0
    app/bin/ 755 0:0
    app/bin/link 777 0:0 -> ../lib/a
    app/bin/run 755 0:0 #!/bin/sh
    app/conf 755 0:0 new
    app/empty/ 755 0:0
    app/lib/ 755 0:0
    app/lib/a 644 0:0 a
    arch 644 0:0 arm64
    ");
    // What a link leads to, by a path through a link, with a mode and an owner of its own.
    app(
        &env,
        &server,
        &[
            "from: 'TOOL', path: /tool/bin/link, to: /one, mode: '4711', owner: '1:2'",
            "from: 'TOOL', path: /opt/tool, to: /two, owner: '3:4', include: ['bin/*'], exclude: ['**/link']",
        ],
    );
    assert_snapshot!(members(&env, "linux/amd64"), @r"
    one 4711 1:2 a
    two/ 755 3:4
    two/bin/ 755 3:4
    two/bin/run 755 3:4 #!/bin/sh
    ");
}

#[test]
fn an_image_is_asked_for_once_and_pinned() {
    let (mut env, server) = with_tool();
    env.set("IMGPACK_CACHE", env.outside("other"));
    app(
        &env,
        &server,
        &["from: 'TOOL', path: /opt/tool, to: /app", "from: 'TOOL', path: /opt/arch, to: /arch"],
    );
    // The index, and of two platforms the manifests, four layers that are the same and one that is not; the tag once.
    let (_, lines) = asked(&env, &server, &["build", "app"]);
    let kinds: Vec<(&str, usize)> = counted(&lines).into_iter().collect();
    assert_snapshot!(format!("{kinds:?}"), @r#"[("blob pulled", 6), ("manifest pulled", 3), ("question about a manifest", 1)]"#);
    assert_eq!(asked(&env, &server, &["build", "app"]).1, ["HEAD /v2/acme/tool/manifests/latest"]);

    let ended = env.succeeds(&["lock"]);
    assert!(ended.stderr.contains("/acme/tool:latest: sha256:"), "{}", ended.stderr);
    let (built, lines) = asked(&env, &server, &["build", "app", "--locked"]);
    assert_eq!(lines, Vec::<String>::new());
    // Other paths of it need nothing new, as long as the store has it.
    app(&env, &server, &["from: 'TOOL', path: /opt/tool/lib, to: /app"]);
    assert_eq!(asked(&env, &server, &["build", "app", "--offline"]).1, Vec::<String>::new());
    app(
        &env,
        &server,
        &["from: 'TOOL', path: /opt/tool, to: /app", "from: 'TOOL', path: /opt/arch, to: /arch"],
    );
    let (again, lines) = asked(&env, &server, &["build", "app"]);
    assert_eq!((again.stdout, lines), (built.stdout, Vec::new()));

    // The lock decides, not the tag.
    let locked = fs::read_to_string(env.path(LOCK)).unwrap();
    env.file(LOCK, "# Written by `imgpack lock`; commit it.\nversion 1\n");
    let said = fails(&env, &server, 2, &["build", "app", "--locked", "--quiet"]);
    assert_snapshot!(said, @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: imgpack.lock has no row `image [registry]/acme/tool:latest`
    hint: run `imgpack lock`, and commit the file
    ");
    env.succeeds(&["build", "app"]);
    assert_eq!(fs::read_to_string(env.path(LOCK)).unwrap(), locked);
}

#[test]
fn a_base_that_files_are_taken_from_is_one_image() {
    let (env, server) = with_tool();
    let reference = format!("{}/acme/tool:latest", server.address);
    env.spec(
        "app",
        &format!("base: {reference}\nfiles: [{{ from: 'image:{reference}', path: /opt/arch, to: /arch }}]\n"),
    );
    let (ended, lines) = asked(&env, &server, &["build", "app"]);
    let questions = lines.iter().filter(|line| line.starts_with("HEAD"));
    assert_eq!(questions.count(), 1, "{lines:#?}");
    assert_eq!(ended.stderr.matches("there is no lock").count(), 1, "{}", ended.stderr);
}

#[test]
fn what_an_image_cannot_give_is_told() {
    let (env, server) = with_tool();
    let mut said = String::new();
    for row in [
        "from: 'TOOL', path: /opt/none/x, to: /app",
        "from: 'TOOL', path: /opt/bad, to: /app",
        "from: 'TOOL', path: /opt/tool, to: /app, include: [none]",
        "from: 'TOOL2', path: /opt/tool, to: /app",
    ] {
        app(&env, &server, &[row]);
        let code = if row.contains("TOOL2") { 4 } else { 2 };
        said += &fails(&env, &server, code, &["build", "app", "--quiet", "--jobs", "1"]);
    }
    assert_snapshot!(said, @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: image:[registry]/acme/tool:latest has no /opt/none/x
    hint: of that path it has /opt
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: /opt/bad/link of image:[registry]/acme/tool:latest is a link to ../out, which is not below /opt/bad
    hint: leave it out with `exclude`, or copy a directory that holds both
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: image:[registry]/acme/tool:latest has no file below /opt/tool that is taken
    hint: `include` and `exclude` are relative to `path`
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: [registry]/acme/tool:latest2 is not there: GET http://[registry]/v2/acme/tool/manifests/latest2 was answered with 404
    hint: `[registry]/acme/tool` or its tag `latest2` may be misspelt, or not be pushed yet
    ");
}

#[test]
fn an_image_without_the_platform() {
    let (env, server) = with_tool();
    env.spec("one", "base: scratch\nplatforms: [linux/amd64]\nfiles: [{ text: x, to: /x }]\n");
    env.succeeds(&["build", "one", "--push"]);
    env.spec(
        "app",
        &format!(
            "base: scratch\nfiles: [{{ from: 'image:{}/acme/one:latest', path: /x, to: /y }}]\n",
            server.address
        ),
    );
    assert_snapshot!(fails(&env, &server, 2, &["build", "app", "--quiet"]), @r"
    error: app (linux/arm64): buildspecs/app.yaml:2:9: image:[registry]/acme/one:latest is not there for linux/arm64, only for linux/amd64
    hint: leave linux/arm64 out of `platforms`, or take another image
    ");
    env.succeeds(&["build", "app", "--platform", "linux/amd64"]);
}

#[test]
fn secrets_in_a_directory_of_an_image() {
    let (env, server) = with_tool();
    env.spec(
        "keys",
        "base: scratch\nplatforms: [linux/amd64]\n\
         files: [{ text: \"-----BEGIN RSA PRIVATE KEY-----\\nMIIEabc\\n-----END RSA PRIVATE KEY-----\\n\", to: /k/key }]\n",
    );
    env.succeeds(&["build", "keys", "--push"]);
    let spec = |path: &str| {
        format!(
            "base: scratch\nplatforms: [linux/amd64]\nfiles: [{{ from: 'image:{}/acme/keys:latest', path: {path}, to: /y }}]\n",
            server.address
        )
    };
    env.spec("app", &spec("/k"));
    assert_snapshot!(fails(&env, &server, 2, &["build", "app", "--quiet"]), @r"
    error: app (linux/amd64): buildspecs/app.yaml:3:9: key of image:[registry]/acme/keys:latest looks like it holds a private key and would become /y/key
    hint: leave it out with `exclude`, or name the file by itself in `files` if it is meant
    ");
    env.spec("app", &spec("/k/key"));
    env.succeeds(&["build", "app"]);
}

/// A server that has one file, whose content can be changed.
fn with_file() -> (Env, Fake, Arc<Mutex<String>>) {
    let content = Arc::new(Mutex::new("one".to_owned()));
    let known = Arc::clone(&content);
    let server = Fake::start(move |asked| match asked.target.as_str() {
        "/tool" | "/tool?sig=geheim" => Reply::body(known.lock().unwrap().clone()),
        "/moved" => Reply::status(302).with("location", "/tool?sig=geheim"),
        "/near" => Reply::status(302).with("location", "http://169.254.169.254/latest?geheim"),
        _ => Reply::status(404),
    });
    let env = Env::new();
    app(&env, &server, &["from: 'AT/tool', to: /bin/tool, mode: '0755'", "from: 'AT/tool', to: /conf"]);
    (env, server, content)
}

#[test]
fn a_file_by_its_address_is_fetched_once_and_pinned() {
    let (mut env, server, content) = with_file();
    assert_snapshot!(members(&env, "linux/amd64"), @r"
    bin/ 755 0:0
    bin/tool 755 0:0 one
    conf 644 0:0 one
    ");
    assert_eq!(server.lines(), ["GET /tool"]);
    assert!(!env.path(LOCK).exists(), "only `lock` makes it");
    assert!(env.succeeds(&["lock"]).stderr.contains(&format!("file http://{}/tool", server.address)));
    let locked = fs::read_to_string(env.path(LOCK)).unwrap();
    let (_, lines) = asked(&env, &server, &["build", "--locked"]);
    assert_eq!(lines, Vec::<String>::new(), "it is in the store");

    // A build adds the row where it is missing, and says so; not in CI.
    env.file(LOCK, "# Written by `imgpack lock`; commit it.\nversion 1\n");
    env.set("CI", "true");
    assert_snapshot!(fails(&env, &server, 2, &["build", "--quiet"]), @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: imgpack.lock has no row `file http://[registry]/tool`
    hint: run `imgpack lock`, and commit the file
    ");
    env.unset("CI");
    let said = env.succeeds(&["build"]).stderr;
    assert!(
        said.contains(&format!("note: imgpack.lock: added file http://{}/tool", server.address)),
        "{said}"
    );
    assert_eq!(fs::read_to_string(env.path(LOCK)).unwrap(), locked);

    // Another machine takes nothing else, until that is pinned.
    env.set("IMGPACK_CACHE", env.outside("other"));
    "two".clone_into(&mut content.lock().unwrap());
    assert_snapshot!(fails(&env, &server, 2, &["build", "--quiet"]), @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: http://[registry]/tool has other content than is pinned: expected sha256:…, found sha256:…
    hint: if the new content is meant, pin it with `imgpack lock --upgrade http://[registry]/tool`
    ");
    env.is_tidy();
    env.succeeds(&["lock", "--upgrade", &format!("http://{}/tool", server.address)]);
    assert!(members(&env, "linux/amd64").contains("conf 644 0:0 two"));
}

#[test]
fn what_an_address_cannot_give_is_told() {
    let (env, server, _) = with_file();
    let mut said = String::new();
    for name in ["none", "near"] {
        app(&env, &server, &[&format!("from: 'AT/{name}', to: /x")]);
        said += &fails(&env, &server, 4, &["build", "--quiet"]);
    }
    app(&env, &server, &["from: 'AT/tool', to: /x"]);
    said += &fails(&env, &server, 4, &["build", "--quiet", "--offline"]);
    assert_snapshot!(said, @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: http://[registry]/none was answered with 404
    hint: the address may be misspelt, or the file be gone
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: http://[registry]/near leads to http://169.254.169.254/latest?…, and http is spoken only with this machine
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:3:5: the file http://[registry]/tool is not known here, and --offline lets no request leave
    hint: run `imgpack lock` without --offline: what is pinned needs no question
    ");
    app(&env, &server, &["from: 'AT/moved', to: /x"]);
    let ended = env.succeeds(&["build"]);
    assert!(!ended.stderr.contains("geheim"), "{}", ended.stderr);
}

#[test]
fn bases_and_images_are_read_from_mirrors() {
    let (mut env, server) = with_tool();
    // The same registry by another name, with all that is in it below another path.
    let address = server.address;
    let mirrors =
        format!("mirrors: {{ registry.example: ['{address}'], 127.0.0.1:1: ['{address}/none'] }}\n");
    let workspace = format!("apiVersion: imgpack/v1\nregistry: {address}/acme\n");
    env.spec(
        "app",
        "base: registry.example/acme/below:latest\n\
         files: [{ from: 'image:registry.example/acme/tool:latest', path: /opt/tool/lib, to: /lib }]\n",
    );
    env.file("imgpack.yaml", format!("{workspace}{mirrors}"));
    env.set("IMGPACK_CACHE", env.outside("other"));
    let (built, lines) = asked(&env, &server, &["build", "app"]);
    assert!(lines.iter().all(|line| line.contains(" /v2/acme/")), "{lines:#?}");
    // The name that the image carries is that of the registry.
    env.succeeds(&["build", "app", "--output", "oci:out"]);
    let named =
        |text: &[u8]| String::from_utf8_lossy(text).contains("\"registry.example/acme/below:latest\"");
    let blobs = crate::env::files_below(&env.path("out/blobs"));
    assert!(blobs.iter().any(|blob| fs::read(blob).is_ok_and(|bytes| named(&bytes))), "{}", built.stderr);

    // Which mirrors there are is part of nothing: this machine's own, to the same end.
    env.file("imgpack.yaml", &workspace);
    env.set("IMGPACK_MIRRORS", format!("registry.example={address}"));
    let again = env.succeeds(&["build", "app"]);
    assert_eq!(again.stdout, built.stdout);

    // A mirror without it is told of once, and the registry itself is asked.
    env.set("IMGPACK_MIRRORS", format!("{address}={address}/none"));
    env.set("IMGPACK_CACHE", env.outside("third"));
    app(&env, &server, &["from: 'TOOL', path: /opt/tool/lib, to: /lib"]);
    let said = env.succeeds(&["build", "app"]).stderr.replace(&address.to_string(), "[registry]");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: mirror")).collect();
    assert_eq!(
        notes,
        ["note: mirror [registry]/none/acme/tool: it is not there (404); the next place is asked"]
    );
    env.set("IMGPACK_MIRRORS", "docker.io");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: IMGPACK_MIRRORS: `docker.io` is not a registry and its mirror
    hint: write it like `docker.io=mirror.example/hub`, several with blanks between them
    ");
}
