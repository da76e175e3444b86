//! Bases of a registry and their rows of the lock file: every command in every state of the two, what it asks the
//! registry, and what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use insta::assert_snapshot;

use crate::env::{Ended, Env, IMGPACK, without_digests};
use crate::fake::{Fake, Reply};
use crate::keeping;

const LOCK: &str = "imgpack.lock";

/// A registry with two bases; the tag `1` is the one or the other.
pub(crate) struct Bases {
    pub(crate) server: Fake,
    state: Arc<Mutex<State>>,
    pub(crate) one: String,
    pub(crate) two: String,
}

struct State {
    /// The tag that `1` stands for.
    tag: &'static str,
    gone: BTreeSet<String>,
}

impl Bases {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State { tag: "one", gone: BTreeSet::new() }));
        let (mut keeping, known) = (keeping::script(), Arc::clone(&state));
        let server = Fake::start(move |asked| {
            let known = known.lock().unwrap();
            let mut asked = asked.clone();
            if let Some(repository) = asked.target.strip_suffix("/manifests/1") {
                asked.target = format!("{repository}/manifests/{}", known.tag);
            }
            if known.gone.iter().any(|gone| asked.target.ends_with(gone)) {
                return Reply::status(404).and_body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#);
            }
            if asked.target == "/tool" {
                return Reply::body(known.tag);
            }
            keeping(&asked)
        });
        let env = Env::new();
        env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
        let mut pushed = ["one", "two"].map(|tag| {
            env.spec("base", &format!("base: scratch\nfiles: [{{ to: /version, text: {tag} }}]\n"));
            let said = env.succeeds(&["build", "--push", "--tag", tag]).stdout;
            said.trim().split_once('@').unwrap().1.to_owned()
        });
        let [one, two] = pushed.each_mut().map(std::mem::take);
        Self { server, state, one, two }
    }

    /// From now on the tag is the other.
    pub(crate) fn tag(&self, tag: &'static str) {
        self.state.lock().unwrap().tag = tag;
    }

    /// From now on this manifest or tag is not there.
    pub(crate) fn lose(&self, what: &str) {
        self.state.lock().unwrap().gone.insert(what.to_owned());
    }

    fn reset(&self) {
        *self.state.lock().unwrap() = State { tag: "one", gone: BTreeSet::new() };
    }

    pub(crate) fn reference(&self) -> String {
        format!("{}/acme/base:1", self.server.address)
    }

    /// A lock that pins the base.
    pub(crate) fn lock(&self, digest: &str) -> String {
        format!(
            "# Written by `imgpack lock`; commit it.\nversion 1\nimage {} digest {digest}\n",
            self.reference()
        )
    }

    /// A workspace with one image on the base.
    pub(crate) fn workspace(&self) -> Env {
        let env = Env::with_files();
        env.spec("web", &format!("base: {}\nfiles: {{ /etc/web: ../conf }}\n", self.reference()));
        env
    }

    /// What is said, with digests and the port replaced.
    pub(crate) fn said(&self, text: &str) -> String {
        let text = text.replace(&self.server.address.to_string(), "[registry]");
        let short = |digest: &str| format!("{}…", &digest[..19]);
        let text = text.replace(&self.one, "[one]").replace(&self.two, "[two]");
        without_digests(&text.replace(&short(&self.one), "[one]…").replace(&short(&self.two), "[two]…"))
    }

    /// The lines of stderr that are no progress.
    fn remarks(&self, ended: &Ended) -> String {
        let is_one = |line: &&str| {
            ["image ", "file ", "imgpack.lock: ", "note: ", "warning: ", "error: ", "  because: ", "hint: "]
                .iter()
                .any(|begin| line.starts_with(begin))
        };
        self.said(&ended.stderr.lines().filter(is_one).collect::<Vec<_>>().join("\n"))
    }
}

fn read(env: &Env) -> Option<String> {
    fs::read_to_string(env.path(LOCK)).ok()
}

/// The states: what the lock file says, what the tag is, and whether what is pinned is still there.
const STATES: [&str; 6] = ["no lock", "no row", "same", "moved", "gone", "unmerged"];

