//! One request of HTTP/1.1, and as much of the answer as is wanted.

use std::io::{BufRead as _, BufReader, Read as _};

use super::failure::{Failure, Stream};

/// Longest head of an answer, in bytes.
const HEAD: u64 = 256 << 10;

/// As much of a body as is looked through, in bytes.
const BODY: usize = 1 << 20;

/// As much of a body as is shown where the status is bad, in bytes.
const SHOWN: usize = 200;

/// What is asked, and what it takes for a good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Value of the header `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// More headers, which replace those of the same name.
    pub headers: Vec<(String, String)>,
    /// Status numbers that are good.
    pub status: Vec<(u16, u16)>,
    /// A text that the body has to hold.
    pub body: Option<String>,
}

/// Reads status numbers as `200`, `200-299`, `200-299,404`.
pub fn status_ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let number =
        |text: &str| text.parse().ok().filter(|number| (100..600).contains(number) && text.len() == 3);
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
    };
    text.split(',').map(range).collect()
}

/// Asks; the words for a good answer.
pub fn check(stream: &mut dyn Stream, question: &Question) -> Result<String, Failure> {
    stream.write_all(request(question).as_bytes())?;
    stream.flush()?;
    let mut reader = BufReader::new(stream);
    let head = loop {
        let head = Head::read(&mut reader)?;
        // 101 is an end, other numbers of this kind come before the answer.
        if !(100..200).contains(&head.status) || head.status == 101 {
            break head;
        }
    };
    let status = format!("{} {}", head.status, head.reason).trim_end().to_owned();
    let good = question.status.iter().any(|(first, last)| (*first..=*last).contains(&head.status));
    if !good {
        // What the service says of itself, as far as it does.
        let body = read_body(&mut reader, &head, SHOWN).unwrap_or_default();
        let said = shown(&body);
        let colon = if said.is_empty() { "" } else { ": " };
        return Err(Failure::Unhealthy(format!("status {status}{colon}{said}")));
    }
    if let Some(wanted) = &question.body {
        let body = read_body(&mut reader, &head, BODY)?;
        if !body.windows(wanted.len().max(1)).any(|window| window == wanted.as_bytes()) && !wanted.is_empty()
        {
            return Err(Failure::Unhealthy(format!(
                "status {status}, and the body has no `{wanted}`: {}",
                shown(&body)
            )));
        }
    }
    Ok(format!("status {status}"))
}

