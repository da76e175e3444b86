use imgpack::spec::{SelectError, Workspace};

use crate::memory::Memory;

fn workspace() -> Memory {
    Memory::new(&[
        ("imgpack.yaml", "apiVersion: imgpack/v1\nregistry: ghcr.io/acme\nservices: { inline: {} }\n"),
        ("buildspecs/_t.yaml", "stamp: true\n"),
        (
            "buildspecs/backend.yaml",
            "images: { backend: {}, migration: {} }\nvariants: { staging: {}, alpine: { always: true } }\n",
        ),
        ("buildspecs/gateway.yaml", "variants: { staging: { tags: [edge] } }\n"),
    ])
}

fn select(
    workspace: &Workspace,
    identities: &[&str],
    variant: Option<&str>,
) -> Result<Vec<String>, SelectError> {
    let identities: Vec<_> = identities.iter().map(|text| text.parse().unwrap()).collect();
    let specs = workspace.select(&identities, variant)?;
    Ok(specs.iter().map(|spec| spec.identity.to_string()).collect())
}

#[test]
fn what_a_command_builds() {
    let workspace = workspace().load().unwrap();
    for (identities, variant, expected) in [
        (
            &[][..],
            None,
            &[
                "backend/backend",
                "backend/backend@alpine",
                "backend/migration",
                "backend/migration@alpine",
                "gateway",
                "inline",
            ][..],
        ),
        (&["gateway"], None, &["gateway"]),
        (&["gateway@staging"], None, &["gateway@staging"]),
        (&["backend/migration"], None, &["backend/migration", "backend/migration@alpine"]),
        (&["backend@staging"], None, &["backend/backend@staging", "backend/migration@staging"]),
        (&["backend/backend@alpine"], None, &["backend/backend@alpine"]),
        (&["gateway", "gateway", "inline"], None, &["gateway", "inline"]),
        (
            &[],
            Some("staging"),
            &["backend/backend@staging", "backend/migration@staging", "gateway@staging", "inline"],
        ),
        (&["gateway", "backend/migration"], Some("alpine"), &["backend/migration@alpine", "gateway"]),
    ] {
        assert_eq!(select(&workspace, identities, variant).unwrap(), expected, "{identities:?} {variant:?}");
    }
}

#[test]
fn what_cannot_be_selected() {
    let workspace = workspace().load().unwrap();
    for (identities, variant, message, hint) in [
        (&["gatewya"][..], None, "there is no service `gatewya`", "did you mean `gateway`?"),
        (&["x"], None, "there is no service `x`", "known are backend, gateway, inline"),
        (&["_t"], None, "`_t` is a template: templates are extended, never built", "extends it"),
        (&["backend/migraton"], None, "there is no image `migraton` in service `backend`", "`migration`"),
        (&["gateway/x"], None, "there is no image `x` in service `gateway`", "there are no images"),
        (&["gateway@stagign"], None, "there is no variant `stagign` in service `gateway`", "`staging`"),
        (&[], Some("stagin"), "there is no variant `stagin`", "did you mean `staging`?"),
        (&["inline"], Some("staging"), "there is no variant `staging`", "there are no variants"),
        (
            &["gateway@staging"],
            Some("staging"),
            "`gateway@staging` names a variant, and so does --variant staging",
            "",
        ),
    ] {
        let error = select(&workspace, identities, variant).expect_err(message);
        assert_eq!(error.to_string(), message);
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
    let empty = Memory::new(&[]).load().unwrap();
    assert_eq!(empty.select(&[], None).unwrap_err().to_string(), "the workspace has no service");
}

#[test]
fn repositories_and_tags() {
    let workspace = Memory::new(&[
        ("imgpack.yaml", "apiVersion: imgpack/v1\nregistry: ghcr.io/acme\n"),
        (
            "buildspecs/a.yaml",
            "repository: team/a\ntags: [latest, \"v${git:tag}\", latest]\n\
             images: { a: {}, b: {}, c: { repository: quay.io/x/c }, d: { repository: d } }\n\
             variants: { s: {}, r: { repository: r } }\n",
        ),
        ("buildspecs/plain.yaml", "repository: localhost:5000/plain\n"),
    ])
    .load()
    .unwrap();
    let mut shown = Vec::new();
    for service in workspace.services.values() {
        for spec in service.specs() {
            let tags: Vec<String> = spec.tags.iter().map(ToString::to_string).collect();
            shown.push(format!("{} {} {}", spec.identity, spec.repository, tags.join(" ")));
        }
    }
    let expected = [
        "a/a ghcr.io/acme/team/a latest v${git:tag}",
        "a/a@r ghcr.io/acme/r latest-r v${git:tag}-r",
        "a/a@s ghcr.io/acme/team/a latest-s v${git:tag}-s",
        "a/b ghcr.io/acme/team/a-b latest v${git:tag}",
        "a/b@r ghcr.io/acme/r-b latest-r v${git:tag}-r",
        "a/b@s ghcr.io/acme/team/a-b latest-s v${git:tag}-s",
        "a/c quay.io/x/c latest v${git:tag}",
        "a/c@r ghcr.io/acme/r-c latest-r v${git:tag}-r",
        "a/c@s quay.io/x/c latest-s v${git:tag}-s",
        "a/d ghcr.io/acme/d latest v${git:tag}",
        "a/d@r ghcr.io/acme/r-d latest-r v${git:tag}-r",
        "a/d@s ghcr.io/acme/d latest-s v${git:tag}-s",
        "plain localhost:5000/plain latest",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn without_a_registry_only_the_path() {
    let workspace = Memory::new(&[("buildspecs/a.yaml", "")]).load().unwrap();
    assert_eq!(workspace.registry, None);
    assert_eq!(workspace.select(&[], None).unwrap()[0].repository, "a");
}

#[test]
fn two_images_with_one_tag() {
    let workspace = Memory::new(&[
        ("imgpack.yaml", "apiVersion: imgpack/v1\nregistry: ghcr.io/acme\n"),
        ("buildspecs/a.yaml", "repository: x\n"),
        ("buildspecs/b.yaml", "repository: x\ntags: [v1, latest]\n"),
        ("buildspecs/c.yaml", "repository: x\ntags: [v2]\n"),
    ])
    .load()
    .unwrap();
    let error = workspace.select(&[], None).unwrap_err();
    assert_eq!(error.to_string(), "a and b have one repository and tag, ghcr.io/acme/x:latest");
    assert_eq!(error.hint().unwrap(), "give one of them another `repository:` or other `tags:`");
    assert_eq!(select(&workspace, &["a", "c"], None).unwrap(), ["a", "c"]);
}