const COMMANDS: [&[&str]; 12] = [
    &["build"],
    &["build", "--locked"],
    &["CI", "build"],
    &["plan"],
    &["plan", "--locked"],
    &["explain"],
    &["lock"],
    &["lock", "--upgrade", "REF"],
    &["outdated"],
    &["build", "--offline"],
    &["warm", "build"],
    &["warm", "build", "--offline"],
];

/// Every command in every state: the exit code, which base the lock file then has if it was changed, which base is used,
/// what is asked: `?` for what the tag is, `!` for what is named by digest.
#[test]
fn every_command_in_every_state() {
    let bases = Bases::start();
    let mut table = format!("{:21}", "");
    for state in STATES {
        table += &format!(" | {state:20}");
    }
    for command in COMMANDS {
        table += &format!("\n{:21}", command.join(" ").replace(" REF", ""));
        for state in STATES {
            table += &format!(" | {:20}", cell(&bases, command, state));
        }
    }
    let table = table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_snapshot!(table, @r"
                          | no lock              | no row               | same                 | moved                | gone                 | unmerged
    build                 | 0 uses 1 ? !         | 0 locks 1 uses 1 ? ! | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    build --locked        | 2                    | 2                    | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    CI build              | 0 uses 1 ? !         | 2                    | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    plan                  | 0 uses 1 ? !         | 0 uses 1 ? !         | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    plan --locked         | 2                    | 2                    | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    explain               | 0 uses 1 ? !         | 0 uses 1 ? !         | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    lock                  | 0 locks 1 uses 1 ? ! | 0 locks 1 uses 1 ? ! | 0 uses 1 !           | 0 uses 1 !           | 4 !                  | 2
    lock --upgrade        | 0 locks 1 uses 1 ? ! | 0 locks 1 uses 1 ? ! | 0 uses 1 ? !         | 0 locks 2 uses 2 ? ! | 0 locks 2 uses 2 ? ! | 2
    outdated              | 2                    | 0                    | 0 ?                  | 1 ?                  | 1 ?                  | 2
    build --offline       | 4                    | 4                    | 4                    | 4                    | 4                    | 2
    warm build            | 0 ?                  | 0 locks 1 ?          | 0                    | 0                    | 0                    | 2
    warm build --offline  | 4                    | 4                    | 0                    | 0                    | 0                    | 2
    ");
}

fn cell(bases: &Bases, command: &[&str], state: &str) -> String {
    bases.reset();
    let mut env = bases.workspace();
    if command[0] == "warm" {
        // A store that has the first base.
        env.succeeds(&["build"]);
    }
    let before = match state {
        "no lock" => None,
        "no row" => Some("version 1\n".to_owned()),
        "unmerged" => Some(format!("{}<<<<<<< HEAD\n", bases.lock(&bases.one))),
        _ => Some(bases.lock(&bases.one)),
    };
    if let Some(text) = &before {
        env.file(LOCK, text);
    }
    if matches!(state, "moved" | "gone") {
        bases.tag("two");
    }
    if state == "gone" {
        bases.lose(&bases.one);
    }
    if command[0] == "CI" {
        env.set("CI", "true");
    }
    let reference = bases.reference();
    let words: Vec<&str> = command
        .iter()
        .filter(|word| !matches!(**word, "CI" | "warm"))
        .map(|word| if *word == "REF" { &*reference } else { *word })
        .collect();
    let asked = bases.server.lines().len();
    let ended = env.run(&words);
    let asked = &bases.server.lines()[asked..];
    let mut cell = ended.code.to_string();
    let after = read(&env);
    let pinned = after.as_deref().and_then(|text| pinned(text, &reference));
    if pinned != before.as_deref().and_then(|text| self::pinned(text, &reference)) {
        let name =
            [(&bases.one, "1"), (&bases.two, "2")].into_iter().find(|(digest, _)| pinned == Some(digest));
        cell += &format!(" locks {}", name.unwrap().1);
    }
    for (digest, name) in [(&bases.one, " uses 1"), (&bases.two, " uses 2")] {
        let pulls = format!("GET /v2/acme/base/manifests/{digest}");
        if ended.code == 0 && asked.contains(&pulls) {
            cell += name;
        }
    }
    let tags = asked.iter().filter(|line| line.ends_with("/manifests/1")).count();
    assert!(tags <= 1, "{asked:#?}");
    if tags > 0 {
        cell += " ?";
    }
    if asked.len() > tags {
        cell += " !";
    }
    cell
}

/// The pinned digest of an image.
fn pinned<'t>(lock: &'t str, reference: &str) -> Option<&'t str> {
    lock.lines().find_map(|line| line.strip_prefix(&format!("image {reference} digest ")))
}

