//! The component `probe`: asks services whether they are well, for health checks of images without a shell.

#![forbid(unsafe_code)]

mod answer;
#[path = "../dial.rs"]
pub mod dial;
#[path = "../expand.rs"]
mod expand;
mod failure;
mod flags;
mod grpc;
mod hpack;
mod http;
mod options;
mod target;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use failure::{Failure, Stream};
use flags::Flags;
use options::{Options, Wanted};
use target::Target;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let name = words.next().unwrap_or_default();
    let arguments: Vec<String> = words.collect();
    ExitCode::from(if name.ends_with("grpc_health_probe") {
        health_probe(&arguments)
    } else {
        probe(&arguments)
    })
}

/// Exit codes: 0 all are well, 1 one is not, 2 it cannot be asked like this.
fn probe(arguments: &[String]) -> u8 {
    let options = match options::parse(arguments, &expand::environment) {
        Ok(Wanted::Check(options)) => options,
        Ok(Wanted::Help) => {
            out(options::USAGE);
            return 0;
        }
        Err(error) => {
            err(&format!("imgpack-probe: {error}\n"));
            return 2;
        }
    };
    let end = Instant::now() + options.timeout;
    for (written, target) in &options.targets {
        let (target, question) = (target.clone(), options.clone());
        let limits = Limits { connect: options.timeout, answer: options.timeout };
        let result = within(limits, end, |_| end, move |connected| check(&target, &question, connected));
        match result {
            Ok(said) => out(&format!("{written}: {said}\n")),
            Err(failure) => {
                out(&format!("{written}: {}\n", failure.message()));
                return 1;
            }
        }
    }
    0
}

fn check(target: &Target, options: &Options, connected: &dyn Fn()) -> Result<String, Failure> {
    let mut stream = connect(target, options.timeout)?;
    connected();
    match target {
        Target::Tcp(_) => Ok("open".to_owned()),
        Target::Http(address, path) => {
            let question = http::Question {
                host: address.name(),
                path: path.clone(),
                headers: options.headers.clone(),
                status: options.status.clone(),
                body: options.body.clone(),
            };
            http::check(&mut *stream, &question)
        }
        Target::Grpc(address, service) => {
            let question = grpc::Question {
                authority: address.name(),
                service: service.clone(),
                user_agent: "imgpack-probe/1".to_owned(),
                headers: options.headers.clone(),
                timeout: options.timeout,
            };
            grpc::check(&mut *stream, &question)
        }
    }
}

/// The exit codes of that program: 1 flags, 2 no connection, 3 the call went wrong, 4 not serving.
fn health_probe(arguments: &[String]) -> u8 {
    let flags = match flags::parse(arguments) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            err(flags::USAGE);
            return 0;
        }
        Err(error) => {
            err(&format!("error: {error}\n"));
            return 1;
        }
    };
    if flags.verbose {
        err(&format!("> addr={} service={:?} user-agent={}\n", flags.addr, flags.service, flags.user_agent));
    }
    let limits = Limits { connect: flags.connect_timeout, answer: flags.rpc_timeout };
    let (end, asked) = (Instant::now() + limits.connect, flags.clone());
    let result = within(limits, end, |now| now + limits.answer, move |connected| call(&asked, connected));
    let Flags { addr, .. } = &flags;
    match result {
        Ok(said) => {
            out(&format!("status: {said}\n"));
            0
        }
        Err(Failure::Connect(message)) => {
            err(&format!("error: failed to connect service at {addr:?}: {message}\n"));
            2
        }
        Err(Failure::Answer(message)) => {
            err(&format!("error: health rpc failed: {message}\n"));
            3
        }
        Err(Failure::Unhealthy(status)) => {
            err(&format!("service unhealthy (responded with {status:?})\n"));
            4
        }
    }
}

fn call(flags: &Flags, connected: &dyn Fn()) -> Result<String, Failure> {
    let mut stream = connect(&Target::Grpc(flags.address.clone(), String::new()), flags.connect_timeout)?;
    connected();
    let question = grpc::Question {
        authority: flags.address.name(),
        service: flags.service.clone(),
        user_agent: flags.user_agent.clone(),
        headers: flags.headers.clone(),
        timeout: flags.rpc_timeout,
    };
    grpc::check(&mut *stream, &question)
}

fn connect(target: &Target, most: Duration) -> Result<Box<dyn Stream>, Failure> {
    let address = target.address();
    match address.connect(most) {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Failure::Connect(format!("no connection to {}: {error}", address.name()))),
    }
}

/// For how long there may be no connection, and no answer.
#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    answer: Duration,
}

enum Event {
    Connected,
    Ended(Result<String, Failure>),
}

/// Runs a check until `end`, or from when there is a connection until what `answer_end` makes of that time. Looking up a name
/// knows no time-out, so the check is left behind in a thread of its own.
fn within(
    limits: Limits,
    end: Instant,
    answer_end: impl Fn(Instant) -> Instant,
    check: impl FnOnce(&dyn Fn()) -> Result<String, Failure> + Send + 'static,
) -> Result<String, Failure> {
    let (send, receive): (Sender<Event>, _) = mpsc::channel();
    let run = move || {
        let connected = || drop(send.send(Event::Connected));
        let ended = check(&connected);
        drop(send.send(Event::Ended(ended)));
    };
    if let Err(error) = thread::Builder::new().spawn(run) {
        return Err(Failure::Connect(format!("no thread can be started: {error}")));
    }
    let (mut end, mut late) =
        (end, Failure::Connect(format!("no connection within {}", dial::in_words(limits.connect))));
    loop {
        match receive.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Event::Connected) => {
                end = answer_end(Instant::now());
                late = Failure::Answer(format!("no answer within {}", dial::in_words(limits.answer)));
            }
            Ok(Event::Ended(result)) => return result,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(late),
        }
    }
}

fn out(text: &str) {
    // Nobody listens: nothing can be said of it.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn err(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
