use std::time::{Duration, SystemTime};

/// How often and after which waits a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all; 1 means never again.
    pub attempts: u32,
    /// The wait after the first failure; it doubles from one failure to the next.
    pub first: Duration,
    /// The longest wait, also of those that a registry asks for by `Retry-After`.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 4, first: Duration::from_millis(300), longest: Duration::from_mins(1) }
    }
}

impl Retry {
    /// The wait after failure number `failure` (from 1), `None` where the request is not tried again.
    /// `asked` is what the registry's `Retry-After` says; a longer wait than [`Self::longest`] is not begun.
    pub(super) fn wait(&self, failure: u32, asked: Option<Duration>) -> Option<Duration> {
        if failure >= self.attempts || asked.is_some_and(|asked| asked > self.longest) {
            return None;
        }
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failure - 1).unwrap_or(u32::MAX));
        Some(doubled.min(self.longest).max(asked.unwrap_or_default()))
    }
}

/// Whether an answer may be another one the next time. nginx says 499 of a connection that broke, and what stands before
/// some registries (Cloudflare) says 520 to 524 of a registry that did not answer it.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 520..=524)
}

/// `Retry-After` in both its forms (RFC 9110, 10.2.3): seconds, or a date.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    Some(SystemTime::from(at).duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry { attempts: 5, first: Duration::from_secs(1), longest: Duration::from_secs(3) };
        let seconds = |failure, asked: Option<u64>| {
            retry.wait(failure, asked.map(Duration::from_secs)).map(|wait| wait.as_secs())
        };
        for (failure, asked, expected) in [
            (1, None, Some(1)),
            (2, None, Some(2)),
            (3, None, Some(3)),
            (4, None, Some(3)),
            (5, None, None),
            (1, Some(2), Some(2)),
            (1, Some(3), Some(3)),
            (1, Some(4), None),
            (3, Some(0), Some(3)),
        ] {
            assert_eq!(seconds(failure, asked), expected, "failure {failure}, asked {asked:?}");
        }
    }

    #[test]
    fn what_passes_is_known() {
        for (status, expected) in [
            ([408, 429, 499, 500, 502, 503, 504, 520, 524], true),
            ([200, 400, 401, 403, 404, 416, 501, 505, 525], false),
        ] {
            assert!(status.iter().all(|status| is_passing(*status) == expected), "{status:?}");
        }
    }

    #[test]
    fn reads_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000); // Sun, 09 Sep 2001 01:46:40 GMT
        for (header, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 09 Sep 2001 01:47:00 GMT", Some(20)),
            ("Sun, 09 Sep 2001 01:46:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let read = retry_after(header, now).map(|wait| wait.as_secs());
            assert_eq!(read, expected, "{header}");
        }
    }
}
