//! Platforms built by different runners, put together from the runners' results.

use std::fs;
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::env::{Env, without_digests};
use crate::fake::{Asked, Fake, Reply};
use crate::keeping;

const WEB: &str =
    "base: static\ntags: [v1, latest]\nfiles: { /etc/web: ../conf }\nimage: { info: { title: Web } }\n";

/// A workspace whose images go to `server`.
fn workspace(server: &Fake) -> Env {
    let env = Env::with_files();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    env.spec("web", WEB);
    env
}

/// A registry that keeps what it is given, but `instead` answers where it wants to.
fn registry_but(instead: impl Fn(&Asked) -> Option<Reply> + Send + 'static) -> Fake {
    let mut script = keeping::script();
    Fake::start(move |asked| instead(asked).unwrap_or_else(|| script(asked)))
}

/// Builds `platform` on a runner of its own, which writes `{name}.json`.
fn part(env: &mut Env, name: &str, platform: &str, more: &[&str]) -> String {
    env.set("IMGPACK_CACHE", env.outside(name));
    let file = format!("{name}.json");
    let arguments =
        [&["build", "--push", "--jobs", "1", "--platform", platform, "--result", &file], more].concat();
    env.succeeds(&arguments).stderr
}

/// `amd64.json` and `arm64.json`.
fn parts(env: &mut Env) {
    part(env, "amd64", "linux/amd64", &[]);
    part(env, "arm64", "linux/arm64", &[]);
}

const BOTH: [&str; 3] = ["merge", "amd64.json", "arm64.json"];

fn read(env: &Env, file: &str) -> Value {
    serde_json::from_slice(&fs::read(env.path(file)).unwrap()).unwrap()
}

/// Rewrites a result.
fn edit(env: &Env, file: &str, change: impl Fn(&mut Value)) {
    let mut value = read(env, file);
    change(&mut value);
    env.file(file, value.to_string());
}

/// The requests since there were `before`, digests and uploads as one word each.
fn asked(server: &Fake, before: usize) -> Vec<String> {
    server.lines()[before..].iter().map(|line| without_digests(line)).collect()
}

/// What a tag was last set to.
fn set_to(server: &Fake, tag: &str) -> Vec<u8> {
    let is_put =
        |asked: &&Asked| asked.method == "PUT" && asked.target.ends_with(&format!("/manifests/{tag}"));
    server.requests().iter().rfind(is_put).unwrap().body.clone()
}

/// The text without the registry's address.
fn clean(text: &str, server: &Fake) -> String {
    without_digests(text).replace(&server.address.to_string(), "[registry]")
}

