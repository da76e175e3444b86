//! Digests that never change: what is the same in is the same out, of every version of imgpack that writes format 1.
//!
//! A golden file lists documents and layers of one service, and every entry of its own layers, so that a difference
//! says where it is. They change only when the format does, or when the data set of the base `static` does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::layout::Entry;
use crate::workspace::Workspace;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn workspace() -> Workspace {
    let workspace = Workspace::new(
        "services:\n\
         \x20 _tree:\n\
         \x20   files:\n\
         \x20     - { from: tree, to: /srv/tree }\n\
         \x20     - { from: tree/run.sh, to: /usr/bin/special, mode: \"4711\", owner: \"7:8\", class: system }\n\
         \x20     - { from: many, to: /opt/many, class: deps }\n\
         \x20     - { from: large.bin, to: /opt/large.bin, class: shared }\n\
         \x20     - { to: /usr/bin/link, link: /srv/tree/run.sh }\n\
         \x20     - { to: /usr/bin/dangling, link: ../no/such/place }\n\
         \x20     - { to: /etc/tree.conf, text: \"arch = ${target.arch}\\n\", mode: \"0600\", owner: app, class: config }\n\
         \x20     - { to: /var/tree, dir: true, mode: \"1777\" }\n\
         \x20   elf: { ignore: [/srv/tree/run.sh] }\n\
         \x20   image:\n\
         \x20     user: { name: app, uid: 1001, group: app, gid: 1002 }\n\
         \x20     entrypoint: [/srv/tree/run.sh]\n\
         \x20     cmd: [\"a b\", \"ü\"]\n\
         \x20     env: { A: \"1\", B: \"ünïcode\" }\n\
         \x20     workdir: /srv/work\n\
         \x20     ports: { http: 8080, dns: 53/udp }\n\
         \x20     volumes: [/data]\n\
         \x20     stopSignal: SIGINT\n\
         \x20     labels: { z: last, a: first }\n\
         \x20     annotations: { com.example.x: y }\n\
         \x20     info: { title: tree, licenses: Apache-2.0 }\n\
         \x20     healthcheck: { command: [/srv/tree/run.sh, --check], interval: 10s, retries: 3 }\n\
         \x20 on-static: { extends: [_tree] }\n\
         \x20 on-scratch: { extends: [_tree], base: scratch }\n\
         \x20 with-docker-types: { extends: [_tree], base: scratch, mediaTypes: docker }\n\
         \x20 with-gzip-9: { extends: [_tree], base: scratch, compression: \"gzip:9\" }\n\
         \x20 with-zstd: { extends: [_tree], base: scratch, compression: zstd }\n\
         \x20 uncompressed: { extends: [_tree], base: scratch, compression: none }\n\
         \x20 uncompressed-docker: { extends: [_tree], base: scratch, compression: none, mediaTypes: docker }\n\
         \x20 with-components: { base: scratch, components: [ca-certificates, tzdata], index: always, platforms: [linux/amd64] }\n",
    );
    workspace.write_program("tree/run.sh", "#!/bin/sh\necho run\n");
    workspace.write("tree/empty", "");
    workspace.write("tree/sub/space and 'quote'", "quoted\n");
    workspace.write("tree/ünï/日本語.txt", "unicode\n");
    workspace.write("tree/a.b/x", "1");
    workspace.write("tree/a/x", "2");
    workspace.write("tree/a-b/x", "3");
    std::os::unix::fs::symlink("../run.sh", workspace.root.join("tree/sub/up")).unwrap();
    // Longer than a header's name, than its name and prefix, and with no place to divide it.
    workspace.write(&format!("tree/{}/{}", "d".repeat(80), "f".repeat(90)), "long\n");
    workspace.write(&format!("tree/{0}/{0}/{0}", "l".repeat(120)), "longer\n");
    workspace.write(&format!("tree/{}", "n".repeat(200)), "name\n");
    let target = format!("{}/target", "t".repeat(180));
    workspace.write(&format!("tree/{target}"), "linked\n");
    std::os::unix::fs::symlink(&target, workspace.root.join("tree/long-link")).unwrap();
    // Enough for several groups of compression, and one file that is larger than a group.
    for number in 0..400_u64 {
        workspace.write(&format!("many/{:02}/{number}.txt", number % 17), noise(number, 6_000));
    }
    workspace.write("large.bin", noise(99, 5_000_000));
    workspace
}

/// Bytes that compress a little, always the same of one seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 32 & 0x3f).unwrap()
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn fixed_trees_have_fixed_digests() {
    let workspace = workspace();
    let (built, layout) = workspace.layout("layout", &[]);
    // Entries are listed at the first layer that has them.
    let mut listed = Vec::new();
    for service in [
        "on-static",
        "on-scratch",
        "with-docker-types",
        "with-gzip-9",
        "with-zstd",
        "uncompressed",
        "uncompressed-docker",
        "with-components",
    ] {
        let mut text = format!("root {}\n", built.root(service));
        let mut layers = Vec::new();
        for platform in PLATFORMS {
            if service == "with-components" && platform != PLATFORMS[0] {
                continue;
            }
            let _ = writeln!(text, "{platform} manifest {}", built.manifest(service, platform));
            let _ = writeln!(text, "{platform} config {}", built.config(service, platform));
            let manifest = layout.json(built.manifest(service, platform));
            let _ = writeln!(text, "{platform} layers {}", manifest["layers"][0]["mediaType"]);
            for layer in built.layers(service, platform) {
                let _ = writeln!(
                    text,
                    "{platform} layer {} diff {} {}: {}",
                    layer.digest, layer.diff_id, layer.class, layer.title
                );
                if !listed.contains(&layer.diff_id) {
                    listed.push(layer.diff_id.clone());
                    layers.push(layer);
                }
            }
        }
        for layer in layers {
            let _ = writeln!(text, "\n{}: {}", layer.class, layer.title);
            for entry in layout.entries(&layer.digest) {
                // 1980-02-01
                assert_eq!(entry.time, 318_211_200, "{}", entry.path);
                let _ = writeln!(text, "{}", Entry::line(&entry));
            }
        }
        compare(service, &text);
    }
}

/// What stands in the golden file, or with `UPDATE_GOLDEN=1` what will.
fn compare(name: &str, text: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/images/golden/{name}.txt"));
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let want = fs::read_to_string(&path).unwrap_or_default();
    if want == text {
        return;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (want.lines().collect(), text.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}\n"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}\n"));
    let difference: String = gone.chain(come).collect();
    panic!(
        "{} is not what was built; where that is meant, UPDATE_GOLDEN=1 writes it anew:\n{difference}",
        path.display()
    );
}
