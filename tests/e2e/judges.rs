//! What other programs say of the images and of every form of output.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, path};

use serde_json::{Value, json};

use crate::catalogue::{ARCHITECTURES, GATEWAY, Service, Variant, images};
use crate::program;
use crate::unpacked::unpack;
use crate::world::{World, built};

fn digest(reference: &str) -> String {
    program::call("crane", ["digest", reference]).text()
}

/// skopeo's copy of everything that a place holds, unchanged.
fn skopeo_copy(source: &str, target: &str) {
    let unchanged = ["copy", "--quiet", "--all", "--preserve-digests"];
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false", source, target];
    program::call("skopeo", [&unchanged[..], &plain].concat()).text();
}

/// A fresh directory for one image in one test.
fn directory(world: &World, test: &str, service: Service, variant: Variant) -> path::PathBuf {
    let dir = world.dir.join(test).join(variant.identity(service));
    fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn the_printed_digests_are_those_of_the_tags() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let image = world.image(service, variant);
        assert!(world.digests().contains(&digest(&image)), "{image} is not among {:?}", world.digests());
    }
}

#[test]
fn every_image_has_both_platforms() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let image = world.image(service, variant);
        let index: Value =
            serde_json::from_str(&program::call("crane", ["manifest", &image]).text()).unwrap();
        let rows = index["manifests"].as_array().unwrap_or_else(|| panic!("{image} is no index: {index}"));
        let platforms: Vec<_> = rows.iter().map(|row| row["platform"].clone()).collect();
        let want = ARCHITECTURES.map(|architecture| json!({ "os": "linux", "architecture": architecture }));
        assert_eq!(platforms, want, "{image}");
    }
}

#[test]
fn crane_validates_every_image() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let image = world.image(service, variant);
        for architecture in ARCHITECTURES {
            let platform = format!("--platform=linux/{architecture}");
            let ended = program::call("crane", ["validate", &platform, "--remote", &image]);
            assert!(ended.text().contains("PASS"), "{ended}");
        }
    }
}

#[test]
fn skopeo_copies_between_registry_layout_and_archive() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let image = world.image(service, variant);
        let dir = directory(world, "skopeo", service, variant);
        let layout = format!("oci:{}:image", dir.join("layout").display());
        let archive = format!("oci-archive:{}:image", dir.join("image.tar").display());
        let back = world.registry.reference(&format!("skopeo/{}", service.repository), variant.tag());
        skopeo_copy(&format!("docker://{image}"), &layout);
        skopeo_copy(&layout, &archive);
        skopeo_copy(&archive, &format!("docker://{back}"));
        assert_eq!(digest(&back), digest(&image), "{image}");
    }
}

#[test]
fn umoci_unpacks_every_image() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let image = world.image(service, variant);
        for architecture in ARCHITECTURES {
            let dir = directory(world, "umoci", service, variant).join(architecture);
            let unpacked = unpack(&format!("docker://{image}"), architecture, &dir);
            let process = &unpacked.runtime["process"];
            let user = (&process["user"]["uid"], &process["user"]["gid"]);
            assert_eq!(user, (&json!(variant.user()), &json!(variant.user())), "{image} {architecture}");
            assert_eq!(process["args"], json!([format!("/{}", service.binary)]), "{image} {architecture}");
            let binary = unpacked.root.join(service.binary);
            let mode = fs::metadata(&binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
            assert_eq!(mode.permissions().mode() & 0o7777, 0o755, "{image} {architecture}");
            assert_eq!(machine(&binary), architecture, "{image}");
        }
    }
}

/// The architecture in the header of an ELF file.
fn machine(binary: &Path) -> &'static str {
    let header = fs::read(binary).unwrap();
    assert_eq!(&header[..4], b"\x7fELF", "{}", binary.display());
    match u16::from_le_bytes([header[18], header[19]]) {
        62 => "amd64",
        183 => "arm64",
        other => panic!("{}: ELF machine {other}", binary.display()),
    }
}

