use imgpack::registry::{Registry as _, RemoteConfig};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, config, repository, told, with_credentials};

const DOCUMENT: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// A registry that wants the tokens of `/token`, numbered as they are given.
fn tokens(realm: impl Fn() -> String + Send + 'static) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut given = 0;
    move |asked| {
        if asked.target.starts_with("/token") {
            given += 1;
            return Reply::body(format!(r#"{{"token":"t{given}","expires_in":300}}"#));
        }
        match asked.bearer() {
            Some(token) if token == format!("t{given}") && asked.method == "PUT" => Reply::status(201),
            Some(token) if token == format!("t{given}") => Reply::body(DOCUMENT),
            _ => {
                let realm = realm();
                Reply::status(401)
                    .with("WWW-Authenticate", format!(r#"Bearer realm="{realm}",service="reg",scope="x""#))
            }
        }
    }
}

/// A server whose challenges name itself.
fn with_tokens(path: &'static str) -> Fake {
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let own = std::sync::Arc::clone(&port);
    let server = Fake::start(tokens(move || format!("http://127.0.0.1:{}{path}", own.get().unwrap())));
    port.set(server.address.port()).unwrap();
    server
}

const PULL: &str = "scope=repository%3Aacme%2Fweb%3Apull&service=reg";
const PUSH: &str = "scope=repository%3Aacme%2Fweb%3Apull%2Cpush&service=reg";

#[test]
fn a_token_is_asked_for_once_and_kept() {
    let server = with_tokens("/token");
    let remote = anonymous();
    let reference = repository(&server).tagged("v1").unwrap();
    remote.manifest(&reference).unwrap();
    remote.manifest(&reference).unwrap();
    assert_eq!(
        server.lines(),
        [
            "GET /v2/acme/web/manifests/v1".to_owned(),
            format!("GET /token?{PULL}"),
            "GET /v2/acme/web/manifests/v1 [Bearer t1]".to_owned(),
            "GET /v2/acme/web/manifests/v1 [Bearer t1]".to_owned(),
        ]
    );
}

#[test]
fn another_scope_needs_no_refused_request() {
    let server = with_tokens("/token");
    let remote = anonymous();
    let reference = repository(&server).tagged("v1").unwrap();
    remote.manifest(&reference).unwrap();
    let media_type = imgpack::model::MediaType::OciIndex;
    remote.push_manifest(&reference, media_type, DOCUMENT.as_bytes()).unwrap();
    remote.manifest(&reference).unwrap_or_else(|error| panic!("{error}"));
    let lines = server.lines();
    assert_eq!(
        lines[3..5],
        [format!("GET /token?{PUSH}"), "PUT /v2/acme/web/manifests/v1 [Bearer t2]".to_owned()]
    );
}

#[test]
fn credentials_go_to_the_token_server_only() {
    let server = with_tokens("/token?a=b");
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
    let remote = with_credentials(directory.path(), &json);
    remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap();
    assert_eq!(
        server.lines(),
        [
            "GET /v2/acme/web/manifests/v1".to_owned(),
            format!("GET /token?a=b&{PULL}&account=user [Basic user:geheim]"),
            "GET /v2/acme/web/manifests/v1 [Bearer t1]".to_owned(),
        ]
    );
}

#[test]
fn an_identity_token_is_exchanged() {
    let server = with_tokens("/token");
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"identitytoken": "geheim+/"}}}}}}"#, server.address);
    let remote = with_credentials(directory.path(), &json);
    remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap();
    let asked = &server.requests()[1];
    assert_eq!(asked.line(), "POST /token");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        String::from_utf8_lossy(&asked.body),
        format!("grant_type=refresh_token&client_id=imgpack&refresh_token=geheim%2B%2F&{PULL}")
    );
}

