//! Images of the workspace as bases, and as sources of files: built when they are needed, once.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::builders::{GO, with_go};
use crate::env::Env;
use crate::mirror::{Deb, Mirror};
use crate::pinning::Bases;

/// `app` on `middle` on `low`, which has a file, a variable and a user.
fn with_chain() -> Env {
    let env = Env::with_files();
    fs::remove_file(env.path("buildspecs/web.yaml")).unwrap();
    env.file("src/app", "app\n");
    env.spec(
        "low",
        "base: scratch\nfiles: { /etc/low: ../conf/motd }\n\
         image: { env: { LOW: '1', BOTH: low }, workdir: /srv, user: { name: app, uid: 1001 }, info: { title: low } }\n",
    );
    env.spec("middle", "base: spec:low\nfiles: { /etc/middle: ../conf/motd }\nimage: { env: { BOTH: '${base.BOTH}+middle' } }\n");
    env.spec(
        "app",
        "base: spec:middle\nplatforms: [linux/amd64]\nfiles:\n  - { from: ../src/app, to: /app/app, owner: '1001:1001' }\n",
    );
    env
}

/// What `--result` says of the images of a build.
fn built(env: &Env, arguments: &[&str]) -> Vec<Value> {
    let file = env.outside("result.json");
    env.succeeds(&[&["build", "--quiet", "--result", file.to_str().unwrap()], arguments].concat());
    let result: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    result["images"].as_array().unwrap().clone()
}

/// Classes and titles of the layers of an image's first platform.
fn layers(image: &Value) -> Vec<String> {
    let layers = image["platforms"][0]["layers"].as_array().unwrap();
    let text = |layer: &Value, field: &str| layer[field].as_str().unwrap().to_owned();
    layers.iter().map(|layer| format!("{} {}", text(layer, "class"), text(layer, "title"))).collect()
}

/// The config of the only image of a layout.
fn config(env: &Env, layout: &str) -> Value {
    let read = |path: &str| -> Value {
        serde_json::from_slice(&fs::read(env.path(&format!("{layout}/{path}"))).unwrap()).unwrap()
    };
    let blob = |descriptor: &Value| {
        read(&format!("blobs/sha256/{}", descriptor["digest"].as_str().unwrap().split_once(':').unwrap().1))
    };
    blob(&blob(&read("index.json")["manifests"][0])["config"])
}

#[test]
fn images_stand_on_each_other() {
    let env = with_chain();
    let app = built(&env, &["app", "--output", "oci:out"]);
    // What was only needed is no result.
    assert_eq!(app.len(), 1);
    assert_eq!(
        layers(&app[0]),
        ["base user and group", "base /etc/low", "base directories", "base /etc/middle", "app /app/app"]
    );
    let config = config(&env, "out");
    assert_eq!(config["config"]["WorkingDir"], "/srv");
    assert_eq!(config["config"]["User"], "1001:1001");
    assert_eq!(config["config"]["Env"], serde_json::json!(["BOTH=low+middle", "LOW=1"]));
    assert_eq!(config["config"]["Labels"], Value::Null, "the base's title was inherited");
    let history: Vec<&str> =
        config["history"].as_array().unwrap().iter().map(|row| row["created_by"].as_str().unwrap()).collect();
    assert_eq!(history[1], "imgpack app: /etc/low");

    // The same with the others, which are themselves then.
    let all = built(&env, &[]);
    let names: Vec<&str> = all.iter().map(|image| image["identity"].as_str().unwrap()).collect();
    assert_eq!(names, ["app", "low", "middle"]);
    assert_eq!(all[0], app[0]);
    assert_eq!(layers(&all[1]), ["system user and group", "app /etc/low", "config directories"]);
    assert_eq!(all[1]["platforms"].as_array().unwrap().len(), 2);

    // From nothing again, and all at once.
    assert_eq!(built(&env, &["app", "--no-cache"])[0]["root"], app[0]["root"]);
    fs::remove_dir_all(env.cache()).unwrap();
    assert_eq!(built(&env, &["--jobs", "1"])[0]["root"], app[0]["root"]);
}

