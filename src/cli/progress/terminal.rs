use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::kept::Kept;
use super::{seconds, words};
use crate::cli::style::Style;
use crate::model::Size;
use crate::ops::event::{Event, Observer, Phase, Task};
use crate::report::column::{cut, left, right, shorten};

/// Lines of output that are shown below the line of a task.
const TAIL: usize = 3;
/// Columns of an identity at most.
const NAME: usize = 28;
const TICK: Duration = Duration::from_millis(120);

/// Live lines: one for each task that is being worked on, the last lines of its builder's output below it, and one
/// line that stays for each task that is done. Gone from the screen when it is dropped, but for what stays.
pub struct Terminal {
    lines: MultiProgress,
    style: Style,
    /// Columns and rows of the terminal.
    size: fn() -> (usize, usize),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    name: usize,
    done: usize,
    failed: usize,
    tasks: BTreeMap<Task, Line>,
    finished: BTreeSet<Task>,
    transfers: BTreeMap<(Way, String), Transfer>,
    sent: BTreeSet<String>,
    /// Bytes whose arrival was told, by repository.
    received: BTreeMap<String, u64>,
    foot: Option<ProgressBar>,
}

struct Line {
    started: Instant,
    doing: String,
    /// `None` where it waits, or where the terminal has no row for it.
    bar: Option<ProgressBar>,
    tail: Vec<ProgressBar>,
    kept: Kept,
    made: usize,
    reused: usize,
}

struct Transfer {
    started: Instant,
    bar: ProgressBar,
}

/// Where bytes go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Up,
    Down,
}

impl Terminal {
    /// On standard error, which has to be a terminal.
    pub fn on_stderr(style: Style) -> Self {
        Self::new(ProgressDrawTarget::stderr(), style, || {
            let size = rustix::termios::tcgetwinsize(std::io::stderr());
            size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
        })
    }

    fn new(target: ProgressDrawTarget, style: Style, size: fn() -> (usize, usize)) -> Self {
        Self { lines: MultiProgress::with_draw_target(target), style, size, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays.
    fn say(&self, text: &str) {
        let _ = self.lines.println(text);
    }

    /// A live line above the foot.
    fn add(&self, state: &State, template: &str) -> ProgressBar {
        let bar = ProgressBar::no_length().with_style(style(template));
        match &state.foot {
            Some(foot) => self.lines.insert_before(foot, bar),
            None => self.lines.add(bar),
        }
    }

    fn task<'a>(
        &self,
        state: &'a mut State,
        task: &Task,
        doing: Option<(String, bool)>,
    ) -> Option<&'a mut Line> {
        if state.finished.contains(task) {
            return None;
        }
        let (_, rows) = (self.size)();
        let shown = state.tasks.values().filter(|line| line.bar.is_some()).count();
        let spinner = self.style.busy("{spinner}");
        let new_bar = |state: &State| {
            let bar = self.add(state, &format!("{spinner} {{wide_msg}}{{elapsed:>5}}"));
            bar.enable_steady_tick(TICK);
            bar
        };
        if !state.tasks.contains_key(task) {
            let line = Line {
                started: Instant::now(),
                doing: String::new(),
                bar: None,
                tail: Vec::new(),
                kept: Kept::default(),
                made: 0,
                reused: 0,
            };
            state.tasks.insert(task.clone(), line);
        }
        let hide = matches!(doing, Some((_, false)));
        let has_bar = state.tasks.get(task).is_some_and(|line| line.bar.is_some());
        let bar = (!hide && !has_bar && shown + 3 < rows.max(5)).then(|| new_bar(state));
        let is_new = bar.is_some();
        let name = self.name_room(state);
        let line = state.tasks.get_mut(task)?;
        if let Some(bar) = bar {
            bar.set_elapsed(line.started.elapsed());
            line.bar = Some(bar);
        }
        if let Some((doing, _)) = doing {
            line.doing = doing;
            self.clear_tail(line);
        }
        if hide && let Some(bar) = line.bar.take() {
            self.take_off(&bar);
        }
        if let Some(bar) = &line.bar {
            bar.set_message(format!("{}{}", self.columns(task, name), line.doing));
        }
        if is_new {
            self.fit(state, None);
        }
        state.tasks.get_mut(task)
    }

    /// Columns for identities.
    fn name_room(&self, state: &State) -> usize {
        let (columns, _) = (self.size)();
        state.name.min(columns / 3).max(8)
    }

    /// The first columns of a task's line: identity and platform.
    fn columns(&self, task: &Task, name: usize) -> String {
        let identity = left(&task.identity.to_string(), name);
        format!("{}  {}  ", self.style.bold(&identity), left(&task.platform.to_string(), 11))
    }

