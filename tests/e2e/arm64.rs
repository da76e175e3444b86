//! The arm64 images hold programs that run, together, under emulation.

use serde_json::json;

use crate::catalogue::{API, BEHIND, CORE, GATEWAY, Service, Variant};
use crate::qemu::{self, Emulated};
use crate::services::wait_ok;
use crate::unpacked::unpack;
use crate::world::{World, built};

fn program(world: &World, service: Service) -> Emulated {
    let image = world.registry.reference(service.repository, Variant::Plain.tag());
    let unpacked = unpack(&format!("docker://{image}"), "arm64", &world.dir.join("arm64").join(service.name));
    qemu::emulated(&unpacked.root, service.binary)
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn the_arm64_gateway_asks_five_arm64_services() {
    let Some(world) = built() else { return };
    let mut environment = Vec::new();
    let mut behind = Vec::new();
    for service in BEHIND {
        let program = program(world, service);
        let running = program.start(&[]);
        program.once(&[variable("LISTEN_ADDR", &running.address)], &[service.check]).text();
        environment.push(variable(&format!("{}_ADDR", service.name.to_uppercase()), &running.address));
        behind.push(running);
    }
    let program = program(world, GATEWAY);
    // Where the root file system lacks a file, the emulator takes this machine's.
    assert!(program.root.join("usr/share/zoneinfo/Europe/Rome").is_file());
    assert_eq!(program.once(&[], &["-check-zone", "Europe/Rome"]).text(), "2024-07-01T12:00:00+02:00");
    let gateway = program.start(&environment);
    let health = wait_ok(&format!("http://{}/healthz", gateway.address));
    assert_eq!(health["status"], json!("ok"), "{health}");
    assert_eq!(health["services"].as_object().map(serde_json::Map::len), Some(BEHIND.len()), "{health}");
}

#[test]
fn the_arm64_api_asks_the_arm64_core() {
    let Some(world) = built() else { return };
    let program_of_core = program(world, CORE);
    let core = program_of_core.start(&[]);
    program_of_core.once(&[variable("LISTEN_ADDR", &core.address)], &[CORE.check]).text();
    let api = program(world, API).start(&[variable("CORE_URL", &format!("http://{}", core.address))]);
    let health = wait_ok(&format!("http://{}/api/health", api.address));
    assert_eq!((&health["status"], &health["core"]["status"]), (&json!("ok"), &json!("ok")), "{health}");
}