#[test]
fn parts_become_what_one_build_makes() {
    for more in ["", "mediaTypes: docker\n", "index: always\n"] {
        let (whole, server) = (keeping::start(), keeping::start());
        let mut env = workspace(&whole);
        env.set("SOURCE_DATE_EPOCH", "1700000000");
        env.spec("web", &format!("{WEB}{more}"));
        let expected = env.succeeds(&["build", "--push", "--result", "whole.json"]).stdout;

        env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
        let said = part(&mut env, "amd64", "linux/amd64", &[]);
        assert!(
            said.contains(
                "note: web: pushed by digest for linux/amd64 only; `imgpack merge` sets v1, latest\n"
            ),
            "{said}"
        );
        part(&mut env, "arm64", "linux/arm64", &[]);
        let before = server.lines().len();
        let merged = env.succeeds(&["merge", "arm64.json", "amd64.json", "--result", "merged.json"]);
        assert_eq!(merged.stderr, "web: linux/amd64, linux/arm64 as v1, latest\n");
        let digest = |text: &str| text.split_once('@').unwrap().1.to_owned();
        assert_eq!(digest(&merged.stdout), digest(&expected));
        for tag in ["v1", "latest"] {
            assert_eq!(set_to(&server, tag), set_to(&whole, tag), "{more}");
        }
        // Both manifests by digest, both tags, the index, then the tags: no manifest again, nothing read.
        let mut lines = asked(&server, before);
        lines[2..4].sort();
        lines[5..7].sort();
        let manifests = "/v2/acme/web/manifests";
        assert_eq!(
            lines,
            [
                format!("HEAD {manifests}/sha256:…"),
                format!("HEAD {manifests}/sha256:…"),
                format!("HEAD {manifests}/latest"),
                format!("HEAD {manifests}/v1"),
                format!("PUT {manifests}/sha256:…"),
                format!("PUT {manifests}/latest"),
                format!("PUT {manifests}/v1"),
            ]
        );
        // The result is that of one build, but for the address.
        let text = fs::read_to_string(env.path("whole.json")).unwrap();
        let moved = text.replace(&whole.address.to_string(), &server.address.to_string());
        assert_eq!(read(&env, "merged.json"), serde_json::from_str::<Value>(&moved).unwrap());

        // Again, also from the whole and a part of it: nothing changes.
        let before = server.lines().len();
        let again = env.succeeds(&["merge", "merged.json", "arm64.json"]);
        assert_eq!(again.stdout, merged.stdout);
        assert_eq!(again.stderr, "web: linux/amd64, linux/arm64 as v1, latest (unchanged)\n");
        assert!(
            asked(&server, before).iter().all(|line| line.starts_with("HEAD")),
            "{:#?}",
            asked(&server, before)
        );
    }
}

#[test]
fn runners_have_checkouts_of_their_own() {
    let server = keeping::start();
    let (mut one, mut other) = (workspace(&server), workspace(&server));
    for (env, name) in [(&one, "one"), (&other, "other")] {
        env.spec("web", &WEB.replace("static", "oci:../base"));
        env.file("conf/template.yaml", name).file(".imgpackignore", "/conf/template.yaml\n");
        env.spec("base", "base: scratch\nfiles: { /etc/base: ../conf/motd }\n");
        env.succeeds(&["build", "base", "--output", "oci:base"]);
    }
    part(&mut one, "amd64", "linux/amd64", &["web"]);
    part(&mut other, "arm64", "linux/arm64", &["web"]);
    one.file("arm64.json", fs::read(other.path("arm64.json")).unwrap());
    one.succeeds(&BOTH);
}

#[test]
fn a_base_of_a_registry_is_the_same_for_all_runners() {
    let (whole, server) = (keeping::start(), keeping::start());
    let mut env = workspace(&whole);
    env.spec("base", "base: static\nfiles: { /etc/base: ../conf }\n");
    env.succeeds(&["build", "base", "--push"]);
    env.spec("web", &WEB.replace("static", &format!("{}/acme/base", whole.address)));
    let expected = env.succeeds(&["build", "web", "--push"]).stdout;
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    part(&mut env, "amd64", "linux/amd64", &["web"]);
    part(&mut env, "arm64", "linux/arm64", &["web"]);
    let merged = env.succeeds(&BOTH).stdout;
    assert_eq!(merged.replace(&server.address.to_string(), &whole.address.to_string()), expected);
    // The base moves between two runners.
    env.spec("base", "base: static\nfiles: { /etc/base: ../conf/motd }\n");
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", whole.address));
    env.succeeds(&["build", "base", "--push"]);
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    env.set("IMGPACK_CACHE", env.outside("later"));
    part(&mut env, "arm64", "linux/arm64", &["web"]);
    let said = env.fails(2, &BOTH);
    assert!(said.contains("the sources or the base of web differ"), "{said}");
}

