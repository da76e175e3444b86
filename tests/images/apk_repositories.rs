//! Repositories of Alpine packages by their addresses: mirrors, what is pinned, what is newer, and what is said where they
//! cannot be had.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use crate::alpine_packages::{KEY, base, tool};
use crate::apk_repository::{Key, Part, Recipe, repository};
use crate::fake::{Fake, Reply};
use crate::program::{failure, installed, text};
use crate::workspace::Workspace;

const OWN: &str = "http://dl-cdn.alpinelinux.org/alpine";
const MIRROR: &str = "http://mirror.example/alpine";

/// A workspace on a base that names Alpine's own repository, and all hosts of the network: imgpack is sent to them as to a proxy.
struct World {
    workspace: Workspace,
    key: Key,
    files: Arc<Mutex<BTreeMap<String, Reply>>>,
    network: Fake,
}

impl World {
    fn new(more: &str) -> Option<Self> {
        if !installed(&["openssl"]) {
            return None;
        }
        let workspace = Workspace::new(&format!(
            "{more}services: {{ a: {{ base: {{ rootfs: {{ linux/amd64: base.tar.gz }} }}, platforms: [linux/amd64], packages: \
             {{ apk: {{ install: [tool] }} }} }} }}\n"
        ));
        let folder = workspace.beside("keys");
        fs::create_dir_all(&folder).unwrap();
        let key = Key::new(&folder, KEY);
        let public: &'static str = Box::leak(key.public.clone().into_boxed_str());
        let repositories = "http://dl-cdn.alpinelinux.org/alpine/v3.20/main\n";
        let more = [("etc/apk/repositories", repositories), ("etc/apk/keys/test-1.rsa.pub", public)];
        workspace.write("base.tar.gz", base(&more));
        let files: Arc<Mutex<BTreeMap<String, Reply>>> = Arc::default();
        let known = Arc::clone(&files);
        let network = Fake::start(move |asked| {
            known.lock().unwrap().get(&asked.target).cloned().unwrap_or_else(|| Reply::status(404))
        });
        Some(Self { workspace, key, files, network })
    }

    /// Puts a signed repository of these packages at `archive`.
    fn publish(&self, archive: &str, recipes: &[Recipe]) {
        let folder = tempfile::tempdir().unwrap();
        repository(folder.path(), "x86_64", recipes, &self.key);
        for file in fs::read_dir(folder.path().join("x86_64")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            let reply = Reply::body(fs::read(file.path()).unwrap());
            self.put(&format!("{archive}/v3.20/main/x86_64/{name}"), reply);
        }
    }

    fn put(&self, address: &str, reply: Reply) {
        self.files.lock().unwrap().insert(address.to_owned(), reply);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.command(arguments);
        for name in ["HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "IMGPACK_MIRRORS"] {
            command.env_remove(name);
        }
        command.env("http_proxy", format!("http://{}", self.network.address));
        command
    }

    fn imgpack(&self, arguments: &[&str]) -> String {
        text(&mut self.command(arguments))
    }

    /// What is said at a bad end, without digests and sizes.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let told = failure(&mut self.command(arguments), code);
        let mut parts = told[told.find("error:").unwrap_or(0)..].split("sha256:");
        let first = parts.next().unwrap_or_default().to_owned();
        let told = parts.fold(first, |text, part| {
            let rest = part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
            text + "sha256:…" + rest
        });
        // A signature does not always pack to the same length.
        match told.split_once("has not the ") {
            Some((head, rest)) => {
                let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
                format!("{head}has not the …{rest}")
            }
            None => told,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.network.requests().into_iter().map(|asked| asked.target).collect()
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.workspace.root.join("imgpack.lock")).unwrap()
    }

    /// Nothing is known any more.
    fn forget(&self) {
        let _ = fs::remove_dir_all(self.workspace.cache());
    }
}

#[test]
fn mirrors_come_before_alpines_own() {
    let Some(world) = World::new(&format!("mirrors: {{ apk: [{MIRROR}/] }}\n")) else { return };
    world.publish(MIRROR, &[tool()]);
    world.imgpack(&["lock"]);
    let at = |archive: &str, name: &str| format!("{archive}/v3.20/main/x86_64/{name}");
    assert_eq!(world.asked(), [at(MIRROR, "APKINDEX.tar.gz"), at(MIRROR, "tool-1-r0.apk")]);
    // Where it came from is nothing for a lock.
    let lock = world.lock();
    assert!(!lock.contains("mirror.example"), "{lock}");
    assert!(lock.contains(&format!("package apk/x86_64/tool=1-r0 repository {OWN}/v3.20/main\n")), "{lock}");
    // What one does not have, the next has; what this machine says comes first.
    world.forget();
    world.files.lock().unwrap().clear();
    world.publish(OWN, &[tool()]);
    let built = world.imgpack(&["build", "--locked"]);
    assert_eq!(world.asked()[2..], [at(MIRROR, "tool-1-r0.apk"), at(OWN, "tool-1-r0.apk")]);
    world.forget();
    let mut command = world.command(&["build", "--locked"]);
    command.env("IMGPACK_MIRRORS", "apk=http://near.example/a");
    assert_eq!(text(&mut command), built);
    assert_eq!(world.asked()[4..], [at("http://near.example/a", "tool-1-r0.apk"), at(OWN, "tool-1-r0.apk")]);
    // With all that is there nothing is asked.
    assert_eq!(world.imgpack(&["build", "--locked", "--offline"]), built);
    assert_eq!(world.asked().len(), 6);
}

