//! Credential helpers: programs called `docker-credential-NAME` (docker-credential-helpers, "Development").

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Seek as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credentials::{Credential, CredentialsError, password_of};
use crate::system::Cancel;
use crate::system::process::{self, Invocation, Stream, find_program};

/// A helper may ask a person, but not for ever.
const PATIENCE: Duration = Duration::from_mins(1);
/// An answer is two short texts (bytes).
const LONGEST: usize = 256 * 1024;

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

/// Asks `program`, found on the environment's PATH, for the credentials of `server`; `None` where it has none. Its output
/// is shown to nobody, and all that it starts has ended when this returns.
pub(super) fn ask(
    program: &str,
    server: &str,
    environment: &BTreeMap<OsString, OsString>,
    cancel: &Cancel,
) -> Result<Option<Credential>, CredentialsError> {
    ask_within(PATIENCE, program, server, environment, cancel)
}

fn ask_within(
    patience: Duration,
    program: &str,
    server: &str,
    environment: &BTreeMap<OsString, OsString>,
    cancel: &Cancel,
) -> Result<Option<Credential>, CredentialsError> {
    let failed = |reason: String| CredentialsError::Helper { program: program.to_owned(), reason };
    let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let file = find_program(program, path).ok_or_else(|| failed("is in no folder of PATH".to_owned()))?;
    let question = || -> std::io::Result<std::fs::File> {
        let mut question = tempfile::tempfile()?;
        question.write_all(server.as_bytes())?;
        question.rewind()?;
        Ok(question)
    };
    let question = question().map_err(|error| failed(format!("cannot be asked: {error}")))?;
    let invocation = Invocation {
        program: file,
        args: vec!["get".into()],
        env: environment.clone(),
        directory: "/".into(),
        stdin: Some(question),
    };
    let (mut output, mut long) = (String::new(), false);
    let stop = Cancel::new();
    let (_done, waiting) = mpsc::channel::<()>();
    let end = Instant::now() + patience;
    let watch = {
        let (stop, cancel) = (stop.clone(), cancel.clone());
        move || {
            while waiting.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if cancel.is_urgent() {
                    stop.cancel_at_once();
                } else if cancel.is_cancelled() || Instant::now() > end {
                    stop.cancel();
                }
            }
        }
    };
    std::thread::spawn(watch);
    let status = process::run(invocation, &stop, &mut |stream, line| {
        if stream == Stream::Stdout && !long {
            output.push_str(line);
            output.push('\n');
            long = output.len() > LONGEST;
            if long {
                stop.cancel();
            }
        }
    });
    let status = match status {
        Ok(status) => status,
        Err(process::ProcessError::Cancelled(_)) if long => {
            return Err(failed("does not stop talking".to_owned()));
        }
        Err(process::ProcessError::Cancelled(_)) if cancel.is_cancelled() => {
            return Err(failed("was stopped".to_owned()));
        }
        Err(process::ProcessError::Cancelled(_)) => {
            return Err(failed(format!("gave no answer within {} s", patience.as_secs())));
        }
        Err(process::ProcessError::Start { source, .. } | process::ProcessError::Wait { source, .. }) => {
            return Err(failed(format!("cannot be started: {source}")));
        }
    };
    if !status.success() {
        return if output.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(format!("failed with {status}")))
        };
    }
    let answer: Answer = serde_json::from_str(&output)
        .map_err(|_| failed("did not answer with Username and Secret".to_owned()))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(password_of(&answer.username, &answer.secret)))
}

/// How often it is looked whether the answer is still wanted.
const TICK: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NAME: &str = "docker-credential-test";

    fn program(text: &str) -> (tempfile::TempDir, BTreeMap<OsString, OsString>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let beside = directory.path().join("new");
        std::fs::write(&beside, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(beside, &path).unwrap();
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        (directory, BTreeMap::from([("PATH".into(), path.into())]))
    }

    /// A fork of another test thread may hold the script open for writing for a moment (ETXTBSY).
    fn ask_retrying(
        environment: &BTreeMap<OsString, OsString>,
        patience: Duration,
        cancel: &Cancel,
    ) -> Result<Option<Credential>, CredentialsError> {
        loop {
            match ask_within(patience, NAME, "ghcr.io", environment, cancel) {
                Err(error) if error.to_string().contains("os error 26") => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    fn asked(script: &str) -> Result<Option<Credential>, CredentialsError> {
        let (_directory, environment) = program(script);
        ask_retrying(&environment, PATIENCE, &Cancel::new())
    }

    #[test]
    fn answers_are_read() {
        for (script, expected) in [
            (
                r#"read -r server; printf '{"ServerURL":"x","Username":"%s %s","Secret":"geheim"}' "$server" "$*""#,
                Some(password_of("ghcr.io get", "geheim")),
            ),
            (r#"echo '{"Username":"<token>","Secret":"geheim"}'"#, Some(password_of("<token>", "geheim"))),
            (
                r#"echo '{"Username":"oauth2accesstoken","Secret":"geheim"}'"#,
                Some(password_of("oauth2accesstoken", "geheim")),
            ),
            (r#"echo '{"Username":"","Secret":""}'"#, None),
            (r#"echo "credentials not found in native keychain"; exit 1"#, None),
        ] {
            assert_eq!(asked(script).unwrap(), expected, "{script}");
        }
    }

    #[test]
    fn failures_say_how_and_show_no_output() {
        for (script, expected) in [
            ("echo geheim; echo geheim >&2; exit 3", "exit status: 3"),
            ("echo geheim", "did not answer with Username and Secret"),
            (r#"echo '{"Username":"geheim"}'"#, "did not answer with Username and Secret"),
            ("while :; do echo geheim; done", "does not stop talking"),
        ] {
            let error = asked(script).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
        let nowhere = BTreeMap::new();
        let error = ask("docker-credential-that-is-not-there", "x", &nowhere, &Cancel::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the credential helper docker-credential-that-is-not-there is in no folder of PATH"
        );
        assert!(error.hint().unwrap().starts_with("install docker-credential-that-is-not-there"));
    }

    #[test]
    fn one_that_never_ends_is_ended_with_all_that_it_started() {
        let script = r#"sleep 600 & echo $! > "$0.pid"; mv "$0.pid" "$0.started"; wait"#;
        for cancelled in [false, true] {
            let (directory, environment) = program(script);
            let started = directory.path().join(format!("{NAME}.started"));
            let cancel = Cancel::new();
            let (flag, file) = (cancel.clone(), started.clone());
            let waiter = std::thread::spawn(move || {
                while cancelled && !file.exists() {
                    std::thread::yield_now();
                }
                if cancelled {
                    flag.cancel();
                }
            });
            let patience = if cancelled { PATIENCE } else { Duration::from_millis(500) };
            let error = ask_retrying(&environment, patience, &cancel).unwrap_err().to_string();
            waiter.join().unwrap();
            let expected = if cancelled { "was stopped" } else { "gave no answer within 0 s" };
            assert!(error.contains(expected), "{error}");
            let Ok(child) = std::fs::read_to_string(&started) else { continue };
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
            assert!(state.is_empty() || state.contains(") Z "), "{state}");
        }
    }
}
