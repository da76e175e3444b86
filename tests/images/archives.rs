//! imgpack's own outputs as bases of other images.

use crate::workspace::{Workspace, output};

const AMD64: &str = "linux/amd64";

#[test]
fn an_image_is_the_same_base_in_every_form() {
    let workspace = Workspace::new(
        "services:\n\
         \x20 base:\n\
         \x20   files: { /usr/share/base.txt: x }\n\
         \x20   image: { user: { name: app, uid: 1001 }, volumes: [/data], env: { FROM_BASE: \"1\" }, cmd: [hello] }\n\
         \x20   elf: { ignore: [/bin/hello] }\n\
         \x20 _app: { platforms: [linux/amd64], files: { /app.txt: x } }\n\
         \x20 layout: { extends: [_app], base: \"oci:forms/layout\" }\n\
         \x20 archive: { extends: [_app], base: \"oci-archive:forms/image.tar\" }\n\
         \x20 docker: { extends: [_app], base: \"docker-archive:forms/docker.tar\" }\n\
         \x20 plain: { extends: [_app] }\n",
    );
    workspace.write("x", "x\n");
    let forms = workspace.root.join("forms");
    std::fs::create_dir(&forms).unwrap();
    let layout = output("oci", &forms.join("layout"));
    let archive = output("oci-archive", &forms.join("image.tar"));
    let base = workspace.build(&["base", "--output", &layout, "--output", &archive]);
    let docker = output("docker-archive", &forms.join("docker.tar"));
    workspace.build(&["base", "--platform", AMD64, "--output", &docker]);

    let (built, made) = workspace.layout("out", &["layout", "archive", "docker", "plain"]);
    let own = built.layer("plain", AMD64, "/app.txt");
    let mut layers = base.layers("base", AMD64);
    layers.push(own);
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let digests: Vec<String> = layers.iter().map(|layer| layer.digest.clone()).collect();
    let configs = ["layout", "archive", "docker"].map(|service| {
        let layers = built.layers(service, AMD64);
        assert_eq!(
            layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>(),
            diff_ids,
            "{service}"
        );
        assert_eq!(layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>(), digests, "{service}");
        // Of the base's user, volume and command nothing is lost.
        let config = made.json(built.config(service, AMD64));
        let image = &config["config"];
        assert_eq!(image["User"], "1001:1001", "{service}");
        assert_eq!(image["Volumes"], serde_json::json!({ "/data": {} }), "{service}");
        assert_eq!(image["Cmd"], serde_json::json!(["hello"]), "{service}");
        assert!(image["Env"].as_array().unwrap().contains(&"FROM_BASE=1".into()), "{service}");
        built.config(service, AMD64).to_owned()
    });
    assert_eq!(configs[0], configs[1]);
    assert_eq!(configs[0], configs[2]);

    // A second build reads the bases' facts again and comes to the same.
    assert_eq!(workspace.build(&["layout", "archive", "docker", "plain"]).document, built.document);
}

#[test]
fn a_base_without_the_platform_is_a_mistake() {
    let workspace = Workspace::new(
        "services:\n  base: { files: { /x: x }, platforms: [linux/amd64] }\n  \
         layout: { base: \"oci:forms/layout\" }\n  docker: { base: \"docker-archive:forms/docker.tar\" }\n",
    );
    workspace.write("x", "x\n");
    let forms = workspace.root.join("forms");
    std::fs::create_dir(&forms).unwrap();
    let layout = output("oci", &forms.join("layout"));
    let docker = output("docker-archive", &forms.join("docker.tar"));
    workspace.build(&["base", "--output", &layout, "--output", &docker]);
    for service in ["layout", "docker"] {
        let said = workspace.refusal(&["build", service]);
        assert!(said.contains("linux/arm64") && said.contains("forms/"), "{service}: {said}");
    }
}
