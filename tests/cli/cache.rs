//! `imgpack cache`: what is counted, what goes and what stays, and what is damaged; commands that meet in one cache.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, SystemTime};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::builders::{GO, RUST, with_go, with_rust};
use crate::env::{Env, IMGPACK, files_below};

/// Two services that share their base and one file.
fn two() -> Env {
    let env = Env::with_files();
    env.file("other/own", "of its own\n");
    env.spec(
        "other",
        "base: scratch\nplatforms: [linux/amd64]\nfiles:\n  - { from: ../conf, to: /etc/web }\n  - { from: ../other, to: /srv, class: config }\n",
    );
    env.spec("web", "base: scratch\nplatforms: [linux/amd64]\nfiles: { /etc/web: ../conf }\n");
    env
}

fn json(env: &Env) -> Value {
    serde_json::from_str(&env.succeeds(&["cache", "du", "--format", "json"]).stdout).unwrap()
}

fn blobs(env: &Env) -> Vec<PathBuf> {
    let found = files_below(&env.cache().join("v1/blobs"));
    found.into_iter().filter(|path| path.is_file()).collect()
}

/// Everything that was used before is as if that had been so many days ago.
fn age(env: &Env, days: u64) {
    let time = SystemTime::now() - Duration::from_hours(24 * days);
    for path in files_below(&env.cache().join("v1")) {
        File::open(path).unwrap().set_modified(time).unwrap();
    }
}

/// The text with every size as `…`.
fn without_sizes(text: &str) -> String {
    let mut clean = Vec::new();
    for line in text.lines() {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        for index in (1..words.len()).rev() {
            let unit = words[index].trim_end_matches([',', ')']);
            if ["B", "kB", "MB"].contains(&unit)
                && words[index - 1].trim_start_matches('(').parse::<f64>().is_ok()
            {
                words.splice(index - 1..=index, ["…"]);
            }
        }
        clean.push(words.join(" ") + "\n");
    }
    clean.concat()
}

#[test]
fn du_says_what_takes_the_space_and_whose_it_is() {
    let mut env = two();
    assert_snapshot!(env.succeeds(&["cache", "du"]).stdout, @r"
    0 B on disk in [dir]/cache/v1

    kind              size  things  unused 30 d  what it is
    all                0 B       0            -
    ");
    env.succeeds(&["build", "--quiet"]);
    env.set("IMGPACK_CACHE_MAX_SIZE", "2GB");
    let said = env.succeeds(&["cache", "du"]);
    assert_eq!(said.stderr, "");
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80), "{}", said.stdout);
    assert_snapshot!(without_sizes(&said.stdout), @r"
    … on disk in [dir]/cache/v1, limit 2.0 GB

    kind size things unused 30 d what it is
    layers … 2 - layers of images, compressed
    documents … 4 - manifests, configs, indexes
    records … 9 - what was made from what
    all … 15 -

    service its own with others last built
    other … … within a day
    web … … within a day

    Everything here is made again when it is needed: imgpack cache prune --help
    ");

    let value = json(&env);
    let sum = |list: &str, field: &str| -> u64 {
        value[list].as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum()
    };
    assert_eq!(value["allocated"].as_u64(), Some(sum("kinds", "allocated")));
    assert_eq!(value["limit"], 2_000_000_000);
    assert_eq!(value["services"][0]["service"], "other");
    assert_eq!(value["services"][0]["workspace"], "[ws]");
    assert!(value["services"][0]["lastBuilt"].as_str().unwrap().ends_with('Z'));
    // The layer of both is shared, and the one of `other` is its own.
    assert!(
        sum("services", "shared") > 0
            && value["services"][0]["own"].as_u64() > value["services"][1]["own"].as_u64()
    );
}

#[test]
fn du_names_the_services_that_take_most() {
    let env = Env::with_files();
    for number in 0..22 {
        let text = format!(
            "base: scratch\nplatforms: [linux/amd64]\nfiles:\n  - {{ text: \"{number}\", to: /n }}\n"
        );
        env.spec(&format!("s{number:02}"), &text);
    }
    env.succeeds(&["build", "--quiet"]);
    let said = env.succeeds(&["cache", "du"]).stdout;
    assert_eq!(said.matches("within a day").count(), 20, "{said}");
    assert!(said.contains("\nand 3 more, each with less; --format json has all\n"), "{said}");
    assert_eq!(json(&env)["services"].as_array().unwrap().len(), 23);
}