#[test]
fn files_of_other_images_and_addresses_are_the_same_for_all_runners() {
    let content = Arc::new(Mutex::new("one"));
    let known = Arc::clone(&content);
    let server = registry_but(move |asked| {
        (asked.target == "/file").then(|| Reply::body(known.lock().unwrap().to_owned()))
    });
    let mut env = workspace(&server);
    let address = server.address;
    let tool = |env: &Env, from: &str| {
        env.spec("tool", &format!("base: scratch\nfiles: {{ /etc/tool: {from} }}\n"));
        env.succeeds(&["build", "tool", "--push"]);
    };
    tool(&env, "../conf");
    for (name, row) in [
        ("image", format!("from: 'image:{address}/acme/tool', path: /etc, to: /tool")),
        ("address", format!("from: 'http://{address}/file', to: /tool")),
    ] {
        env.spec("web", &format!("base: static\ntags: [v1]\nfiles: [{{ {row} }}]\n"));
        part(&mut env, "amd64", "linux/amd64", &["web"]);
        part(&mut env, "arm64", "linux/arm64", &["web"]);
        env.succeeds(&BOTH);
        // What the name stands for moves between two runners.
        tool(&env, "../conf/motd");
        *content.lock().unwrap() = name;
        let later = format!("{name}-later");
        part(&mut env, &later, "linux/arm64", &["web"]);
        let said = env.fails(2, &["merge", "amd64.json", &format!("{later}.json")]);
        assert!(said.contains("the sources or the base of web differ"), "{name}: {said}");
    }
}

#[test]
fn a_single_platform_is_tagged_without_an_index() {
    let server = keeping::start();
    let mut env = workspace(&server);
    env.spec("web", &format!("{WEB}platforms: [linux/arm64]\n"));
    part(&mut env, "arm64", "linux/arm64", &["--tag", "edge"]);
    let built = set_to(&server, "edge");
    let before = server.lines().len();
    let merged = env.succeeds(&["merge", "arm64.json", "--tag", "v2"]);
    let lines = asked(&server, before);
    let manifests = "/v2/acme/web/manifests";
    assert_eq!(
        lines,
        [format!("GET {manifests}/sha256:…"), format!("HEAD {manifests}/v2"), format!("PUT {manifests}/v2")]
    );
    assert_eq!(set_to(&server, "v2"), built);
    assert_eq!(
        merged.stdout,
        format!("{}\n", read(&env, "arm64.json")["images"][0]["reference"].as_str().unwrap())
    );
}

#[test]
fn many_images_are_tagged_last() {
    let server = keeping::start();
    let mut env = workspace(&server);
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        env.spec(name, &format!("{WEB}args: {{ NAME: {name} }}\n"));
    }
    let said = part(&mut env, "amd64", "linux/amd64", &[]);
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(
        notes,
        [
            "note: a, b, c, d and 4 more: pushed by digest for linux/amd64 only; `imgpack merge` sets v1, latest"
        ]
    );
    part(&mut env, "arm64", "linux/arm64", &[]);
    let before = server.lines().len();
    let merged = env.succeeds(&BOTH);
    assert_eq!(merged.stdout.lines().count(), 8);
    let lines = &server.lines()[before..];
    let kind = |line: &String| match line.split_once(' ').unwrap() {
        ("HEAD", rest) if rest.contains("sha256:") => 0,
        ("HEAD", _) => 1,
        ("PUT", rest) if rest.contains("sha256:") => 2,
        ("PUT", _) => 3,
        _ => panic!("{line}"),
    };
    let kinds: Vec<i32> = lines.iter().map(kind).collect();
    assert!(kinds.is_sorted(), "{lines:#?}");
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!([count(0), count(1), count(2), count(3)], [16, 16, 8, 16], "{lines:#?}");

    // A runner that did not come: nothing is asked for, and the images are named once.
    let before = server.lines().len();
    assert_snapshot!(env.fails(2, &["merge", "amd64.json"]), @r"
    error: no file holds a, b, c, d, e, f, g, web for linux/arm64
    hint: add the results that hold them, or tag without them with --allow-partial
    ");
    assert_eq!(server.lines().len(), before);
}