#[test]
fn a_change_below_is_a_change_above() {
    let env = with_chain();
    let before = built(&env, &["app"]).remove(0);
    // What reaches no byte changes nothing above.
    let low = fs::read_to_string(env.path("buildspecs/low.yaml")).unwrap();
    env.spec("low", &format!("{low}tags: [other]\nrepository: another/place\n"));
    assert_eq!(built(&env, &["app"])[0]["root"], before["root"]);
    env.file("conf/motd", "changed\n");
    let after = built(&env, &["app"]).remove(0);
    assert_ne!(after["root"], before["root"]);
    assert_ne!(after["inputsDigest"], before["inputsDigest"]);
    let digest = |image: &Value, at: usize| image["platforms"][0]["layers"][at]["digest"].clone();
    assert_ne!(digest(&before, 1), digest(&after, 1));
    assert_eq!(digest(&before, 4), digest(&after, 4), "a layer depends on its base");
    // `--set` is for what is selected.
    let set = built(&env, &["app", "--set", "image.env.LOW=2"]).remove(0);
    assert_eq!(digest(&set, 1), digest(&after, 1));
    assert_ne!(set["root"], after["root"]);
}

/// Runners with a platform each find the same of the images below.
#[test]
fn runners_agree() {
    let env = with_chain();
    env.spec("app", "base: spec:middle\nfiles: [{ from: 'spec:low', path: /etc/low, to: /app/low }]\n");
    let on = |platform: &str| {
        fs::remove_dir_all(env.cache()).ok();
        built(&env, &["app", "--platform", platform]).remove(0)
    };
    let (amd64, arm64) = (on("linux/amd64"), on("linux/arm64"));
    assert_eq!(amd64["specDigest"], arm64["specDigest"]);
    assert_eq!(amd64["inputsDigest"], arm64["inputsDigest"]);
    env.file("conf/motd", "changed\n");
    assert_ne!(on("linux/arm64")["inputsDigest"], arm64["inputsDigest"]);
}

