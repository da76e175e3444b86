use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::kept::Kept;
use super::{name, seconds, words};
use crate::model::Size;
use crate::ops::event::{Event, Observer, Phase, Task};
use crate::report::column;

/// One line for each thing that happens, each with the image it is about; no control characters.
pub struct Plain<W> {
    quiet: bool,
    state: Mutex<State<W>>,
}

struct State<W> {
    writer: W,
    started: BTreeMap<Task, Instant>,
    /// The phase of each task that was told last.
    phases: BTreeMap<Task, Phase>,
    /// Output of tasks, where it is not shown as it comes.
    kept: BTreeMap<Task, Kept>,
    /// Destinations whose begin was told, and those whose end was.
    begun: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// Of repositories that something comes from: the bytes whose begin was told, and those whose end was.
    received: BTreeMap<String, (u64, u64)>,
    /// Whose output is the last thing that was told.
    speaker: Option<Task>,
    failure_above: Arc<AtomicBool>,
}

impl<W: Write + Send> Plain<W> {
    /// Tells everything.
    pub fn new(writer: W) -> Self {
        Self::with(writer, false)
    }

    /// Is true while the last thing told is the output of what failed.
    #[must_use]
    pub fn with_failure_above(self, flag: Arc<AtomicBool>) -> Self {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure_above = flag;
        self
    }

    /// Tells warnings, and the output of what failed.
    pub fn quiet(writer: W) -> Self {
        Self::with(writer, true)
    }

    fn with(writer: W, quiet: bool) -> Self {
        let state = State {
            writer,
            started: BTreeMap::new(),
            phases: BTreeMap::new(),
            kept: BTreeMap::new(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            received: BTreeMap::new(),
            speaker: None,
            failure_above: Arc::default(),
        };
        Self { quiet, state: Mutex::new(state) }
    }
}

impl<W: Write> State<W> {
    /// Writes a line at once, so that lines of other processes do not fall into it. A closed standard error is no
    /// reason to stop building.
    fn say(&mut self, text: &str) {
        let line = format!("{}\n", column::cut(text, usize::MAX));
        let _ = self.writer.write_all(line.as_bytes());
    }

    fn about(&mut self, task: &Task, text: &str) {
        self.started.entry(task.clone()).or_insert_with(Instant::now);
        self.say(&format!("{}: {text}", name(task)));
    }

    fn loud(&mut self, event: Event) {
        match &event {
            Event::Output { task, .. } => self.speaker = Some(task.clone()),
            Event::Failed { .. } => {}
            _ => self.speaker = None,
        }
        let above = matches!(event, Event::Failed { .. }) && self.speaker.is_some();
        self.failure_above.store(above, Ordering::SeqCst);
        match event {
            Event::Tasks(tasks) => {
                let images: BTreeSet<_> = tasks.iter().map(|task| &task.identity).collect();
                let platforms: BTreeSet<_> = tasks.iter().map(|task| task.platform.to_string()).collect();
                let platforms = platforms.into_iter().collect::<Vec<_>>().join(", ");
                let plural = if images.len() == 1 { "" } else { "s" };
                self.say(&format!("{} image{plural} to build for {platforms}", images.len()));
            }
            // Each layer that is packed says so.
            Event::Phase { task, phase } => {
                if self.phases.insert(task.clone(), phase.clone()).as_ref() != Some(&phase) {
                    self.about(&task, &words(&phase));
                }
            }
            Event::Output { task, text } => self.about(&task, &format!("| {text}")),
            Event::Layer { task, class, title, transfer, made } => {
                let how =
                    made.map_or_else(|| "reused".to_owned(), |time| format!("made in {}", seconds(time)));
                self.about(&task, &format!("{class} layer {title}, {transfer}, {how}"));
            }
            Event::Done { task, transfer } => {
                let time = self.started.get(&task).map(Instant::elapsed).unwrap_or_default();
                self.about(&task, &format!("done, {transfer}, {}", seconds(time)));
            }
            Event::Failed { task } => self.about(&task, "failed"),
            Event::Upload { repository, sent, total } => {
                if total > 0 && self.begun.insert(repository.clone()) {
                    self.say(&format!("{repository}: sending {}", Size(total)));
                }
                if total > 0 && sent >= total && self.ended.insert(repository.clone()) {
                    self.say(&format!("{repository}: sent {}", Size(total)));
                }
            }
            Event::Download { repository, received, total } => {
                let told = self.received.entry(repository.clone()).or_default();
                let (begun, ended) = (total > told.0, received >= total && total > told.1);
                *told = (told.0.max(total), if ended { total } else { told.1 });
                if begun {
                    self.say(&format!("{repository}: receiving {}", Size(total)));
                }
                if ended {
                    self.say(&format!("{repository}: received {}", Size(total)));
                }
            }
            Event::Note(text) => self.say(&format!("note: {text}")),
            Event::Warning(text) => self.say(&format!("warning: {text}")),
        }
    }