#[test]
fn repositories_that_cannot_be_had() {
    let Some(world) = World::new("") else { return };
    assert_snapshot!(world.refused(4, &["build", "--quiet"]), @r"
    error: a (linux/amd64): imgpack.yaml:3:109: cannot fetch the index of http://dl-cdn.alpinelinux.org/alpine/v3.20/main
      because: http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/APKINDEX.tar.gz was answered with 404
    hint: `mirrors: { apk: […] }` in imgpack.yaml names another mirror
    ");
    assert_snapshot!(world.refused(4, &["build", "--quiet", "--offline"]), @r"
    error: a (linux/amd64): imgpack.yaml:3:109: which packages http://dl-cdn.alpinelinux.org/alpine/v3.20/main has now is not known here, and --offline lets no request leave
    hint: run `imgpack lock` without --offline: what is pinned needs no question
    ");
    world.publish(OWN, &[tool()]);
    let index = format!("{OWN}/v3.20/main/x86_64/APKINDEX.tar.gz");
    let package = format!("{OWN}/v3.20/main/x86_64/tool-1-r0.apk");
    let of = |address: &str| world.files.lock().unwrap()[address].clone();
    let (good_index, good_package) = (of(&index), of(&package));
    world.put(&index, good_index.clone().cut_after(100));
    assert_snapshot!(world.refused(4, &["build", "--quiet"]), @r"
    error: a (linux/amd64): imgpack.yaml:3:109: cannot fetch the index of http://dl-cdn.alpinelinux.org/alpine/v3.20/main
      because: the connection broke while http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/APKINDEX.tar.gz was read
      because: end of file before message length reached
    hint: `mirrors: { apk: […] }` in imgpack.yaml names another mirror
    ");
    world.put(&index, Reply::body(b"<html>sign in</html>".to_vec()));
    assert_snapshot!(world.refused(4, &["build", "--quiet"]), @r"
    error: a (linux/amd64): imgpack.yaml:3:109: the index http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/APKINDEX.tar.gz (sha256:…) cannot be used
      because: it is no file of apk: it does not begin with a gzip stream
    ");
    world.put(&index, good_index);

    world.imgpack(&["lock"]);
    for (reply, name) in [
        (Reply::status(404), "gone"),
        (good_package.clone().cut_after(200), "cut"),
        (Reply::body(vec![0; 10]), "short"),
        (Reply::body(vec![0; 100_000]), "long"),
    ] {
        world.forget();
        world.put(&package, reply);
        let told = world.refused(4, &["build", "--quiet", "--locked"]);
        match name {
            "gone" => assert_snapshot!(told, @r"
            error: a (linux/amd64): cannot fetch package tool-1-r0
              because: http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk was answered with 404
            hint: `mirrors: { apk: […] }` in imgpack.yaml names another mirror
            "),
            "cut" => assert_snapshot!(told, @r"
            error: a (linux/amd64): cannot fetch package tool-1-r0
              because: the connection broke while http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk was read
              because: end of file before message length reached
            hint: `mirrors: { apk: […] }` in imgpack.yaml names another mirror
            "),
            "short" => assert_snapshot!(told, @r"
            error: a (linux/amd64): package tool-1-r0 is another file at http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk: expected sha256:…, found sha256:…
            hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
            "),
            _ => assert_snapshot!(told, @r"
            error: a (linux/amd64): package tool-1-r0 at http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk has not the … bytes that are expected
            hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
            "),
        }
        if name == "long" {
            // The same without a lock, where the index alone says what it is.
            fs::remove_file(world.workspace.root.join("imgpack.lock")).unwrap();
            assert_snapshot!(world.refused(4, &["build", "--quiet"]), @r"
            error: a (linux/amd64): imgpack.yaml:3:109: package tool-1-r0 at http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk has not the … bytes that are expected
            hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
            ");
            world.put(&package, Reply::body(vec![0; 10]));
            assert_snapshot!(world.refused(4, &["build", "--quiet"]), @r"
            error: a (linux/amd64): imgpack.yaml:3:109: package tool-1-r0 at http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk has not the … bytes that are expected
            hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
            ");
            world.put(&package, good_package.clone());
            world.imgpack(&["lock"]);
        }
    }
    world.forget();
    assert_snapshot!(world.refused(4, &["build", "--quiet", "--locked", "--offline"]), @r"
    error: a (linux/amd64): cannot fetch package tool-1-r0
      because: the file http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/tool-1-r0.apk is not known here, and --offline lets no request leave
    hint: run once without --offline: what it brings is kept
    ");
}

#[test]
fn a_lock_does_not_move_by_itself() {
    let Some(world) = World::new("") else { return };
    let library = |version| {
        let parts = [Part::Directory("usr", 0o755), Part::File("usr/library", 0o644, version)];
        Recipe::new("library", version).parts(&parts)
    };
    world.publish(OWN, &[tool().info("depend", "library"), library("1-r0")]);
    world.imgpack(&["lock"]);
    let locked = world.lock();
    assert_eq!(world.imgpack(&["outdated"]), "");
    world.publish(
        OWN,
        &[tool().info("depend", "library"), library("1-r0"), library("1.1_rc2-r0"), library("1.1-r3")],
    );
    world.imgpack(&["lock"]);
    assert_eq!(world.lock(), locked);
    let output = world.command(&["outdated"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    NAME                        PINNED  NOW
    package apk/x86_64/library  1-r0    1.1-r3
    ");
    let unknown = world.refused(2, &["lock", "--upgrade", "aarch64"]);
    assert!(unknown.contains("--upgrade aarch64: no image is built with that"), "{unknown}");
    for name in ["apk", "library"] {
        fs::write(world.workspace.root.join("imgpack.lock"), &locked).unwrap();
        world.imgpack(&["lock", "--upgrade", name]);
        assert!(world.lock().contains("install library=1.1-r3 tool=1-r0\n"), "{name}: {}", world.lock());
    }
    let newer = world.lock();
    assert!(!newer.contains("library=1-r0"), "rows that nobody asks for go\n{newer}");
    assert_eq!(world.imgpack(&["outdated"]), "");
    world.imgpack(&["build", "--locked", "--offline"]);
    // On an image of the workspace.
    world.workspace.write("imgpack.yaml", on_another());
    world.imgpack(&["lock"]);
    world.forget();
    assert_eq!(world.imgpack(&["outdated"]), "");
    // A package that is gone, and a repository that does not answer.
    world.publish(OWN, &[Recipe::new("tool", "2-r0")]);
    let output = world.command(&["outdated"]).output().unwrap();
    assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    NAME                        PINNED  NOW
    package apk/x86_64/library  1.1-r3  gone
    package apk/x86_64/tool     1-r0    2-r0
    ");
    world.files.lock().unwrap().clear();
    assert_snapshot!(world.refused(4, &["outdated"]), @r"
    error: packages of a: cannot fetch the index of http://dl-cdn.alpinelinux.org/alpine/v3.20/main
      because: http://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/APKINDEX.tar.gz was answered with 404
    hint: `mirrors: { apk: […] }` in imgpack.yaml names another mirror
    ");
}

/// The same service, and one on its image.
fn on_another() -> &'static str {
    "apiVersion: imgpack/v1\nregistry: registry.example/team\nservices:\n  a:\n    base: { rootfs: { linux/amd64: base.tar.gz } }\n    \
     platforms: [linux/amd64]\n    packages: { apk: { install: [tool] } }\n  b:\n    base: spec:a\n    \
     platforms: [linux/amd64]\n    packages: { apk: { install: [library] } }\n"
}

#[test]
fn a_key_is_for_the_image_that_names_it() {
    if !installed(&["openssl"]) {
        return;
    }
    let service = |name: &str, key: &str| {
        format!(
            "  {name}:\n    base: {{ rootfs: {{ linux/amd64: base.tar.gz }} }}\n    platforms: [linux/amd64]\n    packages: \
             {{ apk: {{ install: [tool], repositories: [{{ dir: repo{key} }}] }} }}\n"
        )
    };
    let services = service("a", ", key: test-1.rsa.pub") + &service("b", "");
    let workspace = Workspace::new(&format!("services:\n{services}"));
    let folder = workspace.beside("keys");
    fs::create_dir_all(&folder).unwrap();
    let key = Key::new(&folder, KEY);
    workspace.write(KEY, &key.public);
    workspace.write("base.tar.gz", base(&[]));
    repository(&workspace.root.join("repo"), "x86_64", &[tool()], &key);
    let told = failure(&mut workspace.command(&["build", "--quiet", "--keep-going"]), 4);
    assert!(told.starts_with("error: b (linux/amd64): ") && told.matches("error:").count() == 1, "{told}");
    assert!(told.contains("it is signed with test-1.rsa.pub, which is no trusted key"), "{told}");
}