    fn output(&self, state: &mut State, task: &Task, text: &str) {
        let text = cut(&text.replace('\t', "  "), usize::MAX);
        let Some(line) = self.task(state, task, None) else { return };
        line.kept.push(text);
        let room = self.fit(state, Some(task));
        let (columns, _) = (self.size)();
        let Some(line) = state.tasks.get_mut(task) else { return };
        let Some(bar) = &line.bar else { return };
        let wanted = line.kept.tail(room).count();
        while line.tail.len() < wanted {
            let last = line.tail.last().unwrap_or(bar);
            let new = ProgressBar::no_length().with_style(style("{msg}"));
            line.tail.push(self.lines.insert_after(last, new));
        }
        for (bar, text) in line.tail.iter().zip(line.kept.tail(room)) {
            bar.set_message(self.style.dim(&format!("    {}", cut(text, columns.saturating_sub(5)))));
        }
    }

    /// Rows for the output of each task that has some, `and` included; takes off what is above that.
    fn fit(&self, state: &mut State, and: Option<&Task>) -> usize {
        let (_, rows) = (self.size)();
        let shown = state.tasks.values().filter(|line| line.bar.is_some()).count() + state.transfers.len();
        let talks = |(known, line): &(&Task, &Line)| !line.tail.is_empty() || Some(*known) == and;
        let talking = state.tasks.iter().filter(talks).count();
        let room = (rows.saturating_sub(shown + 2) / talking.max(1)).min(TAIL);
        for line in state.tasks.values_mut() {
            for bar in line.tail.drain(room.min(line.tail.len())..) {
                self.take_off(&bar);
            }
        }
        room
    }

    fn clear_tail(&self, line: &mut Line) {
        for bar in line.tail.drain(..) {
            self.take_off(&bar);
        }
    }

    /// Takes a live line off the screen.
    fn take_off(&self, bar: &ProgressBar) {
        bar.disable_steady_tick();
        bar.finish_and_clear();
        self.lines.remove(bar);
    }

    /// Ends a task's live line and gives what was known of it.
    fn end(&self, state: &mut State, task: &Task) -> Option<Line> {
        if !state.finished.insert(task.clone()) {
            return None;
        }
        let mut line = state.tasks.remove(task);
        if let Some(line) = &mut line {
            self.clear_tail(line);
            if let Some(bar) = line.bar.take() {
                self.take_off(&bar);
            }
        }
        line
    }

    fn done(&self, state: &mut State, task: &Task, transfer: Size) {
        if state.finished.contains(task) {
            return;
        }
        let line = self.end(state, task);
        state.done += 1;
        let (made, reused, time) =
            line.map_or((0, 0, Duration::ZERO), |line| (line.made, line.reused, line.started.elapsed()));
        let layers = |count| if count == 1 { "1 layer".to_owned() } else { format!("{count} layers") };
        let layers = match (made, reused) {
            (0, 0) => String::new(),
            (0, reused) => format!("{}, none new", layers(reused)),
            (made, reused) => format!("{}, {made} new", layers(made + reused)),
        };
        let (columns, _) = (self.size)();
        let name = self.name_room(state);
        let room = columns.min(100).saturating_sub(2 + name + 2 + 11 + 2 + 10 + 10);
        self.say(&format!(
            "{} {}{}{}{}",
            self.style.good("✓"),
            self.columns(task, name),
            left(&layers, room),
            right(&transfer.to_string(), 10),
            self.style.dim(&right(&seconds(time), 10))
        ));
    }

    fn fail(&self, state: &mut State, task: &Task) {
        if state.finished.contains(task) {
            return;
        }
        let line = self.end(state, task);
        state.failed += 1;
        self.say(&format!(
            "{} {}{}",
            self.style.bad("✗"),
            self.columns(task, self.name_room(state)),
            self.style.bad("failed")
        ));
        for text in line.map(|line| line.kept.into_lines()).unwrap_or_default() {
            self.say(&format!("    {text}"));
        }
    }

    fn upload(&self, state: &mut State, repository: String, sent: u64, total: u64) {
        if !state.sent.contains(&repository) && self.transfer(state, Way::Up, &repository, sent, total) {
            state.sent.insert(repository);
        }
    }

    fn download(&self, state: &mut State, repository: String, received: u64, total: u64) {
        if state.received.get(&repository).is_none_or(|told| *told < total)
            && self.transfer(state, Way::Down, &repository, received, total)
        {
            state.received.insert(repository, total);
        }
    }

