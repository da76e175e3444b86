use std::collections::VecDeque;

/// Bytes of output that are kept of one task.
const LIMIT: usize = 1 << 20;

/// The output of a task, kept for the case that it fails. Of very much output the end.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: usize,
}

impl Kept {
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > LIMIT
            && let Some(first) = self.lines.pop_front()
        {
            self.bytes -= first.len() + 1;
            self.dropped += 1;
        }
    }

    /// The last `count` lines.
    pub(super) fn tail(&self, count: usize) -> impl Iterator<Item = &str> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count)).map(String::as_str)
    }

    /// Everything, with a word on what is not there.
    pub(super) fn into_lines(self) -> Vec<String> {
        let note = (self.dropped > 0).then(|| format!("… {} lines before these", self.dropped));
        note.into_iter().chain(self.lines).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_output_the_end_is_kept() {
        let mut kept = Kept::default();
        for number in 0..200_000 {
            kept.push(format!("line {number}"));
        }
        assert_eq!(kept.tail(2).collect::<Vec<_>>(), ["line 199998", "line 199999"]);
        let lines = kept.into_lines();
        let dropped = 200_000 - (lines.len() - 1);
        assert_eq!(lines[0], format!("… {dropped} lines before these"));
        assert_eq!(lines[1], format!("line {dropped}"));
        assert!(lines.iter().map(String::len).sum::<usize>() <= LIMIT);
    }
}