#[test]
fn a_runner_leaves_out_what_is_not_for_it() {
    let server = keeping::start();
    let mut env = workspace(&server);
    env.spec("arm", &format!("{WEB}platforms: [linux/arm64]\n").replace("[v1, latest]", "[]"));
    let said = part(&mut env, "amd64", "linux/amd64", &[]);
    assert!(said.starts_with("arm is left out: it is built for linux/arm64 only\n"), "{said}");
    part(&mut env, "arm64", "linux/arm64", &[]);
    let merged = env.succeeds(&BOTH);
    assert_eq!(
        merged.stderr,
        "arm: linux/arm64, without a tag (unchanged)\nweb: linux/amd64, linux/arm64 as v1, latest\n"
    );
    // What is named is meant.
    let said = env.fails(2, &["build", "arm", "web", "--platform", "linux/amd64"]);
    assert!(said.contains("arm is built for linux/arm64 only"), "{said}");
}

#[test]
fn some_platforms_are_tagged_when_that_is_said() {
    let server = keeping::start();
    let mut env = workspace(&server);
    part(&mut env, "amd64", "linux/amd64", &[]);
    assert_eq!(read(&env, "amd64.json")["images"][0]["tagged"], false);
    assert!(server.lines().iter().all(|line| !line.ends_with("/latest")), "{:#?}", server.lines());
    let merged = env.succeeds(&["merge", "amd64.json", "--allow-partial", "--tag", "one"]);
    assert_eq!(merged.stderr, "web: linux/amd64 as one\n");
    let said = part(&mut env, "again", "linux/amd64", &["--allow-partial", "--tag", "two"]);
    assert!(!said.contains("by digest"), "{said}");
    assert_eq!(read(&env, "again.json")["images"][0]["tagged"], true);
    assert_eq!(set_to(&server, "one"), set_to(&server, "two"));
    let said = env.fails(2, &["build", "--allow-partial"]);
    assert!(said.contains("--push"), "{said}");
}