#[test]
fn plans_and_explains() {
    let env = with_chain();
    assert_snapshot!(env.succeeds(&["plan", "app"]).stdout, @r"
    app (linux/amd64)
      base        519 B  spec:middle
      app       to make  /app/app
    ");
    env.succeeds(&["build", "app"]);
    let said = env.succeeds(&["explain", "app"]).stdout;
    assert!(said.starts_with("app (linux/amd64)\n  app ") && said.contains("  stored  /app/app"), "{said}");
}

#[test]
fn files_of_images() {
    let env = with_chain();
    env.spec("app", "base: scratch\nfiles:\n  - { from: 'spec:middle', path: /etc/, to: /copied/, exclude: [passwd, group] }\n");
    let app = built(&env, &["app"]).remove(0);
    assert_eq!(layers(&app), ["app 2 files in /copied"]);
    env.file("conf/motd", "changed\n");
    assert_ne!(built(&env, &["app"])[0]["root"], app["root"]);
    env.spec("app", "base: scratch\nfiles: [{ from: 'spec:middle', path: /none, to: /x }]\n");
    assert_snapshot!(env.fails(2, &["build", "app", "--quiet"]), @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:2:9: spec:middle has no /none
    hint: nothing of that path is in it
    ");
}

#[test]
fn a_base_that_cannot_be_built() {
    let env = with_chain();
    env.spec("low", "base: scratch\nfiles: { /etc/low: ../conf/gone }\n");
    assert_snapshot!(env.fails(2, &["build", "app", "--quiet"]), @"error: app, low, middle (linux/amd64): buildspecs/low.yaml:2:20: `conf/gone` does not exist in the workspace");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: app, low, middle: buildspecs/low.yaml:2:20: `conf/gone` does not exist in the workspace");
    // What does not need it is built.
    env.spec("other", "base: scratch\n");
    let said = env.fails(2, &["build", "--keep-going"]);
    assert!(said.contains("other linux/arm64: done"), "{said}");
    let plan = env.run(&["plan", "app"]);
    assert_eq!(
        (plan.code, plan.stdout.as_str()),
        (2, "app (linux/amd64)\n  layers are not known: see the error\n")
    );
    assert_snapshot!(plan.stderr, @"error: app, low, middle (linux/amd64): buildspecs/low.yaml:2:20: `conf/gone` does not exist in the workspace");
}

#[test]
fn a_builder_below() {
    let Some(env) = with_go(GO) else { return };
    env.spec("app", "base: spec:web\nplatforms: [linux/amd64]\nfiles: [{ to: /app/text, text: hi }]\n");
    let app = built(&env, &["app"]).remove(0);
    assert_eq!(layers(&app), ["base /app/web", "app /app/text"]);
    env.file("service/main.go", "package main\n\nfunc main() { nothing() }\n");
    let said = env.fails(3, &["build", "app", "--quiet"]);
    assert!(said.contains("error: app, web (linux/amd64)"), "{said}");
}

/// Layers of a registry's base further down are not stored, and are brought where they are wanted.
#[test]
fn over_a_base_of_a_registry() {
    let bases = Bases::start();
    let env = bases.workspace();
    env.spec("low", &format!("base: {}\nfiles: [{{ to: /low, text: low }}]\n", bases.reference()));
    env.spec("app", "base: spec:low\nfiles: [{ to: /app, text: app }]\n");
    env.succeeds(&["lock", "app"]);
    let lock = fs::read_to_string(env.path("imgpack.lock")).unwrap();
    assert!(lock.contains(&bases.reference()), "{lock}");
    let app = built(&env, &["app", "--locked", "--platform", "linux/amd64"]).remove(0);
    assert_eq!(app["platforms"][0]["layers"].as_array().unwrap().len(), 3);
    built(&env, &["app", "--platform", "linux/amd64", "--output", "oci:out"]);
    assert_eq!(config(&env, "out")["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/other\n", bases.server.address));
    let pushed = env.succeeds(&["build", "app", "--push", "--quiet"]).stdout;
    let inspected = env.succeeds(&["inspect", pushed.trim()]);
    assert!(inspected.stdout.contains("linux/arm64"), "{inspected:?}");
}

/// Packages on an image that has some: what is there is not installed again, and locking one image locks all below it.
#[test]
fn packages_over_packages() {
    let mut env = Env::new();
    let mut mirror = Mirror::start(&mut env);
    let debs = vec![
        Deb::new("tool", "1.0-1").depends("libtool").program("/usr/bin/tool", "tool"),
        Deb::new("libtool", "1:1.2-3").file("/usr/lib/libtool.so.1", "library"),
    ];
    mirror.publish("bookworm", &debs);
    let packages = |name: &str| format!("packages: {{ debian: {{ suite: bookworm, install: [{name}] }} }}\n");
    env.spec("low", &format!("base: scratch\n{}", packages("libtool")));
    env.spec("app", &format!("base: spec:low\nplatforms: [linux/amd64]\n{}", packages("tool")));
    env.succeeds(&["lock", "app"]);
    let lock = fs::read_to_string(env.path("imgpack.lock")).unwrap();
    let installed: Vec<&str> =
        lock.lines().filter_map(|line| line.split_once(" install ").map(|(_, names)| names)).collect();
    assert_eq!(installed.len(), 2, "{lock}");
    assert!(installed.contains(&"libtool=1:1.2-3") && installed.contains(&"tool=1.0-1"), "{lock}");
    let app = built(&env, &["app", "--locked"]).remove(0);
    assert!(layers(&app).iter().any(|layer| layer == "base libtool"), "{:?}", layers(&app));
    assert!(layers(&app).iter().any(|layer| layer == "system tool"), "{:?}", layers(&app));
    let asked = mirror.asked();
    assert_eq!(built(&env, &["app", "--offline", "--no-cache"])[0]["root"], app["root"]);
    assert_eq!(mirror.asked(), asked);
    // The whole workspace has nothing more to pin but the other platform of the image below.
    env.spec("low", &format!("base: scratch\nplatforms: [linux/amd64]\n{}", packages("libtool")));
    env.succeeds(&["lock"]);
    assert_eq!(fs::read_to_string(env.path("imgpack.lock")).unwrap(), lock);
}

#[test]
fn a_component_of_a_base_is_not_put_there_again() {
    let env = Env::with_files();
    env.spec("low", "base: static\nplatforms: [linux/amd64]\ncomponents: [probe, init]\n");
    let image = "image: { entrypoint: [/usr/bin/imgpack-probe], healthcheck: \"tcp://:80\" }\n";
    let app = |more: &str| {
        env.spec("app", &format!("base: spec:low\nplatforms: [linux/amd64]\ninit: true\n{image}{more}"));
        let said = env.succeeds(&["build", "app"]).stderr;
        let rows = said.lines().filter(|line| line.starts_with("  base ") || line.starts_with("  system "));
        let rows = rows.filter(|line| !line.contains("/usr/") && !line.contains("/etc/"));
        rows.filter_map(|line| line.split("  ").filter(|word| !word.is_empty()).map(str::trim).nth(1))
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(app(""), "imgpack static@1, probe, init");
    // What is no more what it was is put there.
    env.spec(
        "low",
        "base: static\nplatforms: [linux/amd64]\ncomponents: [probe]\nfiles: [{ to: /x, text: x }]\n",
    );
    assert_eq!(app(""), "imgpack static@1, probe, /x, init");
}