#[test]
fn a_base_is_locked_and_upgraded() {
    let bases = Bases::start();
    let env = bases.workspace();
    let said = |arguments: &[&str]| bases.remarks(&env.succeeds(arguments));
    assert_snapshot!(said(&["lock"]), @"image [registry]/acme/base:1: [one]…");
    assert_eq!(pinned(&read(&env).unwrap(), &bases.reference()), Some(&*bases.one));
    assert_snapshot!(said(&["lock"]), @"imgpack.lock: unchanged");
    assert_snapshot!(said(&["outdated"]), @"imgpack.lock: nothing is outdated");

    bases.tag("two");
    assert_snapshot!(said(&["lock"]), @"imgpack.lock: unchanged");
    let outdated = env.run(&["outdated"]);
    assert_eq!((outdated.code, &*outdated.stderr), (1, ""));
    let words = outdated.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_snapshot!(bases.said(&words.collect::<Vec<_>>().join("\n")), @r"
    NAME PINNED NOW
    image [registry]/acme/base:1 [one]… [two]…
    ");
    let json = env.run(&["outdated", "--format", "json"]);
    assert_snapshot!(bases.said(&json.stdout), @r#"
    {
      "rows": [
        {
          "kind": "image",
          "name": "[registry]/acme/base:1",
          "now": "[two]",
          "outdated": true,
          "pinned": "[one]"
        }
      ],
      "schemaVersion": 1
    }
    "#);
    assert_eq!(pinned(&read(&env).unwrap(), &bases.reference()), Some(&*bases.one), "nothing is changed");
    let built = env.succeeds(&["build", "--locked"]).stdout;
    assert_snapshot!(said(&["lock", "--upgrade", &bases.reference()]), @"image [registry]/acme/base:1: [one]… → [two]…");
    assert_ne!(env.succeeds(&["build", "--locked"]).stdout, built);
    assert_snapshot!(bases.said(&env.fails(2, &["lock", "--upgrade", "alpine"])), @r"
    error: --upgrade alpine: no image is built with that
    hint: known are all, [registry]/acme/base:1
    ");
}

#[test]
fn what_is_said_of_a_row() {
    let bases = Bases::start();
    let mut env = bases.workspace();
    env.file(LOCK, "version 1\n");
    let strict = env.fails(2, &["build", "--locked", "--quiet"]);
    assert_snapshot!(bases.said(&strict), @r"
    error: web (linux/amd64, linux/arm64): imgpack.lock has no row `image [registry]/acme/base:1`
    hint: run `imgpack lock`, and commit the file
    ");
    env.set("CI", "true");
    assert_eq!(env.run(&["plan"]).stderr, strict);
    env.unset("CI");
    let asked = bases.server.lines().len();
    assert_snapshot!(bases.remarks(&env.succeeds(&["build"])), @"note: imgpack.lock: added image [registry]/acme/base:1: [one]…");
    let asked = bases.server.lines()[asked..].iter().filter(|line| line.starts_with("HEAD ")).count();
    assert_eq!(asked, 1, "for both platforms");
    assert_snapshot!(bases.remarks(&env.succeeds(&["build", "--locked"])), @"");

    // What is pinned is gone, and not in this store.
    env.set("IMGPACK_CACHE", env.outside("other"));
    bases.tag("two");
    bases.lose(&bases.one);
    let gone = env.fails(4, &["build", "--quiet"]);
    assert_snapshot!(bases.said(&gone), @r"
    error: web (linux/amd64, linux/arm64): imgpack.lock pins [registry]/acme/base:1 to [one], which [registry] no longer has
      because: [registry]/acme/base@[one] is not there: GET http://[registry]/v2/acme/base/manifests/[one] was answered with 404: MANIFEST_UNKNOWN
    hint: `imgpack lock --upgrade [registry]/acme/base:1` pins what the tag is now
    ");
    env.succeeds(&["lock", "--upgrade", &bases.reference()]);
    env.succeeds(&["build", "--locked"]);
    // Nor is there anything to ask for any more.
    bases.lose("/manifests/two");
    let outdated = env.run(&["outdated"]);
    assert_eq!(outdated.code, 1);
    assert!(outdated.stdout.trim_end().ends_with("  gone"), "{}", outdated.stdout);

    env.file(LOCK, format!("version 1\nimage {} facts2/linux/amd64 {}\n", bases.reference(), bases.one));
    assert_snapshot!(bases.said(&env.fails(2, &["build", "--quiet"])), @r"
    error: web (linux/amd64, linux/arm64): imgpack.lock: the row `image [registry]/acme/base:1` has no digest
    hint: `imgpack lock --upgrade [registry]/acme/base:1` sets it
    ");
}

#[test]
fn a_registry_that_cannot_be_asked_hides_no_other() {
    let bases = Bases::start();
    let env = bases.workspace();
    let none = format!("image 127.0.0.1:1/acme/base:1 digest {}\n", bases.one);
    env.file(LOCK, bases.lock(&bases.one) + &none);
    bases.tag("two");
    let ended = env.run(&["outdated"]);
    assert_eq!(ended.code, 4);
    assert!(ended.stdout.contains("acme/base:1"), "{}", ended.stdout);
    assert_snapshot!(bases.said(&ended.stderr), @r"
    error: image 127.0.0.1:1/acme/base:1: cannot reach the registry 127.0.0.1:1: HEAD http://127.0.0.1:1/v2/acme/base/manifests/1
      because: Connection refused (os error 111)
    hint: is a registry listening on 127.0.0.1:1?
    ");
    let none = Env::with_files();
    assert_snapshot!(none.fails(2, &["outdated"]), @r"
    error: the workspace has no imgpack.lock
    hint: `imgpack lock` makes it
    ");
}

#[test]
fn what_cannot_be_asked_is_asked_once_for_all_images() {
    let server = Fake::start(|_| Reply::status(403));
    let env = Env::new();
    for name in ["api", "web"] {
        env.spec(name, &format!("base: {}/acme/base:1\n", server.address));
    }
    let said = env.fails(4, &["build", "--quiet"]).replace(&server.address.to_string(), "[registry]");
    assert!(
        said.starts_with("error: api, web (linux/amd64, linux/arm64): [registry] refuses access"),
        "{said}"
    );
    assert_eq!(server.lines(), ["HEAD /v2/acme/base/manifests/1", "GET /v2/acme/base/manifests/1"]);
}

/// Answers that there is nothing.
fn answer(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[test]
fn tags_are_asked_for_at_once() {
    for verb in ["build", "plan", "lock"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let env = Env::new();
        for name in ["a", "b", "c"] {
            env.spec(name, &format!("base: {}/acme/{name}:1\n", listener.local_addr().unwrap()));
        }
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| sender.send(stream)));
        thread::scope(|scope| {
            let ended = scope.spawn(|| env.run(&[verb, "--jobs", "1"]));
            // Nobody is answered before all three asked.
            let first: Vec<TcpStream> =
                (0..3).map(|_| asked.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
            first.into_iter().for_each(answer);
            while !ended.is_finished() {
                asked.recv_timeout(Duration::from_millis(10)).into_iter().for_each(answer);
            }
            assert_eq!(ended.join().unwrap().code, 4);
        });
    }
}

#[test]
fn the_data_that_imgpack_carries() {
    let mut env = Env::with_files();
    env.spec("web", "base: static\nfiles: { /etc/web: ../conf }\n");
    assert_snapshot!(env.succeeds(&["lock"]).stderr, @"builtin static: version 1");
    env.succeeds(&["build", "--locked"]);
    let text = read(&env).unwrap();
    env.file(LOCK, text.replace("static version 1", "static version 7"));
    // Also where nothing is read of it.
    let said = env.fails(2, &["build", "--quiet"]);
    assert_snapshot!(said, @r"
    error: web (linux/amd64, linux/arm64): imgpack.lock pins static@7, and this imgpack carries static@1
    hint: use an imgpack that carries it, or pin this one's with `imgpack lock --upgrade static`
    ");
    assert_eq!(env.fails(2, &["lock"]), said);
    assert_snapshot!(env.run(&["outdated"]).stdout, @r"
    NAME            PINNED  NOW
    builtin static  7       1
    ");
    assert_snapshot!(env.succeeds(&["lock", "--upgrade", "static"]).stderr, @"builtin static: version 7 → 1");
    env.file(LOCK, "version 1\n");
    env.set("CI", "true");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): imgpack.lock has no row `builtin static`
    hint: run `imgpack lock`, and commit the file
    ");
    // Who writes the file is not held to it.
    env.succeeds(&["lock"]);
    env.succeeds(&["build"]);
    env.file(LOCK, "version 1\n");
    // A component is some of it, and a digest says all there is to say.
    let digest = format!("sha256:{}", "0".repeat(64));
    env.spec("web", "base: scratch\ncomponents: [tzdata]\n");
    assert!(env.fails(2, &["build", "--quiet"]).contains("no row `builtin static`"));
    env.spec("web", &format!("base: 127.0.0.1:1/x@{digest}\n"));
    assert!(env.fails(4, &["build", "--quiet"]).contains("cannot reach the registry"));
}

#[test]
fn programs_are_data_of_their_own() {
    let env = Env::with_files();
    env.spec("web", "base: scratch\ninit: true\nimage: { entrypoint: [/x], healthcheck: \"tcp://:80\" }\n");
    assert_snapshot!(env.succeeds(&["lock"]).stderr, @r"
    builtin init: version 1
    builtin probe: version 1
    ");
    let text = read(&env).unwrap();
    env.file(LOCK, text.replace("probe version 1", "probe version 1+abcdef012345"));
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): imgpack.lock pins probe@1+abcdef012345, and this imgpack carries probe@1
    hint: use an imgpack that carries it, or pin this one's with `imgpack lock --upgrade probe`
    ");
    assert_snapshot!(env.run(&["outdated"]).stdout, @r"
    NAME           PINNED          NOW
    builtin probe  1+abcdef012345  1
    ");
}

#[test]
fn only_what_nothing_asks_for_goes_and_only_without_a_selection() {
    let bases = Bases::start();
    let env = bases.workspace();
    let other = |tag: &str| bases.reference().replace("base:1", &format!("base:{tag}"));
    env.spec(
        "db",
        &format!("base: {}\nvariants: {{ next: {{ base: '{}' }} }}\n", other("one"), other("two")),
    );
    // Every variant, though `build` takes them only when they are named.
    assert_snapshot!(bases.remarks(&env.succeeds(&["lock"])), @r"
    image [registry]/acme/base:1: [one]…
    image [registry]/acme/base:one: [one]…
    image [registry]/acme/base:two: [two]…
    ");
    env.succeeds(&["build", "--variant", "next", "--locked"]);
    env.spec("db", "base: scratch\n");
    env.file(LOCK, read(&env).unwrap() + "toolchain zig version 1\n");
    for arguments in [&["lock", "db"][..], &["lock", "--platform", "linux/amd64"], &["lock", "--toolchains"]]
    {
        assert_eq!(env.succeeds(arguments).stderr, "imgpack.lock: unchanged\n");
    }
    assert_snapshot!(bases.remarks(&env.succeeds(&["lock"])), @r"
    image [registry]/acme/base:one: dropped, nothing asks for it
    image [registry]/acme/base:two: dropped, nothing asks for it
    ");
    assert!(read(&env).unwrap().contains("toolchain zig"), "tools of other machines stay");
}

/// A command that found a row while somebody else writes the file: the file as it was then is what is added to.
fn while_another_writes(bases: &Bases, env: &Env, text: &str) -> Ended {
    env.file(LOCK, "version 1\n");
    let folder = fs::File::open(env.path("")).unwrap();
    folder.lock().unwrap();
    let asked = bases.server.lines().len();
    thread::scope(|scope| {
        let ended = scope.spawn(|| env.run(&["build", "--platform", "linux/amd64"]));
        // It read the lock file before it asked.
        while bases.server.lines().len() == asked && !ended.is_finished() {
            thread::yield_now();
        }
        env.file(LOCK, text);
        folder.unlock().unwrap();
        ended.join().unwrap()
    })
}

#[test]
fn no_row_of_another_command_is_lost() {
    let bases = Bases::start();
    let env = bases.workspace();
    let ended = while_another_writes(&bases, &env, "version 1\ntoolchain zig version 1\n");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let text = read(&env).unwrap();
    assert!(text.contains("toolchain zig") && text.contains(&bases.one), "{text}");

    let ended = while_another_writes(&bases, &env, &bases.lock(&bases.two));
    assert_eq!(read(&env), Some(bases.lock(&bases.two)));
    assert_snapshot!(bases.remarks(&ended), @"warning: another command pinned image [registry]/acme/base:1 meanwhile (digest [one] → [two]): this one used what it had found; run it again to build with what is pinned");
    env.is_tidy();
}

#[test]
fn many_commands_at_once_add_all_their_rows() {
    let bases = Bases::start();
    let env = bases.workspace();
    env.file(LOCK, "version 1\n");
    let tags = ["1", "one", "two"];
    for tag in tags {
        let reference = bases.reference().replace("base:1", &format!("base:{tag}"));
        env.spec(&format!("on-{tag}"), &format!("base: {reference}\nplatforms: [linux/amd64]\n"));
    }
    let services = tags.map(|tag| format!("on-{tag}"));
    let ended = thread::scope(|scope| {
        let started: Vec<_> =
            services.iter().map(|service| scope.spawn(|| env.run(&["build", service]))).collect();
        started.into_iter().map(|build| build.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(ended.iter().all(|ended| ended.code == 0), "{ended:#?}");
    env.is_tidy();
    assert_eq!(read(&env).unwrap().matches(" digest ").count(), tags.len(), "{:?}", read(&env));
}

#[test]
fn a_command_that_is_killed_leaves_the_lock_as_it_was() {
    let bases = Bases::start();
    let env = bases.workspace();
    env.file(LOCK, "version 1\n");
    let folder = fs::File::open(env.path("")).unwrap();
    folder.lock().unwrap();
    let asked = bases.server.lines().len();
    let mut build = env.command(IMGPACK, &["build"]).spawn().unwrap();
    // Both platforms' configs are there: all that is left of the base is the row.
    let pulled = || bases.server.lines()[asked..].iter().filter(|line| line.contains("/blobs/")).count();
    while pulled() < 3 {
        thread::yield_now();
    }
    build.kill().unwrap();
    build.wait().unwrap();
    assert_eq!(read(&env).unwrap(), "version 1\n");
    folder.unlock().unwrap();
    assert_eq!(env.run(&["build"]).code, 0);
    assert_eq!(pinned(&read(&env).unwrap(), &bases.reference()), Some(&*bases.one));
}

#[test]
fn the_facts_of_a_base_are_pinned_and_compared() {
    let bases = Bases::start();
    let mut env = bases.workspace();
    env.succeeds(&["lock", "--platform", "linux/amd64"]);
    let facts = |env: &Env| {
        let of = |line: &str| {
            line.strip_prefix(&format!("image {} facts2/", bases.reference())).map(str::to_owned)
        };
        read(env).unwrap().lines().filter_map(of).collect::<Vec<_>>()
    };
    let one = facts(&env);
    assert!(one.len() == 1 && one[0].starts_with("linux/amd64 sha256:"), "{one:?}");
    // What a build learns is added; in CI it is not.
    env.set("CI", "true");
    env.succeeds(&["build"]);
    assert_eq!(facts(&env), one);
    env.unset("CI");
    env.file("conf/motd", "changed\n");
    let built = env.succeeds(&["build"]);
    assert_snapshot!(bases.remarks(&built), @"note: imgpack.lock: image [registry]/acme/base:1: facts2/linux/arm64 added");
    assert_eq!(facts(&env).len(), 2);
    let locked = read(&env).unwrap();
    assert!(env.succeeds(&["lock"]).stderr.ends_with("imgpack.lock: unchanged\n"));

    // Another machine reads the same of it.
    env.set("IMGPACK_CACHE", env.outside("other"));
    env.set("CI", "true");
    assert_eq!(env.succeeds(&["build"]).stdout, built.stdout);
    env.file("conf/motd", "again\n");
    env.file(LOCK, locked.replace(&one[0], &format!("linux/amd64 {}", bases.two)));
    assert_snapshot!(bases.said(&env.fails(2, &["build", "--quiet"])), @r"
    error: web (linux/amd64): imgpack.lock pins [registry]/acme/base:1 with the facts [two] for linux/amd64, and this imgpack reads sha256:… of it
    hint: the lock was written by another imgpack: run `imgpack lock`, and commit the file
    ");
    assert!(bases.said(&env.succeeds(&["lock"]).stderr).ends_with("facts2/linux/amd64 changed\n"));
    assert_eq!(read(&env).unwrap(), locked);
}

#[test]
fn what_files_are_taken_from_is_pinned() {
    let bases = Bases::start();
    let mut env = bases.workspace();
    let (reference, address) = (bases.reference(), format!("http://{}/tool", bases.server.address));
    env.spec(
        "web",
        &format!(
            "base: {reference}\nfiles:\n  - {{ from: 'image:{reference}', path: /version, to: /v }}\n  - {{ from: \
             '{address}', to: /tool }}\n"
        ),
    );
    let asked = bases.server.lines().len();
    env.succeeds(&["lock"]);
    let lines = bases.server.lines()[asked..].to_vec();
    assert_eq!(lines.iter().filter(|line| line.starts_with("HEAD ")).count(), 1, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with("/tool")).count(), 1, "{lines:#?}");
    let built = env.succeeds(&["build", "--locked"]).stdout;
    bases.tag("two");
    assert_eq!(env.succeeds(&["build", "--locked", "--no-cache"]).stdout, built);
    let upgraded = env.succeeds(&["lock", "--upgrade", &address, "--upgrade", &reference]).stderr;
    for what in [format!("image {reference}: "), format!("file {address}: ")] {
        let line = upgraded.lines().find_map(|line| line.strip_prefix(&what)).unwrap();
        assert!(line.contains(" → "), "{upgraded}");
    }
    assert_ne!(env.succeeds(&["build", "--locked"]).stdout, built);
    env.succeeds(&["build", "--locked", "--offline"]);

    // What is pinned is gone, and not in this store.
    let row = format!("from: 'image:{reference}', path: /version, to: /v");
    env.spec("web", &format!("base: scratch\nfiles: [{{ {row} }}]\n"));
    bases.lose(&bases.two);
    env.set("IMGPACK_CACHE", env.outside("other"));
    assert_snapshot!(bases.said(&env.fails(4, &["build", "--quiet", "--locked"])), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:9: imgpack.lock pins [registry]/acme/base:1 to [two], which [registry] no longer has
      because: [registry]/acme/base@[two] is not there: GET http://[registry]/v2/acme/base/manifests/[two] was answered with 404: MANIFEST_UNKNOWN
    hint: `imgpack lock --upgrade [registry]/acme/base:1` pins what the tag is now
    ");
    env.spec("web", "base: scratch\n");
    let dropped = env.succeeds(&["lock"]).stderr;
    assert_eq!(dropped.matches("dropped, nothing asks for it").count(), 2, "{dropped}");
}