    fn quiet(&mut self, event: Event) {
        match event {
            Event::Output { task, text } => self.kept.entry(task).or_default().push(text),
            Event::Done { task, .. } => drop(self.kept.remove(&task)),
            Event::Failed { task } => {
                for line in self.kept.remove(&task).unwrap_or_default().into_lines() {
                    self.about(&task, &format!("| {line}"));
                }
            }
            Event::Warning(text) => self.say(&format!("warning: {text}")),
            _ => {}
        }
    }
}

impl<W: Write + Send> Observer for Plain<W> {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.quiet { state.quiet(event) } else { state.loud(event) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Class, Platform};

    fn told(observer: Plain<Vec<u8>>) -> String {
        let task = Task { identity: "gateway@alpine".parse().unwrap(), platform: Platform::AMD64 };
        let other = Task { identity: "authz".parse().unwrap(), platform: Platform::ARM64 };
        let of = |task: &Task| task.clone();
        for event in [
            Event::Tasks(vec![of(&task), of(&other)]),
            Event::Phase { task: of(&task), phase: Phase::Hashing },
            Event::Phase { task: of(&task), phase: Phase::Building { builder: "go" } },
            Event::Output { task: of(&task), text: "go: downloading\tx \x1b[31mred\r".into() },
            Event::Output { task: of(&other), text: "error: it is broken".into() },
            Event::Failed { task: of(&other) },
            Event::Layer {
                task: of(&task),
                class: Class::Base,
                title: "static@1".into(),
                transfer: Size(812_345),
                made: None,
            },
            Event::Layer {
                task: of(&task),
                class: Class::App,
                title: "/usr/local/bin/gateway".into(),
                transfer: Size(9_100_000),
                made: Some(Duration::from_millis(1_234)),
            },
            Event::Done { task, transfer: Size(9_912_345) },
            Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 0, total: 100 },
            Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 50, total: 100 },
            Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 100, total: 100 },
            Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 100, total: 100 },
            Event::Upload { repository: "ghcr.io/acme/there".into(), sent: 0, total: 0 },
            Event::Download { repository: "ghcr.io/acme/base".into(), received: 0, total: 100 },
            Event::Download { repository: "ghcr.io/acme/base".into(), received: 50, total: 100 },
            Event::Download { repository: "ghcr.io/acme/base".into(), received: 100, total: 100 },
            Event::Download { repository: "ghcr.io/acme/base".into(), received: 100, total: 100 },
            Event::Download { repository: "ghcr.io/acme/base".into(), received: 100, total: 120 },
            Event::Download { repository: "ghcr.io/acme/base".into(), received: 120, total: 120 },
            Event::Note("the base was resolved afresh".into()),
            Event::Warning("musl's allocator is in use".into()),
        ] {
            observer.event(event);
        }
        String::from_utf8(observer.state.into_inner().unwrap().writer).unwrap()
    }

    #[test]
    fn every_line_says_what_it_is_about() {
        insta::assert_snapshot!(told(Plain::new(Vec::new())), @r#"
        2 images to build for linux/amd64, linux/arm64
        gateway@alpine linux/amd64: hashing the sources
        gateway@alpine linux/amd64: building with go
        gateway@alpine linux/amd64: | go: downloading�x �[31mred�
        authz linux/arm64: | error: it is broken
        authz linux/arm64: failed
        gateway@alpine linux/amd64: base layer static@1, 812.3 kB, reused
        gateway@alpine linux/amd64: app layer /usr/local/bin/gateway, 9.1 MB, made in 1.2 s
        gateway@alpine linux/amd64: done, 9.9 MB, 0.0 s
        ghcr.io/acme/web: sending 100 B
        ghcr.io/acme/web: sent 100 B
        ghcr.io/acme/base: receiving 100 B
        ghcr.io/acme/base: received 100 B
        ghcr.io/acme/base: receiving 120 B
        ghcr.io/acme/base: received 120 B
        note: the base was resolved afresh
        warning: musl's allocator is in use
        "#);
    }

    #[test]
    fn quiet_tells_what_went_wrong() {
        insta::assert_snapshot!(told(Plain::quiet(Vec::new())), @r#"
        authz linux/arm64: | error: it is broken
        warning: musl's allocator is in use
        "#);
    }
}