    /// Shows how far it is; whether it ended.
    fn transfer(&self, state: &mut State, way: Way, repository: &str, done: u64, total: u64) -> bool {
        let (columns, _) = (self.size)();
        let label = shorten(repository, columns.saturating_sub(48).max(16));
        let key = (way, repository.to_owned());
        if total == 0 || done >= total {
            let time = state.transfers.remove(&key).map(|transfer| {
                self.take_off(&transfer.bar);
                transfer.started.elapsed()
            });
            let what = match way {
                Way::Up if total == 0 => "nothing to send".to_owned(),
                Way::Up => format!("sent {}", Size(total)),
                Way::Down => format!("received {}", Size(total)),
            };
            let time = time.map(seconds).unwrap_or_default();
            self.say(
                format!("{} {label}  {what}  {}", self.style.good("✓"), self.style.dim(&time)).trim_end(),
            );
            return true;
        }
        if !state.transfers.contains_key(&key) {
            let spinner = self.style.busy("{spinner}");
            let bar =
                self.add(state, &format!("{spinner} {{prefix}}  [{{bar:16}}] {{wide_msg}}{{elapsed:>5}}"));
            bar.set_prefix(label);
            bar.enable_steady_tick(TICK);
            state.transfers.insert(key.clone(), Transfer { started: Instant::now(), bar });
        }
        if let Some(transfer) = state.transfers.get(&key) {
            transfer.bar.set_length(total);
            transfer.bar.set_position(done);
            transfer.bar.set_message(format!("{} of {}", Size(done), Size(total)));
        }
        false
    }

    fn foot(&self, state: &mut State) {
        if state.total < 2 {
            return;
        }
        if state.done + state.failed >= state.total {
            if let Some(foot) = state.foot.take() {
                self.take_off(&foot);
            }
            return;
        }
        let busy = state.tasks.values().filter(|line| line.bar.is_some()).count();
        let waiting = state.total.saturating_sub(state.done + state.failed + busy);
        let mut text = format!("  {} of {} images done", state.done, state.total);
        for (count, word) in [(state.failed, "failed"), (waiting, "waiting")] {
            if count > 0 {
                text = format!("{text}, {count} {word}");
            }
        }
        let foot = state.foot.get_or_insert_with(|| {
            let foot = self.lines.add(ProgressBar::no_length().with_style(style("{wide_msg}{elapsed:>5}")));
            foot.enable_steady_tick(Duration::from_secs(1));
            foot
        });
        foot.set_message(self.style.dim(&text));
    }
}

impl Observer for Terminal {
    fn event(&self, event: Event) {
        let state = &mut *self.lock();
        match event {
            Event::Tasks(tasks) => {
                let longest = tasks.iter().map(|task| task.identity.to_string().len()).max();
                state.total = tasks.len();
                state.name = longest.unwrap_or(0).min(NAME);
            }
            Event::Phase { task, phase } => {
                self.task(state, &task, Some((words(&phase), phase != Phase::Waiting)));
            }
            Event::Output { task, text } => self.output(state, &task, &text),
            Event::Layer { task, class, title, transfer, made } => {
                let how = if made.is_some() { transfer.to_string() } else { "reused".to_owned() };
                let (columns, _) = (self.size)();
                let used =
                    2 + self.name_room(state) + 2 + 11 + 2 + class.as_str().len() + 1 + 2 + how.len() + 6;
                let doing =
                    format!("{class} {}, {how}", shorten(&title, columns.saturating_sub(used).max(8)));
                if let Some(line) = self.task(state, &task, Some((doing, true))) {
                    line.made += usize::from(made.is_some());
                    line.reused += usize::from(made.is_none());
                }
            }
            Event::Done { task, transfer } => self.done(state, &task, transfer),
            Event::Failed { task } => self.fail(state, &task),
            Event::Upload { repository, sent, total } => self.upload(state, repository, sent, total),
            Event::Download { repository, received, total } => {
                self.download(state, repository, received, total);
            }
            Event::Note(text) => {
                self.say(&format!("{} {}", self.style.busy("note:"), cut(&text, usize::MAX)));
            }
            Event::Warning(text) => {
                self.say(&format!("{} {}", self.style.warning("warning:"), cut(&text, usize::MAX)));
            }
        }
        self.foot(state);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let state = &mut *self.lock();
        let tasks = state.tasks.values().flat_map(|line| line.tail.iter().chain(&line.bar));
        let transfers = state.transfers.values().map(|transfer| &transfer.bar);
        for bar in tasks.chain(transfers).chain(&state.foot) {
            self.take_off(bar);
        }
        let _ = self.lines.clear();
    }
}

/// The style of a template; all of them are constants of this file.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "])
        .progress_chars("━╸ ")
}

#[cfg(test)]
mod tests;
