//! `imgpack auth`, and certificates of one's own.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::env::{Ended, Env, IMGPACK};
use crate::fake::{Asked, Fake, Reply};
use crate::keeping;

/// `user:geheim`
const KEPT: &str = "dXNlcjpnZWhlaW0=";

/// A registry that takes `user` with `geheim`, by password.
fn closed(asked: &Asked) -> Reply {
    if asked.line().ends_with(" [Basic user:geheim]") {
        return if asked.method == "GET" { Reply::body("{}") } else { Reply::status(404) };
    }
    Reply::status(401)
        .with("WWW-Authenticate", "Basic realm=\"x\"")
        .and_body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
}

/// Runs imgpack with this on its stdin.
fn told(env: &Env, arguments: &[&str], stdin: &str) -> Ended {
    let mut command = env.command(IMGPACK, arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = Ended {
        code: output.status.code().unwrap(),
        stdout: env.said(&output.stdout),
        stderr: env.said(&output.stderr),
    };
    assert!(!format!("{said:?}").contains("geheim"), "{said:?}");
    assert!(!format!("{said:?}").contains(KEPT), "{said:?}");
    said
}

#[test]
fn every_place_is_explained() {
    let mut env = Env::bare();
    env.set("XDG_RUNTIME_DIR", env.outside("run"));
    env.set("GITHUB_ACTIONS", "true");
    env.set("GITHUB_TOKEN", "geheim");
    fs::create_dir_all(env.outside("home/.config/containers")).unwrap();
    fs::write(env.outside("home/.config/containers/auth.json"), "{\n \"auths\": 7 geheim").unwrap();
    fs::create_dir_all(env.outside("home/.docker")).unwrap();
    let auths = format!(
        r#"{{"auths": {{"ghcr.io/acme": {{"auth": "{KEPT}"}}, "id.example": {{"identitytoken": "geheim"}},
            "token.example": {{"registrytoken": "geheim"}}}}, "credHelpers": {{"gcr.io": "missing", "up.example": "../x"}}}}"#
    );
    fs::write(env.outside("home/.docker/config.json"), auths).unwrap();
    let explain = |reference: &str| told(&env, &["auth", "explain", reference], "").stdout;
    assert_snapshot!(explain("ghcr.io/acme/web:v1"), @r"
    credentials for ghcr.io/acme/web, at https://ghcr.io

    [dir]/run/containers/auth.json
      is not there
    [dir]/home/.config/containers/auth.json
      [dir]/home/.config/containers/auth.json:2:11 is not the JSON of a credentials file
    [dir]/home/.docker/config.json
      the entry `ghcr.io/acme` is used
    [dir]/home/.dockercfg
      is not needed
    GITHUB_TOKEN of this GitHub Actions job
      is not needed

    user `user` and a password are sent, when asked for, to ghcr.io
    and to the token server that it names, if that is one of its own
    ");
    assert_snapshot!(explain("ghcr.io"), @r"
    credentials for ghcr.io, at https://ghcr.io

    [dir]/run/containers/auth.json
      is not there
    [dir]/home/.config/containers/auth.json
      [dir]/home/.config/containers/auth.json:2:11 is not the JSON of a credentials file
    [dir]/home/.docker/config.json
      has nothing for ghcr.io
    [dir]/home/.dockercfg
      is not there
    GITHUB_TOKEN of this GitHub Actions job
      is used

    user `github-actions` and a password are sent, when asked for, to ghcr.io
    and to the token server that it names, if that is one of its own
    ");
    assert_snapshot!(explain("gcr.io/acme/web"), @r"
    credentials for gcr.io/acme/web, at https://gcr.io

    [dir]/run/containers/auth.json
      is not there
    [dir]/home/.config/containers/auth.json
      [dir]/home/.config/containers/auth.json:2:11 is not the JSON of a credentials file
    [dir]/home/.docker/config.json
      the credential helper docker-credential-missing is in no folder of PATH
      hint: install docker-credential-missing, or remove it from credHelpers and credsStore
    [dir]/home/.dockercfg
      is not there
    GITHUB_TOKEN of this GitHub Actions job
      has nothing for gcr.io/acme/web

    nothing is sent: requests are anonymous
    ");
    let last = |reference: &str| {
        let text = explain(reference);
        text.rsplit_once("\n\n").unwrap().1.to_owned()
    };
    assert_snapshot!(last("nginx"), @r"nothing is sent: requests are anonymous");
    assert_snapshot!(last("id.example/web"), @r"
    a refresh token is sent, when asked for, to the token server
    that id.example names, if that is one of its own
    ");
    assert_snapshot!(last("token.example/web"), @r"a token is sent, when asked for, to token.example alone");
    let json = told(&env, &["auth", "explain", "ghcr.io/acme/web", "--format", "json"], "").stdout;
    assert_snapshot!(json, @r#"
    {
      "address": "https://ghcr.io",
      "asked": null,
      "places": [
        {
          "outcome": "missing",
          "place": "[dir]/run/containers/auth.json"
        },
        {
          "outcome": "failed",
          "place": "[dir]/home/.config/containers/auth.json",
          "reason": "[dir]/home/.config/containers/auth.json:2:11 is not the JSON of a credentials file"
        },
        {
          "entry": "the entry `ghcr.io/acme`",
          "outcome": "used",
          "place": "[dir]/home/.docker/config.json"
        },
        {
          "outcome": "notNeeded",
          "place": "[dir]/home/.dockercfg"
        },
        {
          "outcome": "notNeeded",
          "place": "GITHUB_TOKEN of this GitHub Actions job"
        }
      ],
      "registry": "ghcr.io",
      "sent": {
        "form": "password",
        "user": "user"
      },
      "subject": "ghcr.io/acme/web"
    }
    "#);
    let wrong = env.fails(2, &["auth", "explain", "ghcr.io/ACME"]);
    assert!(wrong.contains("`ghcr.io/ACME` is not an image reference"), "{wrong}");
}

#[test]
fn a_login_is_checked_kept_and_forgotten() {
    let server = Fake::start(closed);
    let registry = server.address.to_string();
    let mut env = Env::with_files();
    env.set("REGISTRY_AUTH_FILE", env.outside("auth/auth.json"));
    let shown = |ended: Ended| {
        format!("{}\n{}{}", ended.code, ended.stdout, ended.stderr).replace(&registry, "[registry]")
    };
    let login = ["auth", "login", &registry, "--username", "user", "--password-stdin"];

    assert_snapshot!(shown(told(&env, &login, "wrong\n")), @r"
    4
    error: [registry] does not take these credentials: GET http://[registry]/v2/ was answered with 401: UNAUTHORIZED, authentication required
    ");
    assert!(!env.outside("auth").exists());
    assert_snapshot!(shown(told(&env, &login, "geheim\n")), @r"
    0
    logged in to [registry] as user, kept in [dir]/auth/auth.json
    ");
    let file = env.outside("auth/auth.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains(KEPT));

    let ask = ["auth", "explain", &registry, "--ask"];
    let asked = shown(told(&env, &ask, ""));
    assert_snapshot!(asked, @r"
    0
    credentials for [registry], at http://[registry]

    [dir]/auth/auth.json
      the entry `[registry]` is used

    user `user` and a password are sent, when asked for, to [registry]
    and to the token server that it names, if that is one of its own

    [registry] asked for user and password, and let us in
    ");
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {registry}/acme\n"));
    env.run(&["build", "--push", "--quiet"]);
    assert!(
        server.lines().iter().any(|line| line.starts_with("POST") && line.ends_with("[Basic user:geheim]"))
    );

    assert_snapshot!(shown(told(&env, &["auth", "logout", &registry], "")), @r"
    0
    logged out of [registry], in [dir]/auth/auth.json
    ");
    assert_snapshot!(shown(told(&env, &["auth", "logout", &registry], "")), @r"
    0
    [dir]/auth/auth.json has no entry for [registry]
    ");
    assert!(!fs::read_to_string(&file).unwrap().contains(KEPT));
    assert_snapshot!(shown(told(&env, &ask, "")), @r"
    4
    credentials for [registry], at http://[registry]

    [dir]/auth/auth.json
      has nothing for [registry]

    nothing is sent: requests are anonymous
    error: [registry] lets nobody in without credentials: GET http://[registry]/v2/ was answered with 401: UNAUTHORIZED, authentication required
    ");
}

#[test]
fn logins_that_cannot_be() {
    let mut env = Env::bare();
    env.set("REGISTRY_AUTH_FILE", env.outside("auth.json"));
    fs::write(env.outside("auth.json"), r#"{"credHelpers": {"gcr.io": "gcloud"}, "auths": {}}"#).unwrap();
    let login = |registry: &str, user: &str, password: &str| {
        let ended = told(&env, &["auth", "login", registry, "-u", user, "--password-stdin"], password);
        format!("{}\n{}", ended.code, ended.stderr)
    };
    assert_snapshot!(login("https://ghcr.io/", "user", "geheim"), @r"
    2
    error: `https://ghcr.io/` is an address, not a registry
    hint: write ghcr.io
    ");
    assert_snapshot!(login("acme", "user", "geheim"), @r"
    2
    error: `acme` does not begin with a registry's host
    hint: write it like ghcr.io, docker.io or localhost:5000
    ");
    assert_snapshot!(login("ghcr.io", "us:er", "geheim"), @r"
    2
    error: a user name is a text without colons and control characters
    ");
    assert_snapshot!(login("ghcr.io", "user", "\n"), @r"
    2
    error: the password on stdin is empty or more than one line
    hint: pipe it: `printenv TOKEN | imgpack auth login …`
    ");
    assert_snapshot!(login("ghcr.io", "user", "geheim\ngeheim\n"), @r"
    2
    error: the password on stdin is empty or more than one line
    hint: pipe it: `printenv TOKEN | imgpack auth login …`
    ");
    assert_snapshot!(login("gcr.io", "user", "geheim"), @r"
    5
    error: [dir]/auth.json leaves gcr.io to the credential helper docker-credential-gcloud
    hint: log in with what docker-credential-gcloud belongs to, or name another file in REGISTRY_AUTH_FILE
    ");
    let server = Fake::start(|_| Reply::status(200));
    let open = login(&server.address.to_string(), "user", "geheim\r\n");
    assert_snapshot!(open.replace(&server.address.to_string(), "[registry]"), @r"
    0
    [registry] let us in without asking for a password; it is kept unproven in [dir]/auth.json
    ");
    // There is no other way to say it.
    let ended = told(&env, &["auth", "login", "ghcr.io", "-u", "user", "-p", "x"], "");
    assert_eq!(ended.code, 2);
    let ended = told(&env, &["auth", "login", "ghcr.io", "-u", "user"], "geheim");
    assert!(ended.code == 2 && ended.stderr.contains("--password-stdin"), "{ended:?}");
    fs::write(env.outside("auth.json"), "geheim").unwrap();
    assert_snapshot!(told(&env, &["auth", "logout", "ghcr.io"], "").stderr, @"error: [dir]/auth.json:1:1 is not the JSON of a credentials file");
    env.unset("REGISTRY_AUTH_FILE");
    env.unset("HOME");
    assert_snapshot!(told(&env, &["auth", "logout", "ghcr.io"], "").stderr, @r"
    error: there is no place to keep credentials: neither REGISTRY_AUTH_FILE nor XDG_CONFIG_HOME nor HOME is set
    hint: name a file in REGISTRY_AUTH_FILE
    ");
}

#[test]
fn certificates_of_ones_own() {
    let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    if proxies.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return;
    }
    let server = Fake::start_tls(|_| Reply::status(200));
    let registry = format!("0.0.0.0:{}", server.address.port());
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/tls/ca.pem");
    let mut env = Env::bare();
    env.unset("SSL_CERT_FILE");
    let ask = |env: &Env| {
        let ended = told(env, &["auth", "explain", &registry, "--ask"], "");
        (ended.code, ended.stderr.replace(&registry, "[registry]"))
    };
    let (code, said) = ask(&env);
    assert_eq!(code, 4);
    assert_snapshot!(said, @r"
    error: no secure connection to 0.0.0.0: GET https://[registry]/v2/
      because: invalid peer certificate: UnknownIssuer
    hint: if 0.0.0.0 has a certificate of your own CA, name its file in IMGPACK_CA_FILE
    ");
    fs::write(env.outside("other.pem"), fs::read(ca).unwrap()).unwrap();
    env.set("IMGPACK_CA_FILE", format!("{}:{ca}", env.outside("other.pem").display()));
    assert_eq!(ask(&env), (0, String::new()));
    env.set("IMGPACK_CA_FILE", env.outside("missing.pem"));
    let (code, said) = ask(&env);
    assert_eq!(code, 4);
    assert_snapshot!(said, @r"
    error: cannot use the certificates of [dir]/missing.pem
      because: No such file or directory (os error 2)
    ");
    env.unset("IMGPACK_CA_FILE");
    let own = env.outside("home/.config/containers/certs.d").join(&registry);
    fs::create_dir_all(&own).unwrap();
    fs::copy(ca, own.join("ca.crt")).unwrap();
    assert_eq!(ask(&env), (0, String::new()));
}

#[test]
fn plain_http_is_spoken_where_somebody_says_so() {
    let server = keeping::start();
    // The same server under a name that is not this machine's.
    let registry = format!("0.0.0.0:{}", server.address.port());
    let mut env = Env::with_files();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {registry}/acme\n"));
    env.spec("web", "base: scratch\nfiles: { /etc/web: ../conf }\n");
    let said = env.fails(4, &["build", "--push", "--quiet"]).replace(&registry, "[registry]");
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("hint: ")).collect();
    assert_eq!(
        last,
        [
            "hint: it seems to speak plain http; where the network may be trusted with passwords and images, name the \
          registry in IMGPACK_HTTP_REGISTRIES"
        ],
        "{said}"
    );
    assert_eq!(server.lines(), Vec::<String>::new());
    env.set("IMGPACK_HTTP_REGISTRIES", format!("registry.example:5000, {registry}"));
    env.succeeds(&["build", "--push"]);
    assert_eq!(env.succeeds(&["build", "--push", "--quiet"]).stdout.matches("0.0.0.0").count(), 1);
    assert!(server.lines().iter().any(|line| line.starts_with("PUT") && line.ends_with("/latest")));
}

#[test]
fn the_workspace_names_token_servers() {
    let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    if proxies.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return;
    }
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let own = std::sync::Arc::clone(&port);
    let server = Fake::start_tls(move |asked| match asked.bearer() {
        _ if asked.target.starts_with("/token") => Reply::body(r#"{"token":"t"}"#),
        Some("t") => Reply::body("{}"),
        _ => Reply::status(401).with(
            "WWW-Authenticate",
            format!("Bearer realm=\"https://127.0.0.1:{}/token\"", own.get().unwrap()),
        ),
    });
    port.set(server.address.port()).unwrap();
    let registry = format!("0.0.0.0:{}", server.address.port());
    let mut env = Env::new();
    env.set("IMGPACK_CA_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/tls/ca.pem"));
    let login = |env: &Env| {
        let ended = told(env, &["auth", "login", &registry, "-u", "user", "--password-stdin"], "geheim");
        format!("{}\n{}", ended.code, ended.stderr).replace(&registry, "[registry]")
    };
    assert_snapshot!(login(&env), @r#"
    4
    error: [registry] wants the credentials for it to be sent to 127.0.0.1, which is not known to belong to it
    hint: if [registry] gives its tokens there, write `auth: { realms: { "[registry]": [127.0.0.1] } }` in imgpack.yaml
    "#);
    assert!(server.lines().iter().all(|line| !line.contains("/token")));
    let realms = format!("auth: {{ realms: {{ \"{registry}\": [127.0.0.1] }} }}\n");
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\n{realms}"));
    assert_snapshot!(login(&env), @r"
    0
    logged in to [registry] as user, kept in [dir]/home/.config/containers/auth.json
    ");
    assert!(server.lines().iter().any(|line| line == "GET /token?account=user [Basic user:geheim]"));
}
