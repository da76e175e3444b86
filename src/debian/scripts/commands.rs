use super::pattern::UNKNOWN;
use super::rules::Ends;
use super::run::{Flow, Outcome, Run, Status};
use super::{account_commands, conditions, file_commands, filters};

/// What a known command came to.
pub(super) enum Done {
    /// It is done.
    Ended(Status),
    /// It has options or words that are not known here.
    Unknown,
}

impl Run<'_, '_> {
    /// Runs a command: by a rule of the package, as a function of the script, as a known command, by a rule for all.
    pub(super) fn command(&mut self, fields: &[String], input: Option<&str>) -> Outcome {
        let statement = fields.join(" ");
        if let Some(outcome) = self.by_rule(&statement, true) {
            return outcome;
        }
        if let Some(outcome) = self.function(fields) {
            return outcome;
        }
        let words: Vec<&str> = fields.iter().map(String::as_str).collect();
        let Some((first, rest)) = words.split_first() else { return Outcome::DONE };
        if *first == "dpkg-trigger" {
            let names = rest.iter().filter(|word| !word.starts_with('-')).map(|word| (*word).to_owned());
            self.system.triggered.extend(names);
        }
        let name = ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"]
            .iter()
            .find_map(|directory| first.strip_prefix(directory))
            .unwrap_or(first);
        if let Some(outcome) = self.control(name, rest) {
            return outcome;
        }
        let done =
            match name {
                "[" | "test" => {
                    let words =
                        if name == "[" { rest.split_last().map_or(rest, |(_, words)| words) } else { rest };
                    Done::Ended(conditions::test(&self.system.files, words))
                }
                "echo" | "printf" | "cat" | "mktemp" | "readlink" | "basename" | "dirname"
                | "dpkg-realpath" => self.printing(name, rest, input),
                "dpkg" if rest.first() == Some(&"--compare-versions") => Done::Ended(compared(&rest[1..])),
                "cut" | "grep" | "expr" | "cmp" | "uname" => self.filtered(name, rest, input),
                "dpkg" if rest == ["--print-architecture"] => {
                    let architecture = self.system.architecture();
                    self.output.push_str(&architecture);
                    Done::Ended(Some(true))
                }
                "getent" | "id" => account_commands::asked(self, name, rest),
                "adduser" | "addgroup" | "useradd" | "groupadd" | "usermod" | "gpasswd"
                | "systemd-sysusers" => account_commands::run(self, name, rest),
                "update-alternatives" => file_commands::alternatives(self, rest),
                "db_get" | "db_metaget" => {
                    let question = rest.first().filter(|_| name == "db_get");
                    let answer = question.and_then(|question| self.system.answer(question));
                    let text = answer.unwrap_or_else(|| UNKNOWN.to_string());
                    self.state.variables.insert("RET".to_owned(), text);
                    Done::Ended(Some(true))
                }
                _ => file_commands::run(self, name, rest),
            };
        match done {
            Done::Ended(status) => Outcome::next(status),
            Done::Unknown => {
                let short = [&[name], rest].concat().join(" ");
                // The name alone, where only the place of a program stands before it.
                let covered = if filters::writes(name, rest) {
                    None
                } else {
                    self.by_rule(&statement, false).or_else(|| self.by_rule(&short, false))
                };
                covered.unwrap_or_else(|| {
                    self.refuse(format!("`{}`", shortened(&statement)));
                    self.output.push(UNKNOWN);
                    Outcome::next(None)
                })
            }
        }
    }

    fn by_rule(&mut self, statement: &str, of_package: bool) -> Option<Outcome> {
        self.spend(statement.len());
        let rules = self.system.rules;
        let rule = rules.covering(self.package, statement, of_package)?;
        match &rule.prints {
            Some(text) => self.output.push_str(text),
            None if rule.ends == Some(Ends::Open) => self.output.push(UNKNOWN),
            None => {}
        }
        Some(Outcome::next(match rule.ends {
            None | Some(Ends::Succeeds) => Some(true),
            Some(Ends::Fails) => Some(false),
            Some(Ends::Open) => None,
        }))
    }

