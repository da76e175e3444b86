//! What is going on, on standard error: live lines on a terminal, plain lines elsewhere, or only what went wrong.

mod kept;
mod plain;
mod terminal;

pub use plain::Plain;
pub use terminal::Terminal;

use std::io;
use std::time::Duration;

use super::style::Style;
use crate::ops::event::{Observer, Phase, Task};

/// How progress is shown. The caller decides; nothing here asks the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Live lines with their cursor movements.
    Terminal(Style),
    /// One line for each thing that happens, without control characters.
    Plain,
    /// Warnings, and the output of what failed.
    Quiet,
}

impl Mode {
    /// Live lines on a terminal that can move its cursor, plain ones in CI and elsewhere.
    pub fn of(quiet: bool, terminal: bool, ci: bool, style: Style) -> Self {
        match (quiet, terminal && !ci) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Terminal(style),
            (false, false) => Self::Plain,
        }
    }

    /// The observer of this mode. Dropping it takes every live line off the screen.
    pub fn observer(self) -> Box<dyn Observer> {
        match self {
            Self::Terminal(style) => Box::new(Terminal::on_stderr(style)),
            Self::Plain => Box::new(Plain::new(io::stderr())),
            Self::Quiet => Box::new(Plain::quiet(io::stderr())),
        }
    }
}

/// What is done in a phase, for people.
fn words(phase: &Phase) -> String {
    match phase {
        Phase::Base => "reading the base".into(),
        Phase::Hashing => "hashing the sources".into(),
        Phase::Waiting => "waiting for a builder".into(),
        Phase::Building { builder } => format!("building with {builder}"),
        Phase::Packing => "packing layers".into(),
        Phase::Pushing => "pushing".into(),
    }
}

/// `gateway@alpine linux/arm64`.
fn name(task: &Task) -> String {
    format!("{} {}", task.identity, task.platform)
}

/// `0.3 s`, `42 s`, `2 m 05 s`.
fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..10 => format!("{}.{} s", whole, time.subsec_millis() / 100),
        10..60 => format!("{whole} s"),
        _ => format!("{} m {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_from_where_we_are() {
        let style = Style::COLOUR;
        for (quiet, terminal, ci, mode) in [
            (false, true, false, Mode::Terminal(style)),
            (false, true, true, Mode::Plain),
            (false, false, false, Mode::Plain),
            (true, true, false, Mode::Quiet),
            (true, false, true, Mode::Quiet),
        ] {
            assert_eq!(Mode::of(quiet, terminal, ci, style), mode);
        }
    }

    #[test]
    fn times_are_short() {
        for (millis, text) in [(0, "0.0 s"), (9_999, "9.9 s"), (10_000, "10 s"), (125_400, "2 m 05 s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
