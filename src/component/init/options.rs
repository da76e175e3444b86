//! What init is told.

use std::ffi::OsString;
use std::time::Duration;

use super::dial::duration;

/// What is printed for `--help`.
pub const USAGE: &str = "\
usage: imgpack-init [OPTIONS] -- COMMAND [ARGUMENT...]

Runs COMMAND as PID 1 would be run: forwards signals to it, reaps what is left by
others, and ends as it ends (128 and the number for a signal). Before that, in this
order:

  --render FROM TO     makes the file TO of the template FROM: ${NAME} and
                       ${NAME:-default} come from the environment
  --only A,B           no others than these, in the template before it
  --wait HOST:PORT     waits until somebody answers there; ${NAME} is replaced
  --wait-timeout TIME  for all of them (60s)
  --before N WORD...   runs a command of N words, which has to end with 0
  --expand             replaces ${NAME} and ${NAME:-default} in the words of COMMAND
                       and of --before
";

/// A template and what is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Render {
    pub from: OsString,
    pub to: OsString,
    /// The only variables that are replaced; empty means all.
    pub only: Vec<String>,
}

/// What init is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub expand: bool,
    pub wait: Vec<String>,
    pub wait_timeout: Duration,
    pub before: Vec<Vec<OsString>>,
    pub render: Vec<Render>,
    pub command: Vec<OsString>,
}

/// Reads arguments, without the program's name; `None` where only the usage is wanted.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
    let mut options = Options {
        expand: false,
        wait: Vec::new(),
        wait_timeout: Duration::from_secs(60),
        before: Vec::new(),
        render: Vec::new(),
        command: Vec::new(),
    };
    let mut words = arguments;
    while let Some(word) = words.next() {
        let name = word.to_string_lossy().into_owned();
        let mut value = || words.next().ok_or_else(|| format!("{name} wants more words"));
        let text = |value: OsString| value.into_string().map_err(|_| format!("{name}: not UTF-8"));
        match name.as_str() {
            "--expand" => options.expand = true,
            "--wait" => options.wait.push(text(value()?)?),
            "--wait-timeout" => {
                let time = text(value()?)?;
                options.wait_timeout =
                    duration(&time).ok_or_else(|| format!("--wait-timeout {time}: not a time like 30s"))?;
            }
            "--before" => {
                let count = text(value()?)?;
                let number = count.parse::<usize>().ok().filter(|count| *count > 0);
                let number = number.ok_or_else(|| format!("--before {count}: not a number of words"))?;
                options.before.push((0..number).map(|_| value()).collect::<Result<_, _>>()?);
            }
            "--render" => options.render.push(Render { from: value()?, to: value()?, only: Vec::new() }),
            "--only" => {
                let names = text(value()?)?.split(',').map(str::to_owned).collect();
                let last = options.render.last_mut().ok_or("--only stands behind --render")?;
                last.only = names;
            }
            "-h" | "--help" => return Ok(None),
            "--" => {
                options.command = words.collect();
                break;
            }
            _ => return Err(format!("{name} is not known: see --help")),
        }
    }
    if options.command.is_empty() {
        return Err("there is no command: the image has no entrypoint or cmd".to_owned());
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Option<Options>, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read() {
        let options = read(&[
            "--expand",
            "--render",
            "/a",
            "/b",
            "--only",
            "A,B",
            "--render",
            "/c",
            "/d",
            "--wait",
            "db:1",
            "--wait-timeout",
            "5s",
            "--before",
            "2",
            "x",
            "--",
            "--before",
            "1",
            "y",
            "--",
            "run",
            "--",
            "-x",
        ]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.before, [vec![OsString::from("x"), "--".into()], vec!["y".into()]]);
        assert_eq!(options.command, ["run", "--", "-x"]);
        assert_eq!(
            (options.expand, options.wait, options.wait_timeout.as_secs()),
            (true, vec!["db:1".to_owned()], 5)
        );
        let only: Vec<_> = options.render.iter().map(|render| render.only.join(",")).collect();
        assert_eq!(only, ["A,B", ""]);
        assert_eq!(read(&["-h"]), Ok(None));
    }

    #[test]
    fn mistakes_are_told() {
        for (words, said) in [
            (&[][..], "there is no command: the image has no entrypoint or cmd"),
            (&["--"], "there is no command: the image has no entrypoint or cmd"),
            (&["run"], "run is not known: see --help"),
            (&["--before", "2", "x"], "--before wants more words"),
            (&["--before", "0", "--", "x"], "--before 0: not a number of words"),
            (&["--only", "A"], "--only stands behind --render"),
            (&["--wait-timeout", "5", "--", "x"], "--wait-timeout 5: not a time like 30s"),
        ] {
            assert_eq!(read(words).unwrap_err(), said);
        }
    }
}
