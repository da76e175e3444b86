use std::collections::BTreeMap;
use std::sync::Arc;

use super::commands::shortened;
use super::pattern::{self, UNKNOWN, UNKNOWN_TEXT};
use super::system::System;
use crate::debian::shell::{Document, Node, Redirect, Script, ShellError, Target, Word, parse};

/// Whether a command succeeds, where that is known.
pub(super) type Status = Option<bool>;

/// Where a script goes on; a later one leaves more behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    Next,
    Continue,
    Break,
    Return,
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub status: Status,
    pub flow: Flow,
}

impl Outcome {
    pub(super) const DONE: Self = Self::next(Some(true));

    pub(super) const fn next(status: Status) -> Self {
        Self { status, flow: Flow::Next }
    }

    /// A script that ends so was not made to be installed.
    fn fails(self) -> bool {
        self.flow == Flow::Exit && self.status == Some(false)
    }
}

/// Variables and arguments; texts with [`UNKNOWN`] in them are known in part.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub variables: BTreeMap<String, String>,
    pub arguments: Vec<String>,
    pub directory: String,
    /// Permission bits that new files do not get.
    pub umask: u32,
}

impl State {
    fn merged(self, other: &Self) -> Self {
        let mut variables = BTreeMap::new();
        for name in self.variables.keys().chain(other.variables.keys()) {
            let (one, two) = (self.variables.get(name), other.variables.get(name));
            let text = if one == two { one.cloned().unwrap_or_default() } else { UNKNOWN.to_string() };
            variables.insert(name.clone(), text);
        }
        let same = self.arguments == other.arguments;
        let arguments = if same { self.arguments } else { vec![UNKNOWN.to_string()] };
        let same = self.directory == other.directory;
        let directory = if same { self.directory } else { UNKNOWN.to_string() };
        // The closer of two is the safe one.
        Self { variables, arguments, directory, umask: self.umask | other.umask }
    }
}

/// A body with its here-documents.
type Function = (Arc<Node>, Arc<Vec<Document>>);

/// One script, followed with what is known before it runs: both ways where a condition is not known.
pub(super) struct Run<'s, 'a> {
    pub system: &'s mut System<'a>,
    pub package: &'s str,
    pub origin: Arc<str>,
    pub state: State,
    /// What standard output was given, for `$(…)` and redirections.
    pub output: String,
    functions: Arc<BTreeMap<String, Function>>,
    /// Values that `local` names had before, one for each function that is being run.
    locals: Vec<BTreeMap<String, Option<String>>>,
    /// What the part of a pipeline before gives to this one.
    piped: Option<String>,
    /// Conditions that are not known around what is being followed.
    doubt: usize,
    /// It is not known whether the loop, the function, the script was left already.
    left: [bool; 3],
    steps: usize,
    /// Commands that are being followed inside of each other.
    deep: usize,
    sources: usize,
    /// What `trap … EXIT` leaves for the end, and whether it is known to be so.
    at_exit: Option<(String, bool)>,
    /// What no rule covers.
    pub uncovered: Vec<String>,
}

