//! `imgpack auth`: words about credentials. Their values are in none of them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::Format;
use super::failure::Exit;
use super::run::{Settings, print};
use crate::ops::auth::{self, Subject};
use crate::ops::error::Error;
use crate::registry::{Asked, Form, Looked, Outcome, SignIn};

/// `auth`
#[derive(Debug, Args)]
pub(super) struct AuthArguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: AuthCommand,
}

/// The verbs of `auth`.
#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Show where credentials are looked for, which are used, and where they would be sent
    Explain(ExplainArguments),
    /// Check user and password with a registry, and keep them
    Login(LoginArguments),
    /// Forget what a login kept
    Logout(LogoutArguments),
}

/// `auth explain`
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// An image, a repository or a registry
    #[arg(value_name = "REF")]
    reference: String,

    /// Ask the registry, too, and send it what it wants to see; without, nothing is sent anywhere
    #[arg(long)]
    ask: bool,

    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
}

/// `auth login`
#[derive(Debug, Args)]
pub(super) struct LoginArguments {
    /// A registry, or a namespace of one, like ghcr.io/acme
    #[arg(value_name = "REGISTRY")]
    registry: String,

    /// The user
    #[arg(long, short, value_name = "USER")]
    username: String,

    /// Read the password from stdin; it is read from nowhere else
    #[arg(long, required = true)]
    password_stdin: bool,
}

/// `auth logout`
#[derive(Debug, Args)]
pub(super) struct LogoutArguments {
    /// A registry, or a namespace of one, as it was logged in to
    #[arg(value_name = "REGISTRY")]
    registry: String,
}

/// Runs one of them.
pub(super) fn run(settings: &Settings, command: &AuthCommand) -> Result<Exit, Vec<Error>> {
    match command {
        AuthCommand::Explain(arguments) => explain(settings, arguments),
        AuthCommand::Login(arguments) => login(settings, arguments),
        AuthCommand::Logout(arguments) => logout(settings, arguments),
    }
    .map(|()| Exit::Done)
    .map_err(|error| vec![error])
}

fn explain(settings: &Settings, arguments: &ExplainArguments) -> Result<(), Error> {
    let subject = Subject::reference(&arguments.reference)?;
    // Rules of a workspace with mistakes hold for nobody here: who logs in mends another thing.
    let _ = settings.use_workspace_around();
    let config = settings.remote_config();
    let address = subject.address(&config.plain_http);
    let looked = auth::explain(&config.credentials, &subject, &settings.cancel);
    let asked = arguments.ask.then(|| auth::ask(config, &subject));
    let answer = asked.as_ref().and_then(|asked| asked.as_ref().ok());
    match arguments.format {
        Format::Text => print(&text(&subject, &address, &looked, answer))?,
        Format::Json => print(&format!("{:#}\n", json(&subject, &address, &looked, answer)))?,
    }
    asked.map_or(Ok(()), |asked| asked.map(drop))
}

fn text(subject: &Subject, address: &str, looked: &Looked, answer: Option<&SignIn>) -> String {
    // Writing to a string cannot fail.
    let mut text = format!("credentials for {subject}, at {address}\n\n");
    for (place, outcome) in &looked.places {
        let words = match outcome {
            Outcome::Missing => "is not there".to_owned(),
            Outcome::NoEntry => format!("has nothing for {subject}"),
            Outcome::Used { entry: Some(entry), .. } => format!("{entry} is used"),
            Outcome::Used { entry: None, .. } => "is used".to_owned(),
            Outcome::Failed(error) => {
                let hint = error.hint().map(|hint| format!("\n  hint: {hint}"));
                error.told() + &hint.unwrap_or_default()
            }
            Outcome::NotNeeded => "is not needed".to_owned(),
        };
        let _ = writeln!(text, "{place}\n  {words}");
    }
    let registry = subject.registry();
    let _ = match form(looked) {
        None => writeln!(text, "\nnothing is sent: requests are anonymous"),
        Some(Form::Password { user }) => writeln!(
            text,
            "\nuser `{user}` and a password are sent, when asked for, to {registry}\n\
             and to the token server that it names, if that is one of its own"
        ),
        Some(Form::IdentityToken) => writeln!(
            text,
            "\na refresh token is sent, when asked for, to the token server\n\
             that {registry} names, if that is one of its own"
        ),
        Some(Form::BearerToken) => writeln!(text, "\na token is sent, when asked for, to {registry} alone"),
    };
    if let Some(answer) = answer {
        let _ = match &answer.asked {
            Asked::Nothing => writeln!(text, "\n{registry} asks nobody who they are"),
            Asked::Password => writeln!(text, "\n{registry} asked for user and password, and let us in"),
            Asked::Token { realm } => {
                writeln!(text, "\n{registry} asked for a token of\n{realm}, and let us in")
            }
        };
    }
    text
}