    /// The shell's own commands.
    fn control(&mut self, name: &str, words: &[&str]) -> Option<Outcome> {
        let leave = |flow, run: &Self| {
            let status = match words.first() {
                Some(&"0") => Some(true),
                Some(code) if code.contains(UNKNOWN) => None,
                Some(_) => Some(false),
                None => match run.state.variables.get("?").map(String::as_str) {
                    Some("0") => Some(true),
                    Some("1") => Some(false),
                    _ => None,
                },
            };
            Outcome { status, flow }
        };
        Some(match name {
            ":" | "true" | "wait" => Outcome::DONE,
            "trap" => {
                self.trap(words);
                Outcome::DONE
            }
            "umask" => match words {
                [] => Outcome::DONE,
                [mask] if u32::from_str_radix(mask, 8).is_ok_and(|mask| mask <= 0o777) => {
                    self.state.umask = u32::from_str_radix(mask, 8).unwrap_or(0o022);
                    Outcome::DONE
                }
                _ => return None,
            },
            "false" => Outcome::next(Some(false)),
            "exit" => leave(Flow::Exit, self),
            "return" => leave(Flow::Return, self),
            "break" | "continue" if !matches!(words, [] | ["1"]) => return None,
            "break" => Outcome { status: Some(true), flow: Flow::Break },
            "continue" => Outcome { status: Some(true), flow: Flow::Continue },
            "export" | "local" | "readonly" => {
                for word in words.iter().filter(|word| !word.starts_with('-')) {
                    let (variable, value) = word.split_once('=').unwrap_or((word, ""));
                    if name == "local" {
                        self.local(variable);
                    }
                    if name == "local" || word.contains('=') {
                        self.assign(variable, value.to_owned());
                    }
                }
                Outcome::DONE
            }
            "unset" => {
                for word in words {
                    self.state.variables.remove(*word);
                }
                Outcome::DONE
            }
            "set" => {
                // Options first, of which `-o` and `+o` have a value; what is left are the arguments.
                let mut rest = words.iter();
                let mut arguments: Option<Vec<String>> = None;
                while let Some(word) = rest.next() {
                    let text = |word: &&str| (*word).to_owned();
                    match *word {
                        "--" => arguments = Some(rest.by_ref().map(text).collect()),
                        "-o" | "+o" => drop(rest.next()),
                        word if word.len() > 1 && word.starts_with(['-', '+']) => {}
                        word => {
                            arguments =
                                Some([word.to_owned()].into_iter().chain(rest.by_ref().map(text)).collect());
                        }
                    }
                }
                self.state.arguments = arguments.unwrap_or_else(|| std::mem::take(&mut self.state.arguments));
                Outcome::DONE
            }
            "shift" => {
                let Ok(count) = words.first().map_or(Ok(1), |word| word.parse::<usize>()) else {
                    return None;
                };
                self.spend(self.state.arguments.len());
                let count = count.min(self.state.arguments.len());
                self.state.arguments.drain(..count);
                Outcome::DONE
            }
            "read" => {
                for word in words.iter().filter(|word| !word.starts_with('-')) {
                    self.state.variables.insert((*word).to_owned(), UNKNOWN.to_string());
                }
                Outcome::next(None)
            }
            "cd" => {
                let to = words.first().copied().unwrap_or("/root");
                self.state.directory = if to.starts_with('/') { to.to_owned() } else { UNKNOWN.to_string() };
                Outcome::DONE
            }
            "command" if matches!(words.first(), Some(&"-v" | &"-V")) => self.found(&words[1..]),
            "command" => self.command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), None),
            "which" | "type" | "hash" => self.found(words),
            "." if words.first() == Some(&"/usr/share/debconf/confmodule") => Outcome::DONE,
            "." if words.first().is_some_and(|file| self.system.files.target(file).is_some()) => {
                let text = self.system.content(words[0]).and_then(|bytes| String::from_utf8(bytes).ok());
                let found = text.map(|text| self.sourced(&text));
                match found {
                    Some(Ok(outcome)) => outcome,
                    Some(Err(error)) => {
                        self.refuse(format!("{}: {error}", words[0]));
                        Outcome::next(None)
                    }
                    None => {
                        self.refuse(format!("`. {}`, which cannot be read", words[0]));
                        Outcome::next(None)
                    }
                }
            }
            "eval" | "exec" | "." | "source" | "getopts" => {
                self.refuse(format!("`{}`", shortened(&[&[name], words].concat().join(" "))));
                Outcome::next(None)
            }
            _ => return None,
        })
    }

    /// `command -v`
    fn found(&mut self, words: &[&str]) -> Outcome {
        let Some(name) = words.iter().find(|word| !word.starts_with('-')) else { return Outcome::next(None) };
        if name.contains(UNKNOWN) {
            self.output.push(UNKNOWN);
            return Outcome::next(None);
        }
        let known = self.system.files.program(name);
        let status = Some(known.is_some());
        if let Some(path) = known {
            self.output.push_str(&path);
        }
        Outcome::next(status)
    }

    fn printing(&mut self, name: &str, words: &[&str], input: Option<&str>) -> Done {
        let plain: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
        let text = match (name, plain.as_slice()) {
            // What a backslash means differs between shells.
            ("echo", _) if words.iter().any(|word| word.contains('\\')) => UNKNOWN.to_string(),
            ("cat", _) if words.iter().any(|word| word.len() > 1 && word.starts_with('-')) => {
                UNKNOWN.to_string()
            }
            ("echo", _) => match words.first() {
                Some(&"-n") => words[1..].join(" "),
                Some(word) if word.starts_with('-') => UNKNOWN.to_string(),
                _ => format!("{}\n", words.join(" ")),
            },
            ("printf", ["%s\\n", rest @ ..]) => rest.iter().flat_map(|word| [word, "\n"]).collect(),
            ("printf", ["%s", rest @ ..]) => rest.concat(),
            ("cat", []) => input.map_or_else(|| UNKNOWN.to_string(), str::to_owned),
            ("cat", [path]) if !path.contains(UNKNOWN) => {
                let text = self.system.content(path).and_then(|bytes| String::from_utf8(bytes).ok());
                text.unwrap_or_else(|| UNKNOWN.to_string())
            }
            ("mktemp", _) => format!("{}/x\n", super::files::SCRATCH),
            ("basename", [path]) => {
                path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
            }
            ("dpkg-realpath", [path]) => match self.system.files.followed(path) {
                Some(path) => path.to_string(),
                None => UNKNOWN.to_string(),
            },
            ("dirname", [path]) => match path.trim_end_matches('/').rsplit_once('/') {
                Some(("", _)) => "/".to_owned(),
                Some((above, _)) => above.to_owned(),
                None if path.contains(UNKNOWN) => UNKNOWN.to_string(),
                None => ".".to_owned(),
            },
            ("readlink", [path]) if words.len() == 1 && !path.contains(UNKNOWN) => {
                match self.system.files.kind(path) {
                    Some(crate::model::FactKind::Symlink(target)) => target.clone(),
                    _ => return Done::Ended(Some(false)),
                }
            }
            _ => UNKNOWN.to_string(),
        };
        self.output.push_str(&text);
        Done::Ended(if name == "readlink" && text.contains(UNKNOWN) { None } else { Some(true) })
    }

    /// Filters whose end or output matters, where what they read is known.
    fn filtered(&mut self, name: &str, words: &[&str], input: Option<&str>) -> Done {
        let known = input.filter(|text| !text.contains(UNKNOWN) && !words.concat().contains(UNKNOWN));
        let printed = match (name, words, known) {
            ("uname", [] | ["-s"], _) => "Linux\n".to_owned(),
            ("expr", [left, sign @ ("+" | "-"), right], _) => {
                match (left.parse::<i64>(), right.parse::<i64>()) {
                    (Ok(left), Ok(right)) if *sign == "+" => format!("{}\n", left.saturating_add(right)),
                    (Ok(left), Ok(right)) => format!("{}\n", left.saturating_sub(right)),
                    _ => return Done::Unknown,
                }
            }
            ("cmp", [.., one, two], _) => {
                let missing = |path: &str| path.starts_with('/') && self.system.files.target(path).is_none();
                return if missing(one) || missing(two) { Done::Ended(Some(false)) } else { Done::Unknown };
            }
            ("cut", ["-d", delimiter, "-f", field], Some(text)) => columns(text, delimiter, field),
            ("cut", [delimiter, field], Some(text))
                if delimiter.starts_with("-d") && field.starts_with("-f") =>
            {
                columns(text, &delimiter[2..], &field[2..])
            }
            ("grep", ["-q" | "-qw" | "-qx", pattern], Some(text)) if is_plain(pattern) => {
                let whole = |line: &str| match words[0] {
                    "-qx" => line == *pattern,
                    "-qw" => line.split_whitespace().any(|word| word == *pattern),
                    _ => line.contains(pattern),
                };
                return Done::Ended(Some(text.lines().any(whole)));
            }
            _ => return Done::Unknown,
        };
        self.output.push_str(&printed);
        Done::Ended(Some(true))
    }

    /// Whether something may be done of which it is not known whether it would be done at all; it is refused where not.
    pub(super) fn may(&mut self, statement: &str) -> bool {
        if self.in_doubt() {
            self.refuse(format!(
                "`{}`, under a condition that only running it could decide",
                shortened(statement)
            ));
            return false;
        }
        true
    }
}