#[test]
fn a_layout_is_what_was_pushed() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let dir = directory(world, "layout", service, variant).join("layout");
        output(world, service, variant, &format!("oci:{}", dir.display()), &[]);
        let image = same_as_pushed(world, "layout", service, variant, &format!("oci:{}", dir.display()));
        // crane's own reader too.
        let pushed = format!("{image}-by-crane");
        program::call("crane", ["push", "--index", &dir.display().to_string(), &pushed]).text();
        program::call("crane", ["validate", "--remote", &pushed]).text();
    }
}

#[test]
fn an_archive_is_what_was_pushed() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        let file = directory(world, "archive", service, variant).join("image.tar");
        let place = format!("oci-archive:{}", file.display());
        output(world, service, variant, &place, &[]);
        same_as_pushed(world, "archive", service, variant, &place);
    }
}

#[test]
fn a_docker_archive_loads_and_runs() {
    let Some(world) = built() else { return };
    for (service, variant) in images() {
        for architecture in ARCHITECTURES {
            let dir = directory(world, "docker-archive", service, variant);
            let file = dir.join(format!("{architecture}.tar")).display().to_string();
            let platform = format!("--platform=linux/{architecture}");
            let tag = format!("--tag=archive-{architecture}");
            output(world, service, variant, &format!("docker-archive:{file}"), &[&platform, &tag]);
            program::call("crane", ["validate", "--tarball", &file]).text();
            let copied = format!("dir:{}", dir.join(architecture).display());
            program::call("skopeo", ["copy", "--quiet", &format!("docker-archive:{file}"), &copied]).text();
            let loaded = world.engine.docker(["load", "--input", &file]).text();
            let name = loaded.lines().find_map(|line| line.strip_prefix("Loaded image: "));
            let name = name.unwrap_or_else(|| panic!("nothing has a name after docker load: {loaded}"));
            let platform =
                world.engine.docker(["image", "inspect", "--format={{.Os}}/{{.Architecture}}", name]);
            assert_eq!(platform.text(), format!("linux/{architecture}"), "{name}");
            if architecture == "amd64" {
                starts(world, service, name);
            }
        }
    }
}

#[test]
fn load_brings_the_image_into_the_engine() {
    let Some(world) = built() else { return };
    for variant in [Variant::Plain, Variant::Alpine] {
        let identity = variant.identity(GATEWAY);
        let tag = format!("loaded-{}", variant.user());
        let option = format!("--tag={tag}");
        let mut command = world.workspace.command(&["build", &identity, "--load", &option]);
        command.env("DOCKER_HOST", world.engine.address()).env_remove("DOCKER_CONTEXT");
        program::run(&command, std::time::Duration::from_mins(10)).text();
        let listed = world.engine.docker(["image", "ls", "--format={{.Repository}}:{{.Tag}}"]).text();
        let wanted = format!("{}:{tag}", GATEWAY.repository);
        let name = listed.lines().find(|name| name.contains(&wanted));
        let name = name.unwrap_or_else(|| panic!("{identity} is not among\n{listed}"));
        starts(world, GATEWAY, name);
    }
}

/// Its program runs: asked for the health of a service that is not there, it says so.
fn starts(world: &World, service: Service, image: &str) {
    let ended = world.engine.once(&["--network=none"], image, &[service.check]);
    assert_eq!(ended.code(), 1, "{ended}");
    assert!(ended.said().to_lowercase().contains("connection refused"), "{ended}");
}

/// Builds an image once more, to a place.
fn output(world: &World, service: Service, variant: Variant, place: &str, more: &[&str]) {
    let identity = variant.identity(service);
    world.workspace.imgpack(&[&["build", &identity, "--output", place], more].concat()).text();
}

/// Copies what is at `place` to the registry; it has the digest that was pushed. Returns its reference.
fn same_as_pushed(world: &World, test: &str, service: Service, variant: Variant, place: &str) -> String {
    let copy = world.registry.reference(&format!("{test}/{}", service.repository), variant.tag());
    skopeo_copy(place, &format!("docker://{copy}"));
    assert_eq!(digest(&copy), digest(&world.image(service, variant)), "{place}");
    copy
}