/// Commands that are followed of one script.
const STEPS: usize = 50_000;
/// Bytes that following a script may take in its hands, and paths that it may look at.
const WORK: usize = 8 << 20;
/// Commands, functions and files inside of each other.
const DEEPEST: usize = 120;
/// Words of a `for` that are followed one by one.
const TURNS: usize = 100;
/// Commands that are followed, and that a function could stand in for.
const KNOWN: [&str; 20] = [
    "mkdir",
    "install",
    "chown",
    "chgrp",
    "chmod",
    "ln",
    "rm",
    "rmdir",
    "touch",
    "cp",
    "mv",
    "ucf",
    "adduser",
    "addgroup",
    "useradd",
    "groupadd",
    "usermod",
    "echo",
    "cat",
    "update-alternatives",
];
/// Statements that are told of one script.
const TOLD: usize = 100;
/// Where a script's commands are looked for.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl<'s, 'a> Run<'s, 'a> {
    pub(super) fn new(
        system: &'s mut System<'a>,
        package: &'s str,
        script: &'s str,
        arguments: &[&str],
        architecture: &str,
    ) -> Self {
        let variables = [
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DPKG_MAINTSCRIPT_PACKAGE", package),
            ("DPKG_MAINTSCRIPT_NAME", script),
            ("DPKG_MAINTSCRIPT_ARCH", architecture),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_ROOT", ""),
            ("PATH", PATH),
            ("HOME", UNKNOWN_TEXT),
            ("LOGNAME", UNKNOWN_TEXT),
            ("PWD", UNKNOWN_TEXT),
            ("USER", UNKNOWN_TEXT),
            ("0", script),
            ("?", "0"),
        ];
        system.work = 0;
        let state = State {
            variables: variables
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            directory: "/".to_owned(),
            umask: 0o022,
        };
        Self {
            system,
            package,
            origin: Arc::from(format!("package {package}")),
            state,
            output: String::new(),
            functions: Arc::default(),
            locals: Vec::new(),
            piped: None,
            doubt: 0,
            left: [false; 3],
            steps: 0,
            deep: 0,
            at_exit: None,
            sources: 0,
            uncovered: Vec::new(),
        }
    }

    /// Follows a script to its end.
    pub(super) fn follow(&mut self, script: &Script) {
        let documents = Arc::new(script.documents.clone());
        let outcome = self.node(&script.body, &documents);
        if outcome.fails() && self.uncovered.is_empty() {
            self.refuse("it gives up with a failure (`exit`), so it does not do its work");
        }
        let Some((text, is_known)) = self.at_exit.take() else { return };
        self.left = [false; 3];
        self.doubt += usize::from(!is_known);
        if let Err(error) = self.sourced(&text) {
            self.refuse(format!("`trap`: {error}"));
        }
    }

    /// Notes what a script leaves for its end; nothing takes an earlier note away.
    pub(super) fn trap(&mut self, words: &[&str]) {
        let [action, signals @ ..] = words else { return };
        if !signals.iter().any(|signal| matches!(*signal, "EXIT" | "0")) {
            return;
        }
        let is_known = !self.in_doubt();
        if matches!(*action, "-" | "") {
            self.at_exit = self.at_exit.take().filter(|_| !is_known).map(|(text, _)| (text, false));
        } else if action.contains(UNKNOWN) || (!is_known && self.at_exit.is_some()) {
            self.refuse(format!("`trap {}`", words.join(" ")));
        } else {
            self.at_exit = Some(((*action).to_owned(), is_known));
        }
    }

    /// Counts work; whether there is any left.
    pub(super) fn spend(&mut self, amount: usize) -> bool {
        self.system.work = self.system.work.saturating_add(amount);
        self.system.work <= WORK
    }

    /// Follows what stands inside of something.
    fn deeper(&mut self, follow: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.steps += 1;
        let what = match () {
            () if self.deep >= DEEPEST => Some("commands stand too deep in each other to be followed"),
            () if self.steps > STEPS || !self.spend(1) => Some("the script is too long to be followed"),
            () => None,
        };
        if let Some(what) = what {
            self.refuse(what);
            return Outcome { status: Some(false), flow: Flow::Exit };
        }
        self.deep += 1;
        let outcome = follow(self);
        self.deep -= 1;
        outcome
    }

    /// Whether it is not known that what is being followed is done at all.
    pub(super) fn in_doubt(&self) -> bool {
        self.doubt > 0 || self.left.contains(&true)
    }

    /// Notes what no rule covers; the same once.
    pub(super) fn refuse(&mut self, what: impl Into<String>) {
        let what = what.into().replace(UNKNOWN, "…");
        if self.uncovered.len() < TOLD && !self.uncovered.contains(&what) {
            self.uncovered.push(what);
        }
    }

    pub(super) fn node(&mut self, node: &Node, documents: &Arc<Vec<Document>>) -> Outcome {
        let outcome = self.deeper(|run| run.compound(node, documents));
        let text = match outcome.status {
            Some(true) => "0".to_owned(),
            Some(false) => "1".to_owned(),
            None => UNKNOWN.to_string(),
        };
        self.state.variables.insert("?".to_owned(), text);
        outcome
    }

    fn compound(&mut self, node: &Node, documents: &Arc<Vec<Document>>) -> Outcome {
        match node {
            Node::Simple { assignments, words, redirects } => {
                self.simple(assignments, words, redirects, documents)
            }
            Node::Sequence(nodes) => {
                let mut last = Outcome::DONE;
                for node in nodes {
                    last = self.node(node, documents);
                    if last.flow != Flow::Next {
                        break;
                    }
                }
                last
            }
            Node::Not(node) => {
                let outcome = self.node(node, documents);
                Outcome { status: outcome.status.map(|status| !status), ..outcome }
            }
            Node::Chain(first, rest) => self.chained(first, rest, documents),
            Node::Pipe(nodes) => {
                let mut last = Outcome::DONE;
                let before = std::mem::take(&mut self.output);
                for (index, node) in nodes.iter().enumerate() {
                    // What a part gives out goes into the next one; only what the last gives out is left.
                    if index > 0 {
                        self.piped = Some(std::mem::take(&mut self.output));
                    }
                    last = self.subshell(node, documents);
                }
                self.piped = None;
                let text = std::mem::replace(&mut self.output, before);
                self.output.push_str(&text);
                last
            }
            Node::Subshell(node) => self.subshell(node, documents),
            Node::Redirected(node, redirects) => self.redirected(node, redirects, documents),
            Node::If { arms, otherwise } => self.conditional(arms, otherwise.as_deref(), documents),
            Node::While { until, condition, body } => self.repeated(*until, condition, body, documents),
            Node::For { name, words, body } => self.each(name, words.as_deref(), body, documents),
            Node::Case { word, arms } => {
                let text = self.text(word, documents);
                self.cases(&text, arms, documents)
            }
            Node::Function { name, body } => {
                self.define(name, body, documents);
                Outcome::DONE
            }
        }
    }

    fn chained(&mut self, first: &Node, rest: &[(bool, Node)], documents: &Arc<Vec<Document>>) -> Outcome {
        let mut outcome = self.node(first, documents);
        for (and, node) in rest {
            if outcome.flow != Flow::Next {
                break;
            }
            outcome = match outcome.status {
                Some(status) if status == *and => self.node(node, documents),
                Some(_) => outcome,
                None => self.either(|run| run.node(node, documents), |_| Outcome::next(Some(!and))),
            };
        }
        outcome
    }

    /// Makes a function known. One that is another under a condition that is not known could be either.
    fn define(&mut self, name: &str, body: &Arc<Node>, documents: &Arc<Vec<Document>>) {
        let other = match self.functions.get(name) {
            Some((known, _)) => !Arc::ptr_eq(known, body) && known != body,
            None => KNOWN.contains(&name),
        };
        if self.doubt > 0 && other {
            self.refuse(format!(
                "`{name}()`, another function under a condition that only running it could decide"
            ));
        }
        if Arc::strong_count(&self.functions) > 1 {
            self.spend(self.functions.len());
        }
        let functions = Arc::make_mut(&mut self.functions);
        functions.insert(name.to_owned(), (Arc::clone(body), Arc::clone(documents)));
    }

    fn conditional(
        &mut self,
        arms: &[(Node, Node)],
        otherwise: Option<&Node>,
        documents: &Arc<Vec<Document>>,
    ) -> Outcome {
        for (index, (condition, body)) in arms.iter().enumerate() {
            let outcome = self.node(condition, documents);
            if outcome.flow != Flow::Next {
                return outcome;
            }
            match outcome.status {
                Some(true) => return self.node(body, documents),
                Some(false) => {}
                None => {
                    let rest = &arms[index + 1..];
                    return self.either(
                        |run| run.node(body, documents),
                        |run| run.deeper(|run| run.conditional(rest, otherwise, documents)),
                    );
                }
            }
        }
        otherwise.map_or(Outcome::DONE, |node| self.node(node, documents))
    }

    fn cases(&mut self, text: &str, arms: &[(Vec<Word>, Node)], documents: &Arc<Vec<Document>>) -> Outcome {
        for (index, (patterns, body)) in arms.iter().enumerate() {
            let mut fits = Some(false);
            for word in patterns {
                let marked = self.marked(word, documents);
                let fit = if self.spend(marked.len().saturating_mul(text.len()) / 4) {
                    pattern::matches(&marked, text)
                } else {
                    None
                };
                match fit {
                    Some(true) => {
                        fits = Some(true);
                        break;
                    }
                    Some(false) => {}
                    None => fits = None,
                }
            }
            match fits {
                Some(true) => return self.node(body, documents),
                Some(false) => {}
                None => {
                    let rest = &arms[index + 1..];
                    return self.either(
                        |run| run.node(body, documents),
                        |run| run.deeper(|run| run.cases(text, rest, documents)),
                    );
                }
            }
        }
        Outcome::DONE
    }

    fn repeated(
        &mut self,
        until: bool,
        condition: &Node,
        body: &Node,
        documents: &Arc<Vec<Document>>,
    ) -> Outcome {
        let left = self.left[0];
        let mut last = Outcome::DONE;
        // Twice, so that what a turn leaves unknown is unknown in the turn before it as well.
        for _ in 0..2 {
            let outcome = self.node(condition, documents);
            if outcome.flow != Flow::Next {
                last = outcome;
                break;
            }
            if outcome.status == Some(until) {
                break;
            }
            last = self.either(|run| run.node(body, documents), |_| Outcome::DONE);
            if last.flow != Flow::Next {
                break;
            }
        }
        self.left[0] = left;
        if matches!(last.flow, Flow::Break | Flow::Continue) { Outcome::DONE } else { last }
    }

    fn each(
        &mut self,
        name: &str,
        words: Option<&[Word]>,
        body: &Node,
        documents: &Arc<Vec<Document>>,
    ) -> Outcome {
        let fields = match words {
            Some(words) => self.fields(words, documents),
            None => self.state.arguments.clone(),
        };
        let left = self.left[0];
        let unknown = fields.len() > TURNS || fields.iter().any(|field| field.contains(UNKNOWN));
        let mut last = Outcome::DONE;
        if unknown {
            for _ in 0..2 {
                self.state.variables.insert(name.to_owned(), UNKNOWN.to_string());
                last = self.either(|run| run.node(body, documents), |_| Outcome::DONE);
            }
        } else {
            for field in fields {
                self.state.variables.insert(name.to_owned(), field);
                last = self.node(body, documents);
                if last.flow > Flow::Continue {
                    break;
                }
            }
        }
        self.left[0] = left;
        if matches!(last.flow, Flow::Break | Flow::Continue) { Outcome::next(last.status) } else { last }
    }

    /// Follows both ways, and forgets what differs behind them.
    fn either(
        &mut self,
        one: impl FnOnce(&mut Self) -> Outcome,
        two: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let before = self.kept();
        let printed = self.output.len();
        self.doubt += 1;
        let first = one(self);
        let after_one = std::mem::replace(&mut self.state, before);
        let second = two(self);
        let after_two = std::mem::take(&mut self.state);
        self.doubt -= 1;
        if self.output.len() > printed {
            self.output.truncate(printed);
            self.output.push(UNKNOWN);
        }
        if first.fails() != second.fails() {
            // An installation that fails makes no image.
            let (state, outcome) = if first.fails() { (after_two, second) } else { (after_one, first) };
            self.state = state;
            return outcome;
        }
        self.state = after_one.merged(&after_two);
        let status = if first.status == second.status { first.status } else { None };
        let flow = first.flow.min(second.flow);
        match first.flow.max(second.flow) {
            further if further == flow => {}
            Flow::Next => {}
            Flow::Continue | Flow::Break => self.left[0] = true,
            Flow::Return => self.left[1] = true,
            Flow::Exit => self.left[2] = true,
        }
        Outcome { status, flow }
    }

    /// What is known now, to come back to.
    fn kept(&mut self) -> State {
        let variables = self.state.variables.iter().map(|(name, text)| name.len() + text.len() + 16);
        let arguments = self.state.arguments.iter().map(|text| text.len() + 16);
        let size = variables.chain(arguments).sum();
        self.spend(size);
        self.state.clone()
    }

    /// A command whose variables and functions are its own.
    pub(super) fn subshell(&mut self, node: &Node, documents: &Arc<Vec<Document>>) -> Outcome {
        let (state, left, functions) = (self.kept(), self.left, Arc::clone(&self.functions));
        let outcome = self.node(node, documents);
        (self.state, self.left, self.functions) = (state, left, functions);
        Outcome::next(outcome.status)
    }

    /// What a command prints.
    pub(super) fn printed(&mut self, node: &Node, documents: &Arc<Vec<Document>>) -> (String, Status) {
        let before = std::mem::take(&mut self.output);
        let outcome = self.subshell(node, documents);
        let text = std::mem::replace(&mut self.output, before);
        (text.trim_end_matches('\n').to_owned(), outcome.status)
    }

    fn redirected(&mut self, node: &Node, redirects: &[Redirect], documents: &Arc<Vec<Document>>) -> Outcome {
        let before = std::mem::take(&mut self.output);
        let outcome = self.node(node, documents);
        let text = std::mem::replace(&mut self.output, before);
        self.give(text, redirects, documents);
        outcome
    }

    fn simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        redirects: &[Redirect],
        documents: &Arc<Vec<Document>>,
    ) -> Outcome {
        let mut status = Some(true);
        let mut own = Vec::new();
        for (name, word) in assignments {
            let (text, printed) = self.assigned(word, documents);
            if words.is_empty() {
                status = printed.unwrap_or(status);
                self.assign(name, text);
            } else {
                own.push((name, text));
            }
        }
        let fields = self.fields(words, documents);
        if fields.is_empty() {
            if !redirects.is_empty() {
                self.give(String::new(), redirects, documents);
            }
            return Outcome::next(status);
        }
        let piped = self.piped.take();
        let input = self.input(redirects, documents).or(piped);
        let before = std::mem::take(&mut self.output);
        // Variables of the command alone, which only a function of the script looks at here.
        let mut outer = Vec::new();
        for (name, text) in own {
            outer.push((name, self.state.variables.get(name).cloned()));
            self.assign(name, text);
        }
        let outcome = self.command(&fields, input.as_deref());
        for (name, text) in outer.into_iter().rev() {
            match text {
                Some(text) => self.state.variables.insert(name.clone(), text),
                None => self.state.variables.remove(name),
            };
        }
        let text = std::mem::replace(&mut self.output, before);
        self.give(text, redirects, documents);
        outcome
    }

    /// What is read from standard input, where a redirection says it.
    fn input(&mut self, redirects: &[Redirect], documents: &Arc<Vec<Document>>) -> Option<String> {
        let redirect = redirects.iter().rev().find(|redirect| redirect.descriptor == 0)?;
        match &redirect.target {
            Target::Document(index) => {
                let Document(word) = documents.get(*index)?;
                Some(self.text(word, documents))
            }
            Target::Read(word) => {
                let path = self.text(word, documents);
                self.system.content(&path).and_then(|bytes| String::from_utf8(bytes).ok())
            }
            _ => None,
        }
    }

    /// Gives what was printed to where redirections lead.
    fn give(&mut self, text: String, redirects: &[Redirect], documents: &Arc<Vec<Document>>) {
        let mut printed = Some(text);
        // Of several only the last is where standard output goes.
        let last = redirects.iter().rposition(|redirect| {
            redirect.descriptor == 1 && !matches!(redirect.target, Target::Read(_) | Target::Document(_))
        });
        for (index, redirect) in redirects.iter().enumerate() {
            match &redirect.target {
                Target::Write(word) | Target::Append(word) => {
                    let append = matches!(redirect.target, Target::Append(_));
                    let path = self.text(word, documents);
                    let text = match redirect.descriptor {
                        1 if last == Some(index) => printed.take().unwrap_or_default(),
                        1 => String::new(),
                        _ => UNKNOWN.to_string(),
                    };
                    self.write(&path, &text, append);
                }
                // Standard error and debconf's descriptor are nobody's.
                Target::Duplicate(_) if last == Some(index) => printed = None,
                Target::Duplicate(_) | Target::Read(_) | Target::Document(_) => {}
            }
        }
        self.output.push_str(&printed.unwrap_or_default());
    }

    /// Gives a variable its value. Commands are known by their names, so those of another folder must not come first.
    pub(super) fn assign(&mut self, name: &str, text: String) {
        let first = text.split(':').next().unwrap_or_default();
        if name == "PATH" && !PATH.split(':').any(|known| known == first) {
            self.refuse(format!("`PATH={}`", shortened(&text)));
        }
        self.state.variables.insert(name.to_owned(), text);
    }

    /// Runs the text of a file in the place of `.`.
    pub(super) fn sourced(&mut self, text: &str) -> Result<Outcome, ShellError> {
        self.spend(text.len());
        let script = parse(text)?;
        let documents = Arc::new(script.documents.clone());
        if self.sources > 10 {
            self.refuse("files read each other too deep to be followed");
            return Ok(Outcome::next(None));
        }
        self.sources += 1;
        let outcome = self.node(&script.body, &documents);
        self.sources -= 1;
        Ok(match outcome.flow {
            Flow::Return => Outcome::next(outcome.status),
            _ => outcome,
        })
    }

    /// Runs a function of the script; `None` where it has none of the name.
    pub(super) fn function(&mut self, fields: &[String]) -> Option<Outcome> {
        let (body, documents) = self.functions.get(fields.first()?).cloned()?;
        if self.locals.len() > 20 {
            self.refuse("functions call each other too deep to be followed");
            return Some(Outcome::next(None));
        }
        let arguments = std::mem::replace(&mut self.state.arguments, fields[1..].to_vec());
        let left = [self.left[0], self.left[1]];
        self.locals.push(BTreeMap::new());
        let outcome = self.node(&body, &documents);
        for (name, value) in self.locals.pop().unwrap_or_default() {
            match value {
                Some(value) => self.state.variables.insert(name, value),
                None => self.state.variables.remove(&name),
            };
        }
        self.state.arguments = arguments;
        self.left[..2].copy_from_slice(&left);
        Some(match outcome.flow {
            Flow::Return => Outcome::next(outcome.status),
            _ => outcome,
        })
    }

    /// Makes a variable one of the function that is being run.
    pub(super) fn local(&mut self, name: &str) {
        let value = self.state.variables.get(name).cloned();
        if let Some(locals) = self.locals.last_mut() {
            locals.entry(name.to_owned()).or_insert(value);
        }
    }
}
