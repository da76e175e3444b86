//! What a program in an image takes from it: trusted certificates and time zones.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::catalogue::{GATEWAY, Variant};
use crate::program;
use crate::services::fetch;
use crate::waiting::until;
use crate::workspace::Workspace;
use crate::world::{World, built};

/// Name of the test server, in its certificate and on the network.
const HOST: &str = "tls.test";

/// Files of the test's own authority.
pub(crate) struct Files {
    /// Directory with the server's `cert.pem` and `key.pem`, readable by every user.
    server: PathBuf,
}

/// Makes an authority and a certificate, and adds two services to the workspace: a gateway that trusts the authority,
/// and one on `scratch`, where there is nothing to take.
pub(crate) fn prepare(dir: &Path, workspace: &Workspace) -> Files {
    let (authority, server) = (dir.join("authority"), dir.join("server"));
    for directory in [&authority, &server] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::set_permissions(&server, Permissions::from_mode(0o755)).unwrap();
    let path = |directory: &Path, name: &str| directory.join(name).display().to_string();
    let (ca, ca_key) = (path(&authority, "ca.pem"), path(&authority, "ca.key"));
    let key = ["-newkey", "rsa:2048", "-nodes"];
    let new = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=imgpack test authority",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ];
    program::call("openssl", [&new[..], &key].concat()).text();
    let (request, extension) = (path(&authority, "server.csr"), path(&authority, "server.ext"));
    let (cert, cert_key) = (path(&server, "cert.pem"), path(&server, "key.pem"));
    let subject = format!("/CN={HOST}");
    let ask = ["req", "-new", "-subj", &subject, "-keyout", &cert_key, "-out", &request];
    program::call("openssl", [&ask[..], &key].concat()).text();
    fs::write(&extension, format!("subjectAltName=DNS:{HOST}\n")).unwrap();
    let sign =
        ["x509", "-req", "-days", "2", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
    program::call("openssl", [&sign[..], &["-extfile", &extension, "-out", &cert]].concat()).text();
    fs::set_permissions(&cert_key, Permissions::from_mode(0o644)).unwrap();

    workspace.write("certificates/test-authority.pem", &fs::read_to_string(&ca).unwrap());
    let spec = |rest: &str| format!("extends: [../monkeys-engine/gateway.yaml]\n{rest}");
    let trusting =
        "repository: e2e/gateway-trusting\ncertificates: [../../certificates/test-authority.pem]\n";
    workspace.write("buildspecs/e2e/gateway-trusting.yaml", &spec(trusting));
    let bare = "repository: e2e/gateway-bare\nbase: scratch\nvariants: null\n";
    workspace.write("buildspecs/e2e/gateway-bare.yaml", &spec(bare));
    Files { server }
}

#[test]
fn a_certificate_of_the_spec_is_trusted_inside_and_no_other() {
    let Some(world) = built() else { return };
    let network = world.engine.network();
    let volume = format!("--volume={}:/tls:ro", world.trust.server.display());
    let options = [&volume, "--env=TLS_CERT_FILE=/tls/cert.pem", "--env=TLS_KEY_FILE=/tls/key.pem"];
    let server = network.start(HOST, &options, &world.image(GATEWAY, Variant::Plain));
    let direct = server.url(GATEWAY.port).replace("http://", "https://");
    until("the TLS server answers", Duration::from_mins(1), || {
        fetch(&format!("{direct}/livez"), &["--insecure"])
    });

    let on = format!("--network={}", network.name());
    let url = format!("https://{HOST}:{}/livez", GATEWAY.port);
    let ask = |image: &str| world.engine.once(&[&on], image, &["-check-https", &url]);
    for variant in [Variant::Plain, Variant::Alpine] {
        let trusting = trusting(world, variant);
        ask(&trusting).text();
        let plain = ask(&world.image(GATEWAY, variant));
        assert_eq!(plain.code(), 1, "{plain}");
        assert!(plain.said().contains("certificate signed by unknown authority"), "{plain}");
        public_authorities(world, &trusting);
    }
}

fn trusting(world: &World, variant: Variant) -> String {
    let image = world.registry.reference("e2e/gateway-trusting", variant.tag());
    world.engine.pull(&image);
    image
}

/// The public authorities are still trusted too.
fn public_authorities(world: &World, image: &str) {
    let id = world.engine.docker(["create", image]).text();
    let copied = world.dir.join(format!("bundle-{id}"));
    let bundle = format!("{id}:/etc/ssl/certs/ca-certificates.crt");
    let ended = world.engine.docker(["cp", "--follow-link", &bundle, &copied.display().to_string()]);
    world.engine.docker(["rm", "--force", &id]).text();
    ended.text();
    let text = fs::read_to_string(&copied).unwrap();
    let count = text.matches("-----BEGIN CERTIFICATE-----").count();
    assert!(count > 100, "{image}: {count} certificates");
}

#[test]
fn time_zones_are_there_and_come_from_the_image() {
    let Some(world) = built() else { return };
    let ask = |image: &str, zone: &str| world.engine.once(&["--network=none"], image, &["-check-zone", zone]);
    for variant in [Variant::Plain, Variant::Alpine] {
        let image = world.image(GATEWAY, variant);
        assert_eq!(ask(&image, "Europe/Rome").text(), "2024-07-01T12:00:00+02:00");
        assert_eq!(ask(&image, "America/Argentina/Buenos_Aires").text(), "2024-07-01T12:00:00-03:00");
    }
    // The binary carries none: where the image has none, there is none.
    let bare = world.registry.reference("e2e/gateway-bare", "latest");
    world.engine.pull(&bare);
    let ended = ask(&bare, "Europe/Rome");
    assert_eq!(ended.code(), 1, "{ended}");
    assert!(ended.said().contains("unknown time zone Europe/Rome"), "{ended}");
}
