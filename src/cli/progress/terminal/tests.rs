use std::io;
use std::sync::Arc;

use indicatif::TermLike;

use super::*;
use crate::model::{Class, Platform};

/// A terminal of 80 columns and 24 rows that keeps what is on it.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    text: Vec<String>,
    at: usize,
    /// Every byte that came.
    raw: String,
}

impl Screen {
    fn rows(&self) -> Vec<String> {
        let rows = self.0.lock().unwrap();
        let mut shown: Vec<String> = rows.text.iter().map(|row| row.trim_end().to_owned()).collect();
        while shown.last().is_some_and(String::is_empty) {
            shown.pop();
        }
        shown
    }

    fn raw(&self) -> String {
        self.0.lock().unwrap().raw.clone()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        80
    }
    fn height(&self) -> u16 {
        24
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let rows = &mut *self.0.lock().unwrap();
        rows.at = rows.at.saturating_sub(n);
        Ok(())
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.lock().unwrap().at += n;
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        let rows = &mut *self.0.lock().unwrap();
        rows.raw.push_str(text);
        for c in text.chars() {
            while rows.text.len() <= rows.at {
                rows.text.push(String::new());
            }
            // As on a terminal, the next sign after the last column opens a row.
            if c == '\n' || rows.text[rows.at].chars().count() == 80 {
                rows.at += 1;
                while rows.text.len() <= rows.at {
                    rows.text.push(String::new());
                }
            }
            match c {
                '\n' => {}
                '\r' => rows.text[rows.at].clear(),
                c => rows.text[rows.at].push(c),
            }
        }
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        let rows = &mut *self.0.lock().unwrap();
        if let Some(row) = rows.text.get_mut(rows.at) {
            row.clear();
        }
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn terminal(screen: &Screen, style: Style) -> Terminal {
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
    Terminal::new(target, style, || (80, 24))
}

fn task(identity: &str, platform: Platform) -> Task {
    Task { identity: identity.parse().unwrap(), platform }
}

/// Times and spinners are not the same twice.
fn steady(rows: &[String]) -> String {
    let spinners = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
    let steady = |row: &String| {
        let row: String = row.chars().map(|c| if spinners.contains(c) { '*' } else { c }).collect();
        match row.rfind("  ") {
            Some(at)
                if row.ends_with('s') && row[at..].trim_start().starts_with(|c: char| c.is_ascii_digit()) =>
            {
                row[..at].trim_end().to_owned()
            }
            _ => row,
        }
    };
    rows.iter().map(steady).collect::<Vec<_>>().join("\n")
}

#[test]
fn live_lines_show_what_is_going_on_and_leave_what_is_done() {
    let screen = Screen::default();
    let observer = terminal(&screen, Style::PLAIN);
    let (one, two) = (task("gateway@alpine", Platform::AMD64), task("authz", Platform::ARM64));
    observer.event(Event::Tasks(vec![one.clone(), two.clone(), task("blog", Platform::AMD64)]));
    observer.event(Event::Phase { task: one.clone(), phase: Phase::Building { builder: "go" } });
    observer.event(Event::Phase { task: two.clone(), phase: Phase::Waiting });
    for number in 1..=5 {
        observer.event(Event::Output {
            task: one.clone(),
            text: format!("line {number}\t\x1b[2J{}", "x".repeat(90)),
        });
    }
    // A line that stays draws everything at once; live lines alone are drawn a few times a second.
    observer.event(Event::Note("from workspace".into()));
    insta::assert_snapshot!(steady(&screen.rows()), @r#"
    note: from workspace
    * gateway@alpine  linux/amd64  building with go
        line 3  �[2Jxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        line 4  �[2Jxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        line 5  �[2Jxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
      0 of 3 images done, 2 waiting
    "#);

    observer.event(Event::Layer {
        task: one.clone(),
        class: Class::App,
        title: "/usr/local/bin/a-program-with-a-long-name".into(),
        transfer: Size(9_100_000),
        made: Some(Duration::ZERO),
    });
    observer.event(Event::Done { task: one.clone(), transfer: Size(9_912_345) });
    // Late words about what is done change nothing.
    observer.event(Event::Output { task: one.clone(), text: "late".into() });
    observer.event(Event::Done { task: one, transfer: Size(1) });
    observer.event(Event::Output { task: two.clone(), text: "error: first".into() });
    observer.event(Event::Output { task: two.clone(), text: "error: second".into() });
    observer.event(Event::Failed { task: two });
    observer.event(Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 1_000, total: 4_000 });
    observer.event(Event::Download { repository: "ghcr.io/acme/base".into(), received: 7, total: 14 });
    observer.event(Event::Download { repository: "ghcr.io/acme/base".into(), received: 14, total: 14 });
    observer.event(Event::Download { repository: "ghcr.io/acme/base".into(), received: 14, total: 14 });
    observer.event(Event::Download { repository: "ghcr.io/acme/base".into(), received: 14, total: 28 });
    observer.event(Event::Warning("look".into()));
    insta::assert_snapshot!(steady(&screen.rows()), @r#"
    note: from workspace
    ✓ gateway@alpine  linux/amd64  1 layer, 1 new                   9.9 MB
    ✗ authz           linux/arm64  failed
        error: first
        error: second
    ✓ ghcr.io/acme/base  received 14 B
    warning: look
    * ghcr.io/acme/web  [━━━━╸           ] 1.0 kB of 4.0 kB
    * ghcr.io/acme/base  [━━━━━━━━╸       ] 14 B of 28 B
      1 of 3 images done, 1 failed, 1 waiting
    "#);

    observer.event(Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 4_000, total: 4_000 });
    observer.event(Event::Upload { repository: "ghcr.io/acme/web".into(), sent: 4_000, total: 4_000 });
    drop(observer);
    insta::assert_snapshot!(steady(&screen.rows()), @r#"
    note: from workspace
    ✓ gateway@alpine  linux/amd64  1 layer, 1 new                   9.9 MB
    ✗ authz           linux/arm64  failed
        error: first
        error: second
    ✓ ghcr.io/acme/base  received 14 B
    warning: look
    ✓ ghcr.io/acme/web  sent 4.0 kB
    "#);
    assert!(!screen.raw().contains('\x1b'), "colours or foreign control characters");
}

#[test]
fn colours_are_there_when_wanted() {
    let screen = Screen::default();
    let observer = terminal(&screen, Style::COLOUR);
    observer.event(Event::Warning("look".into()));
    drop(observer);
    assert!(screen.raw().contains("\x1b[33mwarning:\x1b[0m look"), "{:?}", screen.raw());
}

#[test]
fn more_tasks_than_rows_do_not_overflow_the_screen() {
    let screen = Screen::default();
    let observer = terminal(&screen, Style::PLAIN);
    let tasks: Vec<Task> =
        (0..60).map(|number| task(&format!("service-{number:02}"), Platform::AMD64)).collect();
    observer.event(Event::Tasks(tasks.clone()));
    for task in &tasks {
        observer.event(Event::Phase { task: task.clone(), phase: Phase::Hashing });
        observer.event(Event::Output { task: task.clone(), text: "words".into() });
    }
    let live = observer
        .lock()
        .tasks
        .values()
        .map(|line| usize::from(line.bar.is_some()) + line.tail.len())
        .sum::<usize>();
    assert!((20..=23).contains(&live), "{live} live lines");
    for task in tasks {
        observer.event(Event::Done { task, transfer: Size(1) });
    }
    drop(observer);
    let rows = screen.rows();
    assert_eq!(rows.iter().filter(|row| row.starts_with("✓ service-")).count(), 60, "{}", rows.join("\n"));
}
