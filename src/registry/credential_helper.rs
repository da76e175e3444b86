//! Credential helpers: programs called `docker-credential-NAME` (docker-credential-helpers, "Development").

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credentials::{Credential, CredentialsError, password_of};

/// A helper may ask a person, but not for ever.
const PATIENCE: Duration = Duration::from_mins(1);
/// An answer is two short texts.
const LONGEST: u64 = 256 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Whether `docker-credential-<name>` is a program's name and nothing else.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Asks `program` for the credentials of `server`; `None` where it has none. Its output is shown to nobody.
pub(super) fn ask(program: &str, server: &str) -> Result<Option<Credential>, CredentialsError> {
    let failed = |reason: String| CredentialsError::Helper { program: program.to_owned(), reason };
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let Some((status, output)) = talk(&mut child, server) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("gave no answer within {} s", PATIENCE.as_secs())));
    };
    if !status.success() {
        return if String::from_utf8_lossy(&output).contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(format!("failed with {status}")))
        };
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| failed("did not answer with Username and Secret".to_owned()))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(password_of(&answer.username, &answer.secret)))
}

/// Writes the server to the child and reads it to its end; `None` when it takes too long.
fn talk(child: &mut Child, server: &str) -> Option<(ExitStatus, Vec<u8>)> {
    let (mut stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
    let (sender, receiver) = mpsc::channel();
    let server = server.to_owned();
    std::thread::spawn(move || {
        // A helper that does not read its input may still answer.
        let _ = stdin.write_all(server.as_bytes());
        drop(stdin);
        let mut output = Vec::new();
        let _ = stdout.take(LONGEST).read_to_end(&mut output);
        let _ = sender.send(output);
    });
    let output = receiver.recv_timeout(PATIENCE).ok()?;
    // With its output closed there is nothing left to say; it only has to end.
    let closed = Instant::now();
    while closed.elapsed() < Duration::from_secs(5) {
        if let Some(status) = child.try_wait().ok()? {
            return Some((status, output));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn program(text: &str) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker-credential-test");
        let beside = directory.path().join("new");
        std::fs::write(&beside, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(beside, &path).unwrap();
        (directory, path.display().to_string())
    }

    /// A fork of another test thread may hold the script open for writing for a moment (ETXTBSY).
    fn ask_retrying(path: &str) -> Result<Option<Credential>, CredentialsError> {
        loop {
            match ask(path, "ghcr.io") {
                Err(error) if error.to_string().contains("os error 26") => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    #[test]
    fn answers_are_read() {
        for (script, expected) in [
            (
                r#"read -r server; printf '{"ServerURL":"x","Username":"%s","Secret":"geheim"}' "$server""#,
                Some(password_of("ghcr.io", "geheim")),
            ),
            (r#"echo '{"Username":"<token>","Secret":"geheim"}'"#, Some(password_of("<token>", "geheim"))),
            (r#"echo '{"Username":"","Secret":""}'"#, None),
            (r#"echo "credentials not found in native keychain"; exit 1"#, None),
        ] {
            let (_directory, path) = program(script);
            assert_eq!(ask_retrying(&path).unwrap(), expected, "{script}");
        }
    }

    #[test]
    fn failures_say_how_and_show_no_output() {
        for (script, expected) in [
            ("echo geheim; exit 3", "exit status: 3"),
            ("echo geheim", "did not answer with Username and Secret"),
            (r#"echo '{"Username":"geheim"}'"#, "did not answer with Username and Secret"),
        ] {
            let (_directory, path) = program(script);
            let error = ask_retrying(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
        let error = ask("docker-credential-that-is-not-there", "x").unwrap_err().to_string();
        assert!(
            error.starts_with("the credential helper docker-credential-that-is-not-there cannot be started")
        );
    }
}