/// `cut -d: -f2`
fn columns(text: &str, delimiter: &str, field: &str) -> String {
    let (Some(delimiter), Ok(field)) = (delimiter.chars().next(), field.parse::<usize>()) else {
        return UNKNOWN.to_string();
    };
    let column = |line: &str| match line.split(delimiter).nth(field.saturating_sub(1)) {
        Some(column) if line.contains(delimiter) => column.to_owned(),
        Some(_) | None if !line.contains(delimiter) => line.to_owned(),
        _ => String::new(),
    };
    text.lines().map(|line| column(line) + "\n").collect()
}

/// Whether a pattern of grep is a plain word.
fn is_plain(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.chars().all(|char| char.is_alphanumeric() || "_-".contains(char))
}

/// What of a statement goes into a message.
pub(super) fn shortened(statement: &str) -> String {
    let line = statement.split('\n').next().unwrap_or_default();
    let short: String = line.chars().take(120).collect();
    if short.len() < statement.len() { format!("{short} …") } else { short }
}

/// `dpkg --compare-versions`: on a fresh installation the version before is the empty text (dpkg(1)).
fn compared(words: &[&str]) -> Status {
    match words {
        ["", "lt" | "le" | "ne" | "<" | "<<" | "<=", version] if !version.is_empty() => Some(true),
        ["", "eq" | "ge" | "gt" | "=" | ">" | ">>" | ">=", version] if !version.is_empty() => Some(false),
        ["", "lt-nl" | "le-nl", version] if !version.is_empty() => Some(false),
        ["", "ge-nl" | "gt-nl", version] if !version.is_empty() => Some(true),
        _ => None,
    }
}
