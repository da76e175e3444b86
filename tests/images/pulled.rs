//! Bases of a registry.

use serde_json::Value;

use crate::program;
use crate::registry::Registry;
use crate::workspace::Workspace;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];
const NAME: &str = "org.opencontainers.image.base.name";
const DIGEST: &str = "org.opencontainers.image.base.digest";

#[test]
fn a_base_is_pulled_by_tag_and_by_digest_and_only_once() {
    if !program::installed(&["docker-registry"]) {
        return;
    }
    let base = Workspace::new(
        "services:\n  base:\n    files: { /usr/share/base.txt: base.txt }\n    \
         image: { env: { FROM_BASE: \"1\" }, annotations: { of.the.base: x }, info: { title: the base } }\n",
    );
    base.write("base.txt", "base\n");
    let registry = Registry::start(&base.beside("registry"));
    let repository = format!("{}/bases/base", registry.host);
    let pushed = base.build(&["--push", "--set", &format!("repository={repository}"), "--tag=1.0"]);
    let (tag, digest) = (format!("{repository}:1.0"), pushed.reference("base").to_owned());
    assert!(digest.starts_with(&repository), "{digest}");

    let workspace = Workspace::new(&format!(
        "services:\n  _app: {{ files: {{ /app.txt: app.txt }} }}\n  \
         tagged: {{ extends: [_app], base: \"{tag}\" }}\n  \
         pinned: {{ extends: [_app], base: \"{digest}\" }}\n  \
         both: {{ extends: [_app], base: \"{tag}@{}\" }}\n  plain: {{ extends: [_app] }}\n",
        pushed.root("base")
    ));
    workspace.write("app.txt", "app\n");
    let blobs = || -> Vec<String> {
        let requests = registry.requests().into_iter();
        requests.filter(|request| request.starts_with("GET ") && request.contains("/blobs/")).collect()
    };
    assert_eq!(blobs(), Vec::<String>::new());
    workspace.build(&["tagged", "--platform", PLATFORMS[0]]);
    let first = blobs();
    // The config; the layer of `static` and its own, which are read and not kept.
    assert_eq!(first.len(), 3, "{first:#?}");
    workspace.build(&["tagged", "--platform", PLATFORMS[0]]);
    assert_eq!(blobs(), Vec::<String>::new());
    let (built, layout) = workspace.layout("layout", &[]);
    let then = blobs();
    // The other platform's config, and for the layout both layers, which all images and platforms share.
    assert_eq!(then.len(), 3, "{then:#?}");
    assert_eq!(then.iter().filter(|request| first.contains(request)).count(), 2, "{then:#?}");

    let own = built.layer("plain", PLATFORMS[0], "/app.txt");
    for (service, name) in
        [("tagged", &tag), ("pinned", &digest), ("both", &format!("{tag}@{}", pushed.root("base")))]
    {
        let index = layout.json(built.root(service));
        assert_eq!(index["annotations"][NAME], **name, "{service}");
        assert_eq!(index["annotations"].get("of.the.base"), None::<&Value>, "{service}");
        for platform in PLATFORMS {
            let layers = built.layers(service, platform);
            let below: Vec<String> =
                pushed.layers("base", platform).into_iter().map(|layer| layer.digest).collect();
            let digests: Vec<&String> = layers.iter().map(|layer| &layer.digest).collect();
            assert_eq!(
                digests,
                below.iter().chain([&own.digest]).collect::<Vec<_>>(),
                "{service} {platform}"
            );
            let manifest = layout.json(built.manifest(service, platform));
            assert_eq!(manifest["annotations"][NAME], **name, "{service} {platform}");
            assert_eq!(
                manifest["annotations"][DIGEST],
                pushed.manifest("base", platform),
                "{service} {platform}"
            );
            let config = layout.json(built.config(service, platform));
            let history = config["history"].as_array().unwrap();
            let lines: Vec<&Value> = history.iter().map(|row| &row["created_by"]).collect();
            assert_eq!(
                lines,
                ["imgpack static@1", "imgpack app: /usr/share/base.txt", "imgpack app: /app.txt"],
                "{service}"
            );
            assert!(config["config"]["Env"].as_array().unwrap().contains(&"FROM_BASE=1".into()), "{config}");
            assert_eq!(config["config"]["Labels"].get("org.opencontainers.image.title"), None::<&Value>);
        }
    }

    // The second time no blob comes, and by digest nothing is asked at all.
    assert_eq!(workspace.build(&["tagged", "both", "pinned", "plain"]).document, built.document);
    let requests = registry.requests();
    assert!(!requests.iter().any(|request| request.contains("/blobs/")), "{requests:#?}");
    assert!(requests.iter().any(|request| request.ends_with("/manifests/1.0")), "{requests:#?}");
    let host = registry.host.clone();
    drop(registry);
    let offline = workspace.build(&["pinned", "both"]);
    assert_eq!(offline.image("pinned"), built.image("pinned"));
    assert_eq!(offline.image("both"), built.image("both"));
    let said = program::failure(&mut workspace.command(&["build", "tagged"]), 4);
    assert!(said.contains(&format!("cannot reach the registry {host}")), "{said}");
}