#[test]
fn parts_of_different_things_are_refused() {
    let server = keeping::start();
    let mut env = workspace(&server);
    parts(&mut env);
    let original = read(&env, "arm64.json").to_string();
    part(&mut env, "spec", "linux/arm64", &["--set", "image.env.A=b"]);
    part(&mut env, "tags", "linux/arm64", &["--tag", "v2"]);
    env.set("SOURCE_DATE_EPOCH", "1700000000");
    part(&mut env, "epoch", "linux/arm64", &[]);
    env.unset("SOURCE_DATE_EPOCH");
    env.file("conf/motd", "bye\n");
    part(&mut env, "inputs", "linux/arm64", &[]);
    env.file("conf/motd", "hello\n").file("imgpack.lock", "version 1\n");
    part(&mut env, "lock", "linux/arm64", &[]);
    for (file, at, value) in [
        ("version", "/imgpack", json!("9.9.9")),
        ("format", "/format", json!("2")),
        ("repository", "/images/0/repository", json!("r.example/other")),
        ("pushed", "/images/0/pushed", json!(false)),
        ("index", "/images/0/index/always", json!(true)),
    ] {
        env.file(&format!("{file}.json"), &original);
        edit(&env, &format!("{file}.json"), |result| *result.pointer_mut(at).unwrap() = value.clone());
    }
    let before = server.lines().len();
    let mut said = String::new();
    let short = |text: &str| {
        // Short digests stand in brackets.
        let mut clean = String::new();
        for word in text.split_inclusive([' ', '(', ')']) {
            let hex = word.trim_end_matches([' ', ')']);
            let is_digest = hex.len() == 12 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            clean.push_str(&if is_digest { word.replace(hex, "…") } else { word.to_owned() });
        }
        clean
    };
    for file in
        ["spec", "epoch", "inputs", "lock", "version", "format", "repository", "pushed", "index", "tags"]
    {
        said += &short(&env.fails(2, &["merge", "amd64.json", &format!("{file}.json")]));
    }
    assert_snapshot!(clean(&said, &server), @r"
    error: amd64.json and spec.json do not belong together: the spec of web differs (… and …)
    hint: build all platforms of one commit, with the same --set, SOURCE_DATE_EPOCH and environment
    error: amd64.json and epoch.json do not belong together: the spec of web differs (… and …)
    hint: build all platforms of one commit, with the same --set, SOURCE_DATE_EPOCH and environment
    error: amd64.json and inputs.json do not belong together: the sources or the base of web differ (… and …)
    hint: build all platforms of one commit; a base that imgpack.lock does not pin may have moved meanwhile
    error: amd64.json and lock.json do not belong together: imgpack.lock differs (none and …)
    hint: build all platforms of one commit, with a lock file in it: `imgpack lock` fills it for all of them
    error: amd64.json and version.json do not belong together: they are of imgpack 0.1.0 and 9.9.9
    hint: let all runners use one version
    error: amd64.json and format.json do not belong together: their layers have format 1 and 2
    hint: let all runners use one version and one `format`
    error: amd64.json and repository.json do not belong together: web was pushed to [registry]/acme/web and r.example/other
    hint: push all platforms to one repository
    error: pushed.json: web was built, but not pushed
    hint: build with --push: a merge sends no layers
    error: amd64.json and index.json do not belong together: the index of web differs
    hint: build all platforms of one commit, with the same --set, SOURCE_DATE_EPOCH and environment
    error: amd64.json and tags.json do not belong together: the tags of web differ (v1, latest; v2)
    hint: say the tags with --tag
    ");
    // One platform that came out in two ways; from different files, by the same spec.
    env.file("twice.json", read(&env, "amd64.json").to_string());
    let other = format!("sha256:{}", "0".repeat(64));
    edit(&env, "twice.json", |result| {
        result["images"][0]["platforms"][0]["manifest"]["digest"] = json!(other);
    });
    assert_snapshot!(clean(&env.fails(2, &["merge", "amd64.json", "twice.json", "arm64.json"]), &server), @r"
    error: amd64.json and twice.json both hold web for linux/amd64: sha256:… and sha256:…
    hint: merge the result of one of them only, or find out why they differ
    ");
    assert_eq!(server.lines().len(), before, "nothing was asked");
    // Said here, the tags need not agree.
    env.succeeds(&["merge", "amd64.json", "tags.json", "--tag", "v3"]);
}

#[test]
fn volatile_values_of_the_image_are_the_same() {
    let server = keeping::start();
    let mut env = workspace(&server);
    env.spec("web", &format!("{WEB}stamp: true\n").replace("title: Web", "revision: \"${env:SHA}\""));
    env.set("SHA", "one");
    part(&mut env, "amd64", "linux/amd64", &[]);
    env.set("SHA", "two");
    part(&mut env, "arm64", "linux/arm64", &[]);
    let said = env.fails(2, &BOTH);
    assert!(said.contains("the spec of web differs"), "{said}");
    env.set("SHA", "one");
    part(&mut env, "arm64", "linux/arm64", &[]);
    env.succeeds(&BOTH);
}

#[test]
fn files_that_are_no_results_are_named() {
    let server = keeping::start();
    let mut env = workspace(&server);
    parts(&mut env);
    let original = read(&env, "arm64.json").to_string();
    env.file("zeros", vec![0; 10 << 20])
        .file("empty", "")
        .file("list", "[]")
        .file("deep", "[".repeat(1 << 20));
    env.file("other", r#"{"schemaVersion":2}"#).file("newer", r#"{"schemaVersion":7,"images":{}}"#);
    env.file("older", r#"{"schemaVersion":1,"imgpack":"0.0.1","images":[]}"#);
    for (file, at, value) in [
        ("digest", "/images/0/platforms/0/manifest/digest", json!("sha256:\u{1b}[31m")),
        ("platform", "/images/0/platforms/0/platform", json!("linux/s390x")),
        ("none", "/images", json!([])),
        ("subset", "/images/0/specPlatforms", json!(["linux/amd64"])),
        ("kind", "/images/0/index/mediaType", json!("application/vnd.oci.image.manifest.v1+json")),
        ("identity", "/images/0/identity", json!("a\u{1b}[31m b")),
        ("place", "/images/0/repository", json!("web")),
        ("tag", "/images/0/tags/0", json!("a b")),
        ("glob", "/immutableTags", json!(["["])),
        ("program", "/imgpack", json!("\u{7}")),
    ] {
        env.file(file, &original);
        edit(&env, file, |result| *result.pointer_mut(at).unwrap() = value.clone());
    }
    env.file("double", &original);
    edit(&env, "double", |result| {
        let image = result["images"][0].clone();
        result["images"].as_array_mut().unwrap().push(image);
    });
    let before = server.lines().len();
    let mut said = String::new();
    for file in [
        "zeros", "empty", "list", "deep", "other", "newer", "older", "digest", "platform", "none", "subset",
        "kind", "identity", "place", "tag", "glob", "program", "double",
    ] {
        let all = env.fails(2, &["merge", "amd64.json", file]);
        // Where in the file depends on the registry's port.
        let first = all.lines().next().unwrap();
        said += first.split(" at line ").next().unwrap();
        said.push('\n');
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert_snapshot!(said, @r"
    error: zeros is no result of `imgpack build`: it is no JSON object
    error: empty is no result of `imgpack build`: it is no JSON object
    error: list is no result of `imgpack build`: it is no JSON object
    error: deep is no result of `imgpack build`: it is no JSON object
    error: other has schemaVersion 2, and this imgpack reads 1
    error: newer has schemaVersion 7, and this imgpack reads 1
    error: older is no result of `imgpack build`: missing field `format`
    error: digest is no result of `imgpack build`: `sha256: [31m` is not a digest of the form sha256:<64 hex digits>
    error: platform is no result of `imgpack build`: `linux/s390x` is not a platform that imgpack builds for: linux/amd64 or linux/arm64
    error: none is no result of `imgpack build`: it has no image
    error: subset is no result of `imgpack build`: image web: its platforms are not some of its `specPlatforms`, each once
    error: kind is no result of `imgpack build`: image web: its media types are not those of an index and its manifests
    error: identity is no result of `imgpack build`: an identity is none
    error: place is no result of `imgpack build`: repository of web: `web` names no registry to push to
    error: tag is no result of `imgpack build`: image web: a tag is none
    error: glob is no result of `imgpack build`: tags.immutable: error parsing glob '[': unclosed character class; missing ']'
    error: program is no result of `imgpack build`: `imgpack` or `format` is no version
    error: double is no result of `imgpack build`: image web: it is there twice
    ");
    // Every bad file at once, and one that is not there.
    assert_snapshot!(env.fails(2, &["merge", "list", "absent.json", "empty"]), @r"
    error: list is no result of `imgpack build`: it is no JSON object
    hint: `imgpack build --push --result FILE` writes one
    error: absent.json is no result of `imgpack build`: there is no such file
    hint: `imgpack build --push --result FILE` writes one
    error: empty is no result of `imgpack build`: it is no JSON object
    hint: `imgpack build --push --result FILE` writes one
    ");
    assert_eq!(server.lines().len(), before, "nothing was asked");
}

#[test]
fn manifests_that_are_not_there_are_named() {
    let (server, other) = (keeping::start(), keeping::start());
    let mut env = workspace(&server);
    parts(&mut env);
    for file in ["amd64.json", "arm64.json"] {
        edit(&env, file, |result| {
            result["images"][0]["repository"] = json!(format!("{}/acme/web", other.address));
        });
    }
    assert_snapshot!(clean(&env.fails(4, &BOTH), &other), @r"
    error: web (linux/amd64): sha256:… of amd64.json is not in [registry]/acme/web: it was pushed to another registry, or was collected
    hint: build that platform again, with --push
    error: web (linux/arm64): sha256:… of arm64.json is not in [registry]/acme/web: it was pushed to another registry, or was collected
    hint: build that platform again, with --push
    ");
    assert!(other.lines().iter().all(|line| !line.starts_with("PUT")), "{:#?}", other.lines());
}

#[test]
fn a_manifest_is_what_its_file_says() {
    let server = keeping::start();
    let mut env = workspace(&server);
    parts(&mut env);
    let size = read(&env, "arm64.json")["images"][0]["platforms"][0]["manifest"]["size"].as_u64().unwrap();
    edit(&env, "arm64.json", |result| {
        result["images"][0]["platforms"][0]["manifest"]["size"] = json!(size + 1);
    });
    let before = server.lines().len();
    let said = clean(&env.fails(2, &BOTH), &server).replace(&(size + 1).to_string(), "561");
    assert_snapshot!(said.replace(&size.to_string(), "560"), @r"
    error: arm64.json is no result of `imgpack build`: image web: sha256:… is application/vnd.oci.image.manifest.v1+json of 560 bytes in [registry]/acme/web, not application/vnd.oci.image.manifest.v1+json of 561 bytes
    hint: `imgpack build --push --result FILE` writes one
    ");
    assert!(server.lines()[before..].iter().all(|line| !line.starts_with("PUT")), "{:#?}", server.lines());
}

#[test]
fn immutable_tags_do_not_move() {
    // One registry that answers HEAD, and one that does not: there, too, a tag that is taken is seen.
    for silent in [false, true] {
        let server =
            registry_but(move |asked| (silent && asked.method == "HEAD").then(|| Reply::status(405)));
        let mut env = workspace(&server);
        let head = format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address);
        env.file("imgpack.yaml", format!("{head}tags: {{ immutable: [\"v*\"] }}\n"));
        env.succeeds(&["build", "--push"]);
        env.succeeds(&["build", "--push"]);
        let (released, latest) = (set_to(&server, "v1"), set_to(&server, "latest"));
        env.file("conf/motd", "bye\n");
        let before = server.lines().len();
        let said = env.fails(1, &["build", "--push", "--quiet", "--result", "r.json"]);
        insta::allow_duplicates! {
        assert_snapshot!(clean(&said, &server), @r"
        error: [registry]/acme/web:v1 must not move: it is sha256:…, and this push would make it sha256:…
        hint: imgpack.yaml says so (`tags.immutable`), and nothing was tagged: give what changed another tag
        ");
        }
        let puts = |line: &&String| line.starts_with("PUT") && line.contains("/manifests/");
        assert_eq!(server.lines()[before..].iter().find(puts), None);
        assert!(!env.path("r.json").exists());

        // A merge knows the rule from the results.
        parts(&mut env);
        env.file("imgpack.yaml", head);
        let before = server.lines().len();
        assert_eq!(env.fails(1, &BOTH), said);
        assert_eq!(server.lines()[before..].iter().find(puts), None);
        assert_eq!((set_to(&server, "v1"), set_to(&server, "latest")), (released, latest));
        env.succeeds(&["merge", "amd64.json", "arm64.json", "--tag", "v2", "--tag", "latest"]);
    }
}

#[test]
fn tags_that_moved_and_tags_that_did_not_are_named() {
    let server = registry_but(|asked| {
        (asked.method == "PUT" && asked.target.ends_with("/manifests/v1")).then(|| {
            Reply::status(422).and_body(r#"{"errors":[{"code":"UNPROCESSABLE","message":"not today"}]}"#)
        })
    });
    let env = workspace(&server);
    let said = env.fails(4, &["build", "--push", "--quiet", "--result", "r.json"]);
    assert_snapshot!(clean(&said, &server), @r"
    error: not every tag moved: [registry]/acme/web:latest did, [registry]/acme/web:v1 did not
      because: PUT http://[registry]/v2/acme/web/manifests/v1 was answered with 422: UNPROCESSABLE, not today
    hint: all images are stored: the same command again only sets the tags that are left
    ");
    assert!(!env.path("r.json").exists());
}