#[test]
fn an_expired_token_is_renewed_while_a_blob_is_pushed() {
    let mut given = 0;
    let server = Fake::start(move |asked| {
        if asked.target.starts_with("/token") {
            given += 1;
            return Reply::body(format!(r#"{{"access_token":"t{given}"}}"#));
        }
        match (asked.method.as_str(), asked.bearer()) {
            ("HEAD", Some("t1")) | ("GET", Some("t2")) => Reply::status(404),
            ("POST", Some("t1" | "t2")) => Reply::status(202).with("Location", "/upload"),
            ("PUT", Some("t2")) => Reply::status(201),
            _ => {
                let host = &asked.headers["host"];
                Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
            }
        }
    });
    let bytes: &[u8] = b"x";
    let source = imgpack::registry::BlobSource::Bytes(bytes.into());
    anonymous().push_blob(&repository(&server), &crate::layer(bytes), &source, &|_| {}).unwrap();
    let lines: Vec<_> = server
        .requests()
        .iter()
        .map(|asked| format!("{} {}", asked.method, asked.bearer().unwrap_or("-")))
        .collect();
    let all = ["HEAD -", "GET -", "HEAD t1", "POST t1", "PUT t1", "GET -", "GET t2", "POST t2", "PUT t2"];
    assert_eq!(lines, all);
}

#[test]
fn wrong_credentials_name_file_and_entry() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let server = Fake::start(|_| {
        Reply::status(401)
            .with("WWW-Authenticate", "Basic realm=\"x\"")
            .and_body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
    });
    let address = server.address;
    let json = format!(r#"{{"auths": {{"{address}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#);
    let remote = with_credentials(directory.path(), &json);
    let error = remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err();
    assert_eq!(
        told(&error),
        format!(
            "{address} refuses access to acme/web: GET http://{address}/v2/acme/web/manifests/v1 was answered \
             with 401: UNAUTHORIZED, authentication required\n\
             hint: the entry `{address}` of {} was used; it may be wrong or expired, or not be allowed to read acme/web",
            file.display()
        )
    );
    assert_eq!(server.lines().len(), 2, "a password is not tried twice");
    // The next request tries it once more, and asks for nothing new.
    remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err();
    assert_eq!(server.lines().len(), 3);

    for json in ["{}", r#"{"auths": {"other.example": {"auth": "dXNlcjpnZWhlaW0="}}}"#] {
        let remote = with_credentials(directory.path(), json);
        let error = told(&remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err());
        assert!(
            error.contains(&format!(
                "hint: there are no credentials for it; `imgpack auth login {address}` keeps"
            )),
            "{error}"
        );
    }
    // What cannot be used is no end, but it is told.
    let remote = with_credentials(directory.path(), r#"{"credsStore": "that-is-not-there"}"#);
    let error = told(&remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err());
    assert!(
        error.ends_with(
            "hint: no credentials were found: the credential helper docker-credential-that-is-not-there is in no \
             folder of PATH; install docker-credential-that-is-not-there, or remove it from credHelpers and credsStore"
        ),
        "{error}"
    );
}

#[test]
fn who_needs_no_credentials_is_not_kept_by_bad_ones() {
    let server = Fake::start(|_| Reply::body(DOCUMENT));
    let directory = tempfile::tempdir().unwrap();
    let remote = with_credentials(directory.path(), "geheim");
    remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap();
    let server = with_tokens("/token");
    let remote = with_credentials(directory.path(), r#"{"credsStore": "that-is-not-there"}"#);
    remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap();
    assert_eq!(server.lines()[1], format!("GET /token?{PULL}"), "anonymous");
}

/// Credentials for an environment whose helper `test` is this script; it is told the server, and answers for all.
fn with_helper(directory: &std::path::Path, answer: &str, json: &str) -> imgpack::registry::Remote {
    use std::os::unix::fs::PermissionsExt as _;
    let (helper, beside) = (directory.join("docker-credential-test"), directory.join("new"));
    let log = directory.join("asked").display().to_string();
    std::fs::write(&beside, format!("#!/bin/sh\ncat >> {log}; echo >> {log}; echo '{answer}'\n")).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(beside, helper).unwrap();
    std::fs::write(directory.join("config.json"), json).unwrap();
    let environment = std::collections::BTreeMap::from([
        ("PATH".into(), format!("{}:/usr/bin:/bin", directory.display()).into()),
        ("DOCKER_CONFIG".into(), directory.into()),
    ]);
    let credentials = imgpack::registry::CredentialPlaces::of(&environment);
    imgpack::registry::Remote::new(RemoteConfig { credentials, ..config() })
}

#[test]
fn a_helper_is_asked_once_for_all_repositories() {
    let server = Fake::start(|asked| match asked.line().contains("[Basic AWS:geheim]") {
        true => Reply::body(DOCUMENT),
        false => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"credHelpers": {{"{}": "test"}}}}"#, server.address);
    let remote = with_helper(directory.path(), r#"{"Username":"AWS","Secret":"geheim"}"#, &json);
    for name in ["web", "api"] {
        let repository: imgpack::model::Repository =
            format!("{}/acme/{name}", server.address).parse().unwrap();
        remote.manifest(&repository.tagged("v1").unwrap()).unwrap_or_else(|error| panic!("{}", told(&error)));
    }
    let asked = std::fs::read_to_string(directory.path().join("asked")).unwrap();
    assert_eq!(asked, format!("{}\n", server.address));
}

#[test]
fn a_helpers_token_is_an_identity() {
    let server = with_tokens("/token");
    let directory = tempfile::tempdir().unwrap();
    let answer = r#"{"Username":"<token>","Secret":"geheim"}"#;
    let remote = with_helper(directory.path(), answer, r#"{"credsStore": "test"}"#);
    remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap();
    assert_eq!(server.lines()[1], "POST /token");
    assert!(String::from_utf8_lossy(&server.requests()[1].body).contains("refresh_token=geheim"));
}

#[test]
fn a_sign_in_asks_for_no_repository() {
    let server = with_tokens("/token");
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
    let remote = with_credentials(directory.path(), &json);
    let done = remote.sign_in(&repository(&server), true).unwrap();
    let realm = format!("http://{}/token", server.address);
    assert_eq!(done.asked, imgpack::registry::Asked::Token { realm });
    assert_eq!(
        server.lines(),
        ["GET /v2/", "GET /token?service=reg&account=user [Basic user:geheim]", "GET /v2/ [Bearer t1]"]
    );

    let open = Fake::start(|_| Reply::status(200));
    let done = anonymous().sign_in(&repository(&open), true).unwrap();
    assert_eq!(done.asked, imgpack::registry::Asked::Nothing);

    let closed = Fake::start(|_| {
        Reply::status(401)
            .with("WWW-Authenticate", "Basic realm=\"x\"")
            .and_body(r#"{"code":"UNAUTHORIZED"}"#)
    });
    let remote = imgpack::registry::Remote::new(RemoteConfig {
        credentials: imgpack::registry::CredentialPlaces::given("me", "geheim"),
        ..config()
    });
    let error = told(&remote.sign_in(&repository(&closed), true).unwrap_err());
    assert_eq!(
        error,
        format!(
            "{0} does not take these credentials: GET http://{0}/v2/ was answered with 401: UNAUTHORIZED\n\
             hint: user or password are wrong, or the registry wants an access token in place of the password",
            closed.address
        )
    );
    assert_eq!(closed.lines(), ["GET /v2/", "GET /v2/ [Basic me:geheim]"]);
}

#[test]
fn a_token_server_that_refuses_is_named() {
    let server = Fake::start(|asked| {
        if asked.target.starts_with("/token") {
            return Reply::status(401).and_body(r#"{"details":"incorrect username or password"}"#);
        }
        let host = &asked.headers["host"];
        Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
    });
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
    let remote = with_credentials(directory.path(), &json);
    let error = told(&remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err());
    assert!(error.contains("refuses access to acme/web: GET http://127.0.0.1:"), "{error}");
    assert!(error.contains("/token was answered with 401: incorrect username or password"), "{error}");
    assert!(error.contains("was used; it may be wrong or expired"), "{error}");
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn credentials_do_not_go_to_every_realm() {
    for (realm, expected) in [
        ("http://10.0.0.1/token", "http://10.0.0.1/token, and http is spoken only with this machine"),
        ("http://auth.example/token", "and http is spoken only with this machine"),
        ("https://user:geheim@auth.example/", "which carries a user or a password"),
        ("/token", "which is no address for tokens"),
        ("file:///etc/passwd", "which is neither https nor http"),
    ] {
        let server = Fake::start(move |_| {
            Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
        });
        let directory = tempfile::tempdir().unwrap();
        let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
        let remote = with_credentials(directory.path(), &json);
        let error = told(&remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err());
        assert!(error.contains("names an address that is not followed"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    for realm in ["https://ghcr.io.invalid/token", "https://127.0.0.1.invalid/token", "https://8.8.8.8/token"]
    {
        let server = Fake::start(move |_| {
            Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
        });
        let directory = tempfile::tempdir().unwrap();
        let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
        let remote = with_credentials(directory.path(), &json);
        let error = told(&remote.manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err());
        let host = realm.trim_start_matches("https://").trim_end_matches("/token");
        assert!(
            error.contains(&format!("wants the credentials for it to be sent to {host}, which")),
            "{error}"
        );
        assert_eq!(server.lines().len(), 1);
    }
}

#[test]
fn a_token_server_may_be_busy_and_may_not_be_silly() {
    let mut busy = 2;
    let server = Fake::start(move |asked| {
        if asked.target.starts_with("/token") && busy > 0 {
            busy -= 1;
            return Reply::status(503);
        }
        match asked.target.starts_with("/token") {
            true => Reply::body(r#"{"access_token":"a"}"#),
            false if asked.bearer() == Some("a") => Reply::body(DOCUMENT),
            false => {
                let host = &asked.headers["host"];
                Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
            }
        }
    });
    anonymous().manifest(&repository(&server).tagged("v1").unwrap()).unwrap();

    for (reply, expected) in [
        (Reply::body("{}"), "it has no token"),
        (Reply::body(r#"{"token":""}"#), "it has no token"),
        (Reply::body("geheim"), "it is not the JSON of a token"),
        (Reply::body(vec![b' '; 2_000_000]), "the answer is larger than 1048576 bytes"),
        (Reply::status(302).with("Location", "/elsewhere"), "/token?… was answered with 302"),
    ] {
        let server = Fake::start(move |asked| {
            if asked.target.starts_with("/token") {
                return reply.clone();
            }
            let host = &asked.headers["host"];
            Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token?x=y\""))
        });
        let error = told(&anonymous().manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}
