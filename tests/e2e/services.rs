//! The services run as images, find each other over the network, and do what they are for, confined: as their
//! non-root user, with a read-only root file system, without a capability.

use std::time::Duration;

use serde_json::{Value, json};

use crate::catalogue::{API, BEHIND, CORE, GATEWAY, Service, Variant};
use crate::engine::Container;
use crate::program;
use crate::waiting::until;
use crate::world::{World, built};

const START: Duration = Duration::from_mins(1);

/// Status and JSON of an answer, or why there was none.
pub(crate) fn fetch(url: &str, options: &[&str]) -> Result<(u16, Value), String> {
    let fixed =
        ["--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--write-out", "\n%{http_code}"];
    let ended = program::call("curl", [&fixed, options, &[url]].concat());
    if ended.code() != 0 {
        return Err(ended.to_string());
    }
    let said = ended.text();
    let (body, code) = said.rsplit_once('\n').unwrap_or(("", &said));
    let code = code.parse().map_err(|_| said.clone())?;
    Ok((code, serde_json::from_str(body).map_err(|error| format!("{url}: {error}: {body:?}"))?))
}

/// Asks until the answer is 200.
pub(crate) fn wait_ok(url: &str) -> Value {
    until(&format!("{url} is well"), START, || match fetch(url, &[])? {
        (200, answer) => Ok(answer),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn the_gateway_asks_five_services_and_is_ok() {
    let Some(world) = built() else { return };
    system(world, Variant::Plain);
}

#[test]
fn the_gateway_asks_five_services_and_is_ok_on_alpine() {
    let Some(world) = built() else { return };
    system(world, Variant::Alpine);
}

fn system(world: &'static World, variant: Variant) {
    let network = world.engine.network();
    let start = |service: Service| network.start(service.name, &[], &world.image(service, variant));
    let mut behind: Vec<_> = BEHIND.into_iter().map(start).collect();
    let gateway = start(GATEWAY);
    let url = gateway.url(GATEWAY.port);

    let health = wait_ok(&format!("{url}/healthz"));
    let well = BEHIND.map(|service| (service.name.to_owned(), json!("ok"))).into_iter().collect();
    assert_eq!(health, json!({ "status": "ok", "services": Value::Object(well) }));

    for container in behind.iter().chain([&gateway]) {
        confined(container, variant.user());
        match variant {
            Variant::Plain => no_shell(container),
            Variant::Alpine => shell(container),
        }
    }

    publish(&url);

    // An image that is well says so itself, where it has a health check.
    if variant == Variant::Alpine {
        behind.iter().chain([&gateway]).for_each(Container::wait_healthy);
    }

    // A service that is gone is named, and the others are not.
    let at = behind.iter().position(|container| container.name() == "user").expect("user runs");
    let user = behind.remove(at);
    assert_eq!(user.stop(), 0, "{}", user.logs());
    drop(user);
    let (code, health) =
        until("the gateway notices", START, || match fetch(&format!("{url}/healthz"), &[])? {
            (200, answer) => Err(answer.to_string()),
            other => Ok(other),
        });
    assert_eq!(
        (code, &health["status"], &health["services"]["blog"]),
        (503, &json!("unavailable"), &json!("ok"))
    );
    assert_ne!(health["services"]["user"], json!("ok"));

    for container in behind.iter().chain([&gateway]) {
        assert_eq!(container.stop(), 0, "{} on SIGTERM\n{}", container.name(), container.logs());
    }
}

/// One request that needs all five services.
fn publish(url: &str) {
    let posts = format!("{url}/api/posts");
    let draft = r#"{"author":"ada","title":"Notes","body":"on the engine"}"#;
    let (code, post) = fetch(&posts, &["--data", draft]).unwrap();
    assert_eq!((code, &post["id"], &post["body"]), (201, &json!("1"), &json!("on the engine")), "{post}");
    let (code, list) = fetch(&posts, &[]).unwrap();
    assert_eq!((code, list), (200, json!([post])));
    let (code, refusal) = fetch(&posts, &["--data", r#"{"author":"rika","title":"x"}"#]).unwrap();
    assert_eq!((code, refusal), (403, json!({ "error": "a reader may not publish" })));
}

/// The kernel's view: the user, no capability to gain, nothing writable.
fn confined(container: &Container<'_>, user: u32) {
    let name = container.name();
    let config = &container.inspect()["Config"];
    assert_eq!(config["User"], json!(format!("{user}:{user}")), "{name}");
    let (status, read_only) = container.process();
    let four = [user; 4].map(|id| id.to_string()).join(" ");
    assert_eq!((&status["Uid"], &status["Gid"]), (&four, &four), "{name}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{name}: {set}");
    }
    assert_eq!(status["NoNewPrivs"], "1", "{name}");
    assert!(read_only, "{name}: the root file system is writable");
}

fn no_shell(container: &Container<'_>) {
    for shell in ["sh", "/bin/sh", "/bin/bash", "/bin/busybox"] {
        let ended = container.exec(&[shell, "-c", "true"]);
        assert!(matches!(ended.code(), 126 | 127), "{}: {ended}", container.name());
    }
    let files = container.files();
    assert!(files.iter().any(|path| path == "etc/passwd"), "{}: {files:?}", container.name());
    let shells = ["sh", "bash", "ash", "dash", "busybox"];
    let found = files.iter().find(|path| path.rsplit('/').next().is_some_and(|name| shells.contains(&name)));
    assert_eq!(found, None, "{}", container.name());
}

fn shell(container: &Container<'_>) {
    let said = container.exec(&["sh", "-c", "id -u; id -g; id -un; id -gn"]).text();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["1001", "1001", "monkeys", "monkeys"],
        "{}",
        container.name()
    );
    let refused = container.exec(&["sh", "-c", "touch /tmp/x"]);
    assert!(refused.code() != 0 && refused.said().contains("Read-only file system"), "{refused}");
}

#[test]
fn jessys_api_asks_the_core_and_both_are_healthy() {
    let Some(world) = built() else { return };
    let network = world.engine.network();
    let core = network.start("core", &[], &world.image(CORE, Variant::Plain));
    core.wait_healthy();
    let api = network.start("jessy-api", &[], &world.image(API, Variant::Plain));
    let url = api.url(API.port);
    let health = wait_ok(&format!("{url}/api/health"));
    assert_eq!((&health["status"], &health["core"]["status"]), (&json!("ok"), &json!("ok")), "{health}");
    let (status, words) = fetch(&format!("{url}/api/words?text=the+owl+and+the+mouse"), &[]).unwrap();
    assert_eq!(
        (status, &words["words"], &words["frequent"][0]),
        (200, &json!(5), &json!({ "word": "the", "count": 2 }))
    );
    for container in [&core, &api] {
        confined(container, Variant::Plain.user());
        no_shell(container);
    }
    api.wait_healthy();
    for container in [&api, &core] {
        assert_eq!(container.stop(), 0, "{} on SIGTERM\n{}", container.name(), container.logs());
    }
}
