//! Registries that are not there, or do not let in: exit 4, and no secret in any message.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use insta::assert_snapshot;

use crate::env::{Env, without_digests};

/// A port on which nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A workspace whose images go to `127.0.0.1:port`; the second image has its base there.
fn with_registry(port: u16) -> Env {
    let env = Env::with_files();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: 127.0.0.1:{port}/acme\n"));
    env.spec("app", &format!("base: 127.0.0.1:{port}/acme/base:1\n"));
    env
}

/// A registry that lets nobody in; `challenge` says how it asks for credentials.
fn closed_registry(challenge: impl Fn(SocketAddr) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let challenge = challenge(address);
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| refuse(&stream, &challenge)));
    address.port()
}

fn refuse(mut stream: &TcpStream, challenge: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
    let body = if request.starts_with("HEAD") { "" } else { body };
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that went away is no failure of the server.
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn a_registry_that_is_not_there() {
    let port = free_port();
    let env = with_registry(port);
    let said =
        |arguments: &[&str]| without_digests(&env.fails(4, arguments)).replace(&port.to_string(), "[port]");
    assert_snapshot!(said(&["build", "web", "--push", "--quiet"]), @r"
    error: cannot reach the registry 127.0.0.1:[port]: HEAD http://127.0.0.1:[port]/v2/acme/web/blobs/sha256:…
      because: Connection refused (os error 111)
    hint: is a registry listening on 127.0.0.1:[port]?
    ");
    assert_snapshot!(said(&["build", "app", "--jobs", "1"]), @r"
    1 image to build for linux/amd64, linux/arm64
    app linux/amd64: reading the base
    app linux/arm64: reading the base
    error: app (linux/amd64, linux/arm64): cannot reach the registry 127.0.0.1:[port]: HEAD http://127.0.0.1:[port]/v2/acme/base/manifests/1
      because: Connection refused (os error 111)
    hint: is a registry listening on 127.0.0.1:[port]?
    ");
}

#[test]
fn a_host_that_has_no_address() {
    let env = Env::with_files();
    env.file("imgpack.yaml", "apiVersion: imgpack/v1\nregistry: registry.invalid/acme\n");
    let said = env.fails(4, &["build", "--push", "--quiet"]);
    let first = said.lines().next().unwrap();
    assert!(first.starts_with("error: cannot reach the registry registry.invalid: "), "{said}");
}

#[test]
fn wrong_credentials() {
    let basic = closed_registry(|_| "Basic realm=\"registry\"".to_owned());
    let bearer =
        closed_registry(|address| format!("Bearer realm=\"http://{address}/token\",service=\"registry\""));
    for (port, way) in [(basic, "basic"), (bearer, "bearer")] {
        let mut env = with_registry(port);
        // user:hunter2-secret
        let secret = "dXNlcjpodW50ZXIyLXNlY3JldA==";
        let config = format!("{{\"auths\":{{\"127.0.0.1:{port}\":{{\"auth\":\"{secret}\"}}}}}}");
        fs::create_dir(env.outside("docker")).unwrap();
        fs::write(env.outside("docker/config.json"), config).unwrap();
        let none = [
            env.fails(4, &["build", "web", "--push", "--quiet"]),
            env.fails(4, &["build", "app", "--quiet"]),
        ];
        env.set("DOCKER_CONFIG", env.outside("docker"));
        let push = env.fails(4, &["build", "web", "--push"]);
        let pull = env.fails(4, &["build", "app", "--quiet"]);
        let errors =
            push.lines().skip_while(|line| !line.starts_with("error: ")).collect::<Vec<_>>().join("\n");
        for said in [&push, &pull] {
            assert!(!said.contains("hunter2") && !said.contains(secret), "{said}");
        }
        let all = format!("{}--\n{}--\n{errors}\n--\n{pull}", none[0], none[1]);
        let all = without_digests(&all).replace(&port.to_string(), "[port]");
        match way {
            "basic" => assert_snapshot!(all, @r"
            error: 127.0.0.1:[port] refuses access to acme/web: HEAD http://127.0.0.1:[port]/v2/acme/web/blobs/sha256:… was answered with 401
            hint: there are no credentials for it; `imgpack auth login 127.0.0.1:[port]` keeps some, `imgpack auth explain 127.0.0.1:[port]/acme/web` shows where they are looked for
            --
            error: app (linux/amd64, linux/arm64): 127.0.0.1:[port] refuses access to acme/base: GET http://127.0.0.1:[port]/v2/acme/base/manifests/1 was answered with 401: UNAUTHORIZED, authentication required
            hint: there are no credentials for it; `imgpack auth login 127.0.0.1:[port]` keeps some, `imgpack auth explain 127.0.0.1:[port]/acme/base` shows where they are looked for
            --
            error: 127.0.0.1:[port] refuses access to acme/web: HEAD http://127.0.0.1:[port]/v2/acme/web/manifests/latest was answered with 401
            hint: the entry `127.0.0.1:[port]` of [dir]/docker/config.json was used; it may be wrong or expired, or not be allowed to read acme/web
            --
            error: app (linux/amd64, linux/arm64): 127.0.0.1:[port] refuses access to acme/base: GET http://127.0.0.1:[port]/v2/acme/base/manifests/1 was answered with 401: UNAUTHORIZED, authentication required
            hint: the entry `127.0.0.1:[port]` of [dir]/docker/config.json was used; it may be wrong or expired, or not be allowed to read acme/base
            "),
            _ => assert_snapshot!(all, @r"
            error: 127.0.0.1:[port] refuses access to acme/web: GET http://127.0.0.1:[port]/token was answered with 401: UNAUTHORIZED, authentication required
            hint: there are no credentials for it; `imgpack auth login 127.0.0.1:[port]` keeps some, `imgpack auth explain 127.0.0.1:[port]/acme/web` shows where they are looked for
            --
            error: app (linux/amd64, linux/arm64): 127.0.0.1:[port] refuses access to acme/base: GET http://127.0.0.1:[port]/token was answered with 401: UNAUTHORIZED, authentication required
            hint: there are no credentials for it; `imgpack auth login 127.0.0.1:[port]` keeps some, `imgpack auth explain 127.0.0.1:[port]/acme/base` shows where they are looked for
            --
            error: 127.0.0.1:[port] refuses access to acme/web: GET http://127.0.0.1:[port]/token was answered with 401: UNAUTHORIZED, authentication required
            hint: the entry `127.0.0.1:[port]` of [dir]/docker/config.json was used; it may be wrong or expired, or not be allowed to read acme/web
            --
            error: app (linux/amd64, linux/arm64): 127.0.0.1:[port] refuses access to acme/base: GET http://127.0.0.1:[port]/token was answered with 401: UNAUTHORIZED, authentication required
            hint: the entry `127.0.0.1:[port]` of [dir]/docker/config.json was used; it may be wrong or expired, or not be allowed to read acme/base
            "),
        }
    }
}