#[test]
fn what_is_pruned_is_made_again() {
    let env = two();
    let first = env.succeeds(&["build", "--quiet"]);
    let count = blobs(&env).len();
    assert_snapshot!(without_sizes(&env.succeeds(&["cache", "prune"]).stdout), @"… removed, … left");
    assert_eq!(blobs(&env).len(), count);

    let would = env.succeeds(&["cache", "prune", "--all", "--dry-run"]);
    assert_eq!(blobs(&env).len(), count);
    let did = env.succeeds(&["cache", "prune", "--all"]);
    assert_eq!(would.stdout.replace("would be removed", "removed"), did.stdout);
    assert_snapshot!(without_sizes(&did.stdout), @r"
    layers … 2
    documents … 4
    records … 9
    … removed, … left
    ");
    assert_eq!((blobs(&env).len(), json(&env)["allocated"].as_u64()), (0, Some(0)));
    let again = env.succeeds(&["build"]);
    assert_eq!(again.stdout, first.stdout);
    assert!(!again.stderr.contains("reused"), "{}", again.stderr);
}

#[test]
fn the_least_recently_used_goes_first() {
    let env = two();
    env.succeeds(&["build", "--quiet"]);
    age(&env, 40);
    // Only what one of them uses is used now.
    env.succeeds(&["build", "--quiet", "web"]);
    let used = blobs(&env).len();
    env.succeeds(&["cache", "prune", "--older-than", "6w"]);
    assert_eq!(blobs(&env).len(), used);
    let freed = env.succeeds(&["cache", "prune", "--max-size", "1GB"]).stdout;
    assert!(freed.starts_with("0 B removed"), "{freed}");
    env.succeeds(&["cache", "prune"]);
    assert!(blobs(&env).len() < used);
    assert!(env.succeeds(&["explain", "web"]).stdout.contains("stored"));
    let other = env.succeeds(&["explain", "other"]).stdout;
    assert!(other.contains("to make"), "{other}");
    // A size goes before a time that was long ago only where it is asked for.
    env.succeeds(&["build", "--quiet"]);
    env.succeeds(&["cache", "prune", "--max-size", "1B"]);
    assert_eq!(json(&env)["allocated"], 0);
}

#[test]
fn a_build_with_nothing_to_do_writes_nothing() {
    let env = two();
    env.succeeds(&["build", "--quiet"]);
    let times = || -> Vec<(PathBuf, SystemTime)> {
        let files = files_below(&env.cache()).into_iter().filter(|path| path.is_file());
        files.map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect()
    };
    let before = times();
    env.succeeds(&["build", "--quiet"]);
    assert_eq!(times(), before);
    // Once a day it notes what it used.
    age(&env, 2);
    env.succeeds(&["build", "--quiet"]);
    let day = Duration::from_hours(24);
    let noted = times().into_iter().filter(|(_, time)| time.elapsed().is_ok_and(|age| age < day)).count();
    assert!(noted > before.len() / 2, "{noted} of {}", before.len());
}

#[test]
fn one_service_or_kind_alone() {
    let env = two();
    env.succeeds(&["build", "--quiet"]);
    let before = blobs(&env).len();
    env.succeeds(&["cache", "prune", "--service", "other"]);
    assert!(blobs(&env).len() < before);
    let web = env.succeeds(&["explain", "web"]).stdout;
    assert!(web.contains("stored") && !web.contains("to make"), "{web}");
    env.succeeds(&["cache", "prune", "--kind", "layers"]);
    let kinds = json(&env)["kinds"].to_string();
    assert!(!kinds.contains("\"layers\"") && kinds.contains("\"documents\""), "{kinds}");
    env.succeeds(&["build", "--quiet"]);
}

#[test]
fn mistakes_on_the_command_line() {
    let mut env = two();
    env.succeeds(&["build", "--quiet"]);
    assert_snapshot!(env.fails(2, &["cache", "prune", "--service", "othr"]), @r"
    error: the cache has nothing of a service `othr`
    hint: `imgpack cache du` names those it has
    ");
    let said = env.fails(2, &["cache", "prune", "--kind", "layer"]);
    assert!(said.contains("the kinds are layers, programs, bases"), "{said}");
    let said = env.fails(2, &["cache", "prune", "--older-than", "30"]);
    assert!(said.contains("an age is a whole number and one of h, d, w, like 30d"), "{said}");
    let said = env.fails(2, &["cache", "prune", "--max-size", "20"]);
    assert!(said.contains("`20` is not a size: a number and one of B, kB, MB, GB"), "{said}");
    assert!(env.fails(2, &["cache", "prune", "--all", "--max-size", "1GB"]).contains("cannot be used with"));
    env.set("IMGPACK_CACHE_MAX_SIZE", "much");
    let said = env.fails(2, &["cache", "du"]);
    assert_snapshot!(said, @r"
    error: IMGPACK_CACHE_MAX_SIZE: `much` is not a size: a number and one of B, kB, MB, GB, KiB, MiB, GiB, like 120MB
    hint: set it to something like 20GB, or unset it
    ");
    assert_eq!(env.fails(2, &["build"]), said);
}

#[test]
fn builds_keep_to_the_limit() {
    let mut env = two();
    env.file(
        "imgpack.yaml",
        "apiVersion: imgpack/v1\nregistry: registry.example/acme\ncache: { maxSize: 1kB }\n",
    );
    let said = env.succeeds(&["build", "web"]);
    assert_snapshot!(without_sizes(said.stderr.lines().last().unwrap()), @"the cache was larger than 1.0 kB: … that were used least recently are removed, … left");
    // Once a day, whatever is made meanwhile.
    assert!(!env.succeeds(&["build"]).stderr.contains("the cache was"));
    let pruned = env.cache().join("v1/pruned");
    File::open(&pruned).unwrap().set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    // Nor where nothing was made.
    assert!(!env.succeeds(&["build"]).stderr.contains("the cache was"));
    env.file("conf/new", "new\n");
    env.set("IMGPACK_CACHE_MAX_SIZE", "1GB");
    assert!(!env.succeeds(&["build"]).stderr.contains("the cache was"), "the machine's limit comes first");
    File::open(&pruned).unwrap().set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    env.unset("IMGPACK_CACHE_MAX_SIZE");
    env.file("conf/new", "newer\n");
    let quiet = env.succeeds(&["build", "--quiet"]);
    assert_eq!((quiet.stderr.as_str(), json(&env)["allocated"].as_u64()), ("", Some(0)));
}

#[test]
fn verify_finds_what_is_damaged_and_repairs_it() {
    let env = two();
    let good = env.succeeds(&["build", "--quiet"]);
    let clean = env.run(&["cache", "verify"]);
    assert_eq!((clean.code, clean.stdout.as_str()), (0, ""));
    assert_snapshot!(without_sizes(&clean.stderr), @"6 blobs … 9 records, 0 staged files: all as they should be");

    let v1 = env.cache().join("v1");
    let largest = blobs(&env).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[20] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let record = files_below(&v1.join("records")).into_iter().find(|path| path.is_file()).unwrap();
    let text = fs::read(&record).unwrap();
    fs::write(&record, &text[..text.len() - 1]).unwrap();
    let last = files_below(&v1.join("last")).remove(0);
    fs::write(&last, "").unwrap();
    fs::write(v1.join("blobs/notes.txt"), "").unwrap();
    // What a killed command leaves is no finding.
    fs::write(v1.join("tmp/.imgpack-left"), "half").unwrap();

    let found = env.run(&["cache", "verify"]);
    assert_eq!(found.code, 1, "{found:#?}");
    let mut shown = found.stdout.clone();
    for (path, name) in [(&largest, "BLOB"), (&record, "RECORD"), (&last, "LAST")] {
        let file = path.file_name().unwrap().to_str().unwrap();
        shown = shown.replace(&format!("{}/{file}", &file[..2]), name).replace(file, name);
    }
    assert_snapshot!(shown, @r"
    damaged: [dir]/cache/v1/blobs/BLOB: its bytes are not sha256:BLOB
    damaged: [dir]/cache/v1/last/LAST: its checksum is wrong
    damaged: [dir]/cache/v1/records/RECORD: its checksum is wrong
    foreign: [dir]/cache/v1/blobs/notes.txt: no part of the cache
    ");
    assert_snapshot!(without_sizes(&found.stderr), @r"
    6 blobs … 9 records, 0 staged files: 4 are not as they should be
    harmless: 1 thing unfinished in tmp, swept after a day where a killed command left them
    hint: imgpack cache verify --repair removes them
    ");
    assert_eq!(env.run(&["cache", "verify", "--quiet"]).stderr, "");

    let repaired = env.run(&["cache", "verify", "--repair"]);
    assert_eq!((repaired.code, &repaired.stdout), (0, &found.stdout));
    assert!(repaired.stderr.ends_with("removed: they are made again when they are needed\n"));
    fs::remove_file(v1.join("tmp/.imgpack-left")).unwrap();
    let again = env.run(&["cache", "verify"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""), "{}", again.stderr);
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, good.stdout);
}

#[test]
fn verify_looks_at_staged_sources() {
    let Some(env) = with_go(GO) else { return };
    let good = env.succeeds(&["build", "--quiet"]);
    let staged = files_below(&env.cache().join("v1/stage"));
    let main = staged.into_iter().find(|path| path.ends_with("main.go")).unwrap();
    // A byte that becomes another without a trace is what a disk does. Here the record takes the trace away.
    let record = main.parent().unwrap().with_extension("json");
    let text = fs::read_to_string(&record).unwrap();
    let mut state: Value = serde_json::from_str(&text).unwrap();
    state["files"]["main.go"]["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    fs::write(&record, state.to_string()).unwrap();
    let found = env.run(&["cache", "verify"]);
    assert_eq!(found.code, 1, "{found:#?}");
    assert!(found.stdout.ends_with("/main.go: its bytes are not those of the source\n"), "{}", found.stdout);
    env.succeeds(&["cache", "verify", "--repair"]);
    env.file("service/more.go", "package main\n");
    env.succeeds(&["build", "--quiet"]);
    fs::remove_file(env.path("service/more.go")).unwrap();
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, good.stdout);
    assert_eq!(env.run(&["cache", "verify"]).code, 0);
    // Everything of the builder's goes, and comes again.
    env.succeeds(&["cache", "prune", "--all"]);
    assert!(!env.cache().join("v1/go/mod").exists() && !env.cache().join("v1/go/build-0").exists());
    assert_eq!(files_below(&env.cache().join("v1/stage")), Vec::<PathBuf>::new());
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, good.stdout);
}

/// Starts imgpack in a process group of its own.
fn start(env: &Env, arguments: &[&str]) -> Child {
    env.command(IMGPACK, arguments).process_group(0).spawn().unwrap()
}

fn ended(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn pruning_waits_for_who_uses_the_cache_and_they_for_it() {
    let env = two();
    let good = env.succeeds(&["build", "--quiet"]);
    let lock = File::open(env.cache().join("v1/lock")).unwrap();
    for (shared, arguments, words) in [
        (true, &["cache", "prune", "--all"][..], "waiting for the commands that use the cache\n"),
        (true, &["cache", "verify", "--repair"], "waiting for the commands that use the cache\n"),
        (false, &["build"], "waiting for the command that removes things from the cache\n"),
        (false, &["cache", "du"], "waiting for the command that removes things from the cache\n"),
    ] {
        if shared {
            lock.lock_shared().unwrap();
        } else {
            lock.lock().unwrap();
        }
        let mut command = env.command(IMGPACK, arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut stderr, &mut said).unwrap();
        assert_eq!(said, words, "{arguments:?}");
        lock.unlock().unwrap();
        // It goes on by itself.
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}: {said}");
    }
    // Who waits can be asked to stop.
    lock.lock_shared().unwrap();
    let child = start(&env, &["cache", "prune", "--all"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (code, stdout, stderr) = ended(child);
    assert!(matches!(code, Some(130) | None), "{code:?} {stderr}");
    assert_eq!(stdout, "");
    // Those who only look need not wait.
    env.succeeds(&["cache", "du"]);
    env.succeeds(&["cache", "prune", "--all", "--dry-run"]);
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, good.stdout);
}

#[test]
fn a_toolchain_that_outlives_imgpack_is_waited_for() {
    let Some(env) = with_rust(RUST) else { return };
    // It ends when it may: the next build has begun by then.
    let go_on = env.outside("go-on");
    let script = format!(
        "fn main() {{\n    while !std::path::Path::new({go_on:?}).exists() {{\n        \
         std::thread::sleep(std::time::Duration::from_millis(5));\n    }}\n}}\n"
    );
    env.file("service/build.rs", script);
    let child = crate::signals::started(&env, "/build-script-build");
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait_with_output().unwrap();
    // Prune removes nothing below it.
    let pruned = env.run(&["cache", "prune", "--all"]);
    assert_eq!(pruned.code, 0, "{}", pruned.stderr);
    assert!(pruned.stdout.contains("left alone: a toolchain is still at work there"), "{}", pruned.stdout);
    let has_target = |env: &Env| files_below(&env.cache().join("v1/target")).iter().any(|path| path.is_dir());
    assert!(has_target(&env));

    let mut next = env.command(IMGPACK, &["build", "--output", "oci:out"]).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(next.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for another build of these sources") {
        assert_ne!(std::io::BufRead::read_line(&mut stderr, &mut said).unwrap(), 0, "{said}");
    }
    File::create(&go_on).unwrap();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert!(next.wait().unwrap().success(), "{said}");
    let shared = fs::read(env.path("out/index.json")).unwrap();
    env.succeeds(&["cache", "prune", "--all"]);
    assert!(!has_target(&env));
    fs::remove_dir_all(env.path("out")).unwrap();
    env.succeeds(&["build", "--quiet", "--output", "oci:out"]);
    assert_eq!(fs::read(env.path("out/index.json")).unwrap(), shared);
}

/// What an undisturbed build with an empty cache says on stdout.
fn undisturbed(env: &mut Env, arguments: &[&str]) -> String {
    let shared = env.cache();
    env.set("IMGPACK_CACHE", env.outside("empty"));
    let said = env.run(arguments);
    assert_eq!(said.code, 0, "{}", said.stderr);
    env.set("IMGPACK_CACHE", shared);
    fs::remove_dir_all(env.outside("empty")).unwrap();
    said.stdout
}

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        for shift in [13, -7_i32, 17] {
            let shifted = if shift > 0 { self.0 << shift } else { self.0 >> -shift };
            self.0 ^= shifted;
        }
        self.0 % limit
    }
}

/// The short form of `tests/campaigns/kills.sh`.
#[test]
fn whoever_is_killed_loses_nothing_but_time() {
    let mut env = two();
    let mut random = Random(0x5eed);
    let noise = |seed: u64| -> Vec<u8> {
        let mut random = Random(seed + 1);
        (0..400_000).map(|_| random.below(251).to_le_bytes()[0]).collect()
    };
    let arguments = ["build", "--quiet", "--output", "oci:out"];
    let mut killed = 0;
    for round in 0..12 {
        env.file("conf/noise", noise(round));
        for _ in 0..3 {
            let child = start(&env, &arguments);
            std::thread::sleep(Duration::from_millis(random.below(60)));
            let _ = kill_process(Pid::from_child(&child), Signal::KILL);
            killed += usize::from(ended(child).0.is_none());
        }
        if round % 3 == 0 {
            let prune = start(&env, &["cache", "prune", "--all"]);
            std::thread::sleep(Duration::from_millis(random.below(10)));
            let _ = kill_process(Pid::from_child(&prune), Signal::KILL);
            ended(prune);
        }
        let verified = env.run(&["cache", "verify", "--quiet"]);
        assert_eq!((verified.code, verified.stdout.as_str()), (0, ""), "round {round}");
        let built = env.run(&arguments);
        assert_eq!(built.code, 0, "{}", built.stderr);
        if round % 4 == 0 {
            assert_eq!(built.stdout, undisturbed(&mut env, &["build", "--quiet"]), "round {round}");
        }
        is_whole_layout(&env.path("out"));
    }
    assert!(killed > 6, "only {killed} were killed before they ended");
}

/// Every blob of a layout is what its name says.
fn is_whole_layout(layout: &Path) {
    for path in files_below(&layout.join("blobs/sha256")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !crate::env::is_temporary(&path) {
            assert_eq!(imgpack::model::Digest::of(&fs::read(&path).unwrap()).hex(), name);
        }
    }
}

/// The short form of `tests/campaigns/pairs.sh`.
#[test]
fn many_at_once_in_one_cache() {
    let mut env = two();
    let good = undisturbed(&mut env, &["build", "--quiet"]);
    let alone = undisturbed(&mut env, &["build", "--quiet", "web"]);
    for _ in 0..5 {
        let commands: [(&[&str], &str); 4] = [
            (&["build", "--quiet"], &good),
            (&["cache", "prune", "--all", "--quiet"], ""),
            (&["build", "--quiet"], &good),
            (&["build", "--quiet", "web"], &alone),
        ];
        let children: Vec<Child> = commands.iter().map(|(arguments, _)| start(&env, arguments)).collect();
        for ((arguments, expected), child) in commands.iter().zip(children) {
            let (code, stdout, stderr) = ended(child);
            assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
            if !expected.is_empty() {
                assert_eq!(stdout, *expected, "{arguments:?}");
            }
        }
    }
    assert_eq!(env.run(&["cache", "verify", "--quiet"]).code, 0);
}