fn request(question: &Question) -> String {
    let mut text = format!("GET {} HTTP/1.1\r\n", question.path);
    let own = [
        ("Host", question.host.as_str()),
        ("User-Agent", "imgpack-probe/1"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ];
    let is_said = |name: &str| question.headers.iter().any(|(said, _)| said.eq_ignore_ascii_case(name));
    let said = question.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().filter(|(name, _)| !is_said(name)).chain(said) {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// The beginning of a body in one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "")
}

struct Head {
    status: u16,
    reason: String,
    chunked: bool,
    length: Option<usize>,
}

type Reader<'s> = BufReader<&'s mut dyn Stream>;

impl Head {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Failure> {
        let mut left = HEAD;
        let first = line(reader, &mut left)?;
        let (version, rest) = first.split_once(' ').unwrap_or((&first, ""));
        let (number, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = number.parse().ok().filter(|status| (100..600).contains(status) && number.len() == 3);
        let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
            return Err(Failure::answer("the server does not speak HTTP/1"));
        };
        let reason = reason.replace(char::is_control, "");
        let mut head = Self { status, reason, chunked: false, length: None };
        loop {
            let line = line(reader, &mut left)?;
            if line.is_empty() {
                return Ok(head);
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.trim().to_ascii_lowercase().ends_with("chunked");
            } else if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse().ok();
            }
        }
    }
}

/// A line without its end; `left` bytes may come.
fn line(reader: &mut Reader<'_>, left: &mut u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let is_first = *left == HEAD;
    let read = reader.by_ref().take(*left).read_until(b'\n', &mut bytes)?;
    *left -= u64::try_from(read).unwrap_or(*left);
    if bytes.last() != Some(&b'\n') {
        return Err(Failure::answer(if *left == 0 {
            "the head of the answer is longer than 256 KiB"
        } else if read == 0 && is_first {
            "the server closed the connection without an answer"
        } else {
            "the server closed the connection in the middle of its answer"
        }));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())
}

/// The beginning of the body, at most `most` bytes.
fn read_body(reader: &mut Reader<'_>, head: &Head, most: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    if [204, 304].contains(&head.status) {
        return Ok(body);
    }
    let more = |body: &[u8]| u64::try_from(most - body.len().min(most)).unwrap_or(0);
    if !head.chunked {
        let length = head.length.map_or(most, |length| length.min(most));
        reader.by_ref().take(u64::try_from(length).unwrap_or(0)).read_to_end(&mut body)?;
        if head.length.is_some() && body.len() < length {
            return Err(Failure::answer("the server closed the connection in the middle of its answer"));
        }
        return Ok(body);
    }
    while body.len() < most {
        let mut left = 4096;
        let size = line(reader, &mut left)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| Failure::answer("the body of the answer is not in chunks, as its head says"))?;
        let wanted = size.min(more(&body));
        if reader.by_ref().take(wanted).read_to_end(&mut body)?
            < usize::try_from(wanted).unwrap_or(usize::MAX)
        {
            return Err(Failure::answer("the server closed the connection in the middle of its answer"));
        }
        if size == 0 || wanted < size {
            break;
        }
        line(reader, &mut left)?;
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use super::*;

    struct Server(Cursor<Vec<u8>>, Vec<u8>);
    impl Read for Server {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            // A byte at a time, as networks may.
            let most = into.len().min(1);
            self.0.read(&mut into[..most])
        }
    }
    impl Write for Server {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Stream for Server {}

    fn question(body: Option<&str>) -> Question {
        Question {
            host: "localhost:80".into(),
            path: "/health?a=b".into(),
            headers: Vec::new(),
            status: vec![(200, 399)],
            body: body.map(str::to_owned),
        }
    }

    fn ask(answer: &str, question: &Question) -> String {
        let mut server = Server(Cursor::new(answer.as_bytes().to_vec()), Vec::new());
        match check(&mut server, question) {
            Ok(said) => said,
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn answers_are_judged() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(300 << 10));
        let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200 << 10));
        for (answer, body, said) in [
            ("HTTP/1.1 200 OK\r\n\r\n", None, "status 200 OK"),
            ("HTTP/1.0 204\r\n\r\n", None, "status 204"),
            ("HTTP/1.1 301 Moved\nLocation: /x\n\n", None, "status 301 Moved"),
            (&large, None, "status 200 OK"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                None,
                "status 200 OK",
            ),
            ("HTTP/1.1 503 No\r\n\r\n", None, "Unhealthy(\"status 503 No\")"),
            (
                "HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\ndb\n\u{1b}down\n",
                None,
                "Unhealthy(\"status 503 No: db down\")",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}",
                Some("\"ok\":true"),
                "status 200 OK",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", Some("the end"), "status 200 OK"),
            (
                "HTTP/1.1 200 OK\r\n\r\nno",
                Some("yes"),
                "Unhealthy(\"status 200 OK, and the body has no `yes`: no\")",
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Some(""), "status 200 OK"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                Some("hello"),
                "status 200 OK",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel",
                Some("x"),
                "Answer(\"the server closed the connection in the middle of its answer\")",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                Some("x"),
                "Answer(\"the body of the answer is not in chunks, as its head says\")",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
                Some("x"),
                "Answer(\"the server closed the connection in the middle of its answer\")",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx",
                Some("x"),
                "Answer(\"the server closed the connection in the middle of its answer\")",
            ),
            ("", None, "Answer(\"the server closed the connection without an answer\")"),
            (
                "HTTP/1.1 200 OK\r\nX:",
                None,
                "Answer(\"the server closed the connection in the middle of its answer\")",
            ),
            ("SSH-2.0-OpenSSH_9.2\r\n", None, "Answer(\"the server does not speak HTTP/1\")"),
            ("\u{15}\u{3}\n", None, "Answer(\"the server does not speak HTTP/1\")"),
            ("HTTP/1.1 2000 OK\r\n\r\n", None, "Answer(\"the server does not speak HTTP/1\")"),
            (&long, None, "Answer(\"the head of the answer is longer than 256 KiB\")"),
        ] {
            assert_eq!(ask(answer, &question(body)), said, "{}", &answer[..answer.len().min(200)]);
        }
    }

    #[test]
    fn headers_are_sent_once() {
        let mut question = question(None);
        question.headers = vec![("host".into(), "shop.example".into()), ("X-A".into(), "1".into())];
        assert_eq!(
            request(&question),
            "GET /health?a=b HTTP/1.1\r\nUser-Agent: imgpack-probe/1\r\nAccept: */*\r\nConnection: close\r\n\
             host: shop.example\r\nX-A: 1\r\n\r\n"
        );
    }

    #[test]
    fn status_numbers_are_read() {
        assert_eq!(status_ranges("200-299,404"), Some(vec![(200, 299), (404, 404)]));
        for text in ["", "20", "200-", "300-200", "2xx", "200,,201", "700", "0200"] {
            assert_eq!(status_ranges(text), None, "{text}");
        }
    }
}