fn form(looked: &Looked) -> Option<&Form> {
    looked.places.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Used { form, .. } => Some(form),
        _ => None,
    })
}

fn json(subject: &Subject, address: &str, looked: &Looked, answer: Option<&SignIn>) -> Value {
    let places: Vec<Value> = looked
        .places
        .iter()
        .map(|(place, outcome)| {
            let place = place.to_string();
            match outcome {
                Outcome::Missing => json!({ "place": place, "outcome": "missing" }),
                Outcome::NoEntry => json!({ "place": place, "outcome": "noEntry" }),
                Outcome::Used { entry, .. } => json!({ "place": place, "outcome": "used", "entry": entry }),
                Outcome::Failed(error) => {
                    json!({ "place": place, "outcome": "failed", "reason": error.told() })
                }
                Outcome::NotNeeded => json!({ "place": place, "outcome": "notNeeded" }),
            }
        })
        .collect();
    let sent = form(looked).map(|form| match form {
        Form::Password { user } => json!({ "form": "password", "user": user }),
        Form::IdentityToken => json!({ "form": "identityToken" }),
        Form::BearerToken => json!({ "form": "bearerToken" }),
    });
    let asked = answer.map(|answer| match &answer.asked {
        Asked::Nothing => json!({ "wants": "nothing" }),
        Asked::Password => json!({ "wants": "password" }),
        Asked::Token { realm } => json!({ "wants": "token", "realm": realm }),
    });
    json!({
        "subject": subject.to_string(),
        "registry": subject.registry(),
        "address": address,
        "places": places,
        "sent": sent,
        "asked": asked,
    })
}

/// A password is one line (bytes).
const LONGEST: u64 = 64 * 1024;

fn login(settings: &Settings, arguments: &LoginArguments) -> Result<(), Error> {
    let subject = Subject::namespace(&arguments.registry)?;
    if io::stdin().is_terminal() {
        return Err(Error::usage_with_hint(
            "stdin is a terminal, on which a password would be seen",
            format!(
                "pipe it: `printenv TOKEN | imgpack auth login {subject} --username {} --password-stdin`",
                arguments.username
            ),
        ));
    }
    let mut password = String::new();
    io::stdin().take(LONGEST).read_to_string(&mut password).map_err(|source| crate::system::IoError {
        action: "read a password from",
        path: "stdin".into(),
        source,
    })?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    auth::check(&arguments.username, password)?;
    // Rules of a workspace with mistakes hold for nobody here: who logs in mends another thing.
    let _ = settings.use_workspace_around();
    let config = settings.remote_config();
    let done = auth::login(config, &subject, &arguments.username, password)?;
    settings.remark(&match done.sign_in.asked {
        Asked::Nothing => format!(
            "{} let us in without asking for a password; it is kept unproven in {}",
            subject.registry(),
            done.file.display()
        ),
        _ => format!("logged in to {subject} as {}, kept in {}", arguments.username, done.file.display()),
    });
    Ok(())
}

fn logout(settings: &Settings, arguments: &LogoutArguments) -> Result<(), Error> {
    let subject = Subject::namespace(&arguments.registry)?;
    let places = settings.remote_config().credentials;
    let done = auth::logout(&places, &subject, &settings.cancel)?;
    settings.remark(&if done.forgotten {
        format!("logged out of {subject}, in {}", done.file.display())
    } else {
        format!("{} has no entry for {subject}", done.file.display())
    });
    if let Some(left) = done.left {
        settings.remark(&format!("{left} is used from now on"));
    }
    Ok(())
}
