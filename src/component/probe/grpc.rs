//! The standard health check of gRPC services: `grpc.health.v1.Health/Check` over HTTP/2 without TLS (RFC 9113).
//!
//! One connection, one stream, one message each way, so that nearly all of HTTP/2 is to answer what the server wants answered.

use std::time::Duration;

use super::answer::Answer;
use super::failure::{Failure, Stream};
use super::hpack::{self, Decoder, Header};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// Settings that are sent: no push, and the default size of frames.
const ENABLE_PUSH: u16 = 2;
/// A setting that is read.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Largest frame that a server may send, as long as it is not told another.
const FRAME: usize = 16_384;
/// Longest header block before it is unpacked, in bytes.
const BLOCK: usize = 1 << 20;
/// Longest answer, in bytes; a right one has 7.
const ANSWER: usize = 4096;
/// Frames that a server may send until it has answered: one that only wants answers itself is no service.
const FRAMES: usize = 100_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `host:port`.
    pub authority: String,
    /// The service; empty for the server as a whole.
    pub service: String,
    /// The name of this program.
    pub user_agent: String,
    /// More headers.
    pub headers: Vec<Header>,
    /// How long the server should try.
    pub timeout: Duration,
}

/// Asks; the status in words.
pub fn check(stream: &mut dyn Stream, question: &Question) -> Result<String, Failure> {
    let mut hello = PREFACE.to_vec();
    let [high, low] = ENABLE_PUSH.to_be_bytes();
    put_frame(&mut hello, SETTINGS, 0, 0, &[high, low, 0, 0, 0, 0]);
    put_frame(&mut hello, HEADERS, END_HEADERS, 1, &headers(question));
    stream.write_all(&hello)?;
    stream.flush()?;
    let answer = Call::new(stream, message(&question.service)).run()?;
    answer.judge()
}

fn put_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

fn headers(question: &Question) -> Vec<u8> {
    let mut list = Vec::new();
    hpack::put_row(&mut list, 3); // :method POST
    hpack::put_row(&mut list, 6); // :scheme http
    hpack::put(&mut list, 4, "", "/grpc.health.v1.Health/Check");
    hpack::put(&mut list, 1, "", &question.authority);
    hpack::put(&mut list, 31, "", "application/grpc");
    hpack::put(&mut list, 58, "", &question.user_agent);
    hpack::put(&mut list, 0, "te", "trailers");
    // At most eight digits.
    let milliseconds = question.timeout.as_millis().clamp(1, 99_999_999);
    hpack::put(&mut list, 0, "grpc-timeout", &format!("{milliseconds}m"));
    for (name, value) in &question.headers {
        hpack::put(&mut list, 0, &name.to_ascii_lowercase(), value);
    }
    list
}

/// `HealthCheckRequest { service }` as a message of gRPC: not compressed, its length, field 1 as text.
fn message(service: &str) -> Vec<u8> {
    let mut request = Vec::new();
    if !service.is_empty() {
        request.push(0x0a);
        let mut length = service.len();
        while length >= 128 {
            request.push(0x80 | (length & 0x7f).to_le_bytes()[0]);
            length >>= 7;
        }
        request.push(length.to_le_bytes()[0]);
        request.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(request.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(&request);
    message
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Call<'s> {
    stream: &'s mut dyn Stream,
    decoder: Decoder,
    answer: Answer,
    /// The request, until it is sent.
    request: Option<Vec<u8>>,
    greeted: bool,
    /// How many bytes of the request may be sent: on the connection, and on the stream.
    windows: (i64, i64),
    initial: i64,
}

impl<'s> Call<'s> {
    fn new(stream: &'s mut dyn Stream, request: Vec<u8>) -> Self {
        let (decoder, answer, window) = (Decoder::new(), Answer::default(), 65_535);
        let (request, greeted) = (Some(request), false);
        Self { stream, decoder, answer, request, greeted, windows: (window, window), initial: window }
    }

    fn run(mut self) -> Result<Answer, Failure> {
        for _ in 0..FRAMES {
            let frame = self.frame()?;
            if !self.greeted && frame.kind != SETTINGS {
                return Err(Failure::answer("the server does not speak HTTP/2 without TLS"));
            }
            match frame.kind {
                DATA if frame.stream == 1 => {
                    let data = unpadded(&frame)?;
                    if self.answer.body.len() + data.len() > ANSWER {
                        return Err(Failure::answer("the answer is no answer of a health check"));
                    }
                    self.answer.body.extend_from_slice(data);
                    if frame.flags & END_STREAM != 0 {
                        return Ok(self.answer);
                    }
                }
                HEADERS => {
                    let list = self.header_block(&frame)?;
                    let headers = self.decoder.read(&list).map_err(Failure::answer)?;
                    if frame.stream == 1 {
                        self.answer.headers.extend(headers);
                        if frame.flags & END_STREAM != 0 {
                            return Ok(self.answer);
                        }
                    }
                }
                RST_STREAM if frame.stream == 1 => {
                    let code = number(&frame.payload)?;
                    // A server may have answered, and not want the rest of the request.
                    if code == 0 && self.answer.header("grpc-status").is_some() {
                        return Ok(self.answer);
                    }
                    return Err(Failure::answer(format!("the server gave up the call ({})", reason(code))));
                }
                SETTINGS if frame.flags & ACK == 0 => {
                    self.settings(&frame.payload);
                    self.greeted = true;
                    self.send(SETTINGS, ACK, 0, &[])?;
                }
                PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload)?,
                GOAWAY => {
                    let last = number(&frame.payload)? & 0x7fff_ffff;
                    let code = number(frame.payload.get(4..).unwrap_or_default())?;
                    if last < 1 || code != 0 {
                        let said = String::from_utf8_lossy(frame.payload.get(8..).unwrap_or_default());
                        let said = said.replace(char::is_control, "");
                        let said =
                            if said.is_empty() { reason(code) } else { format!("{}: {said}", reason(code)) };
                        return Err(Failure::answer(format!("the server ended the connection ({said})")));
                    }
                }
                WINDOW_UPDATE => {
                    let more = i64::from(number(&frame.payload)? & 0x7fff_ffff);
                    match frame.stream {
                        0 => self.windows.0 += more,
                        _ => self.windows.1 += more,
                    }
                }
                PUSH_PROMISE | CONTINUATION => {
                    return Err(Failure::answer("the server broke the rules of HTTP/2"));
                }
                _ => {}
            }
            self.send_request()?;
        }
        Err(Failure::answer("the server sends frames without end, and no answer"))
    }

    fn frame(&mut self) -> Result<Frame, Failure> {
        let mut head = [0; 9];
        let read = self.stream.read_exact(&mut head);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof if !self.greeted => {
                Failure::answer("the server closed the connection: it may not speak HTTP/2 without TLS")
            }
            _ => error.into(),
        })?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        // An answer of HTTP/1 has a length and a kind that no frame has.
        if !self.greeted && kind != SETTINGS {
            return Err(Failure::answer("the server does not speak HTTP/2 without TLS"));
        }
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if length > FRAME {
            return Err(Failure::answer("the server sent a frame larger than 16 KiB"));
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, kind, flags, stream, payload);
        self.stream.write_all(&bytes)?;
        Ok(self.stream.flush()?)
    }

    /// Sends the request as soon as the server takes it in one piece.
    fn send_request(&mut self) -> Result<(), Failure> {
        let length =
            self.request.as_ref().map_or(0, |request| i64::try_from(request.len()).unwrap_or(i64::MAX));
        if self.greeted && length <= self.windows.0.min(self.windows.1) {
            // None where it is sent.
            if let Some(request) = self.request.take() {
                self.send(DATA, END_STREAM, 1, &request)?;
            }
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) {
        for row in payload.chunks_exact(6) {
            let &[high, low, ref value @ ..] = row else { continue };
            if u16::from_be_bytes([high, low]) == INITIAL_WINDOW_SIZE
                && let Ok(value) = number(value)
            {
                let window = i64::from(value);
                self.windows.1 += window - self.initial;
                self.initial = window;
            }
        }
    }

    /// The header block that a frame begins; the frames that carry on with it come without others between them.
    fn header_block(&mut self, first: &Frame) -> Result<Vec<u8>, Failure> {
        let mut payload = unpadded(first)?;
        if first.flags & PRIORITY != 0 {
            payload =
                payload.get(5..).ok_or_else(|| Failure::answer("the server broke the rules of HTTP/2"))?;
        }
        let mut list = payload.to_vec();
        let mut ended = first.flags & END_HEADERS != 0;
        while !ended {
            let frame = self.frame()?;
            if frame.kind != CONTINUATION || frame.stream != first.stream {
                return Err(Failure::answer("the server broke the rules of HTTP/2"));
            }
            list.extend_from_slice(&frame.payload);
            if list.len() > BLOCK || frame.payload.is_empty() {
                return Err(Failure::answer("the server's header list is longer than 1 MiB"));
            }
            ended = frame.flags & END_HEADERS != 0;
        }
        Ok(list)
    }
}

/// The payload without its padding.
fn unpadded(frame: &Frame) -> Result<&[u8], Failure> {
    if frame.flags & PADDED == 0 {
        return Ok(&frame.payload);
    }
    let split = frame.payload.split_first().and_then(|(padding, rest)| {
        rest.len().checked_sub(usize::from(*padding)).map(|length| &rest[..length])
    });
    split.ok_or_else(|| Failure::answer("the server broke the rules of HTTP/2"))
}

/// The first four bytes.
fn number(bytes: &[u8]) -> Result<u32, Failure> {
    let first = bytes.first_chunk().copied();
    first.map(u32::from_be_bytes).ok_or_else(|| Failure::answer("the server broke the rules of HTTP/2"))
}

/// Words for an error code of HTTP/2 (RFC 9113, 7).
fn reason(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("code {code}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use super::*;

    struct Server {
        sends: Cursor<Vec<u8>>,
        got: Vec<u8>,
    }
    impl Read for Server {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let most = into.len().min(3);
            self.sends.read(&mut into[..most])
        }
    }
    impl Write for Server {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.got.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Stream for Server {}

    fn list(headers: &[(&str, &str)]) -> Vec<u8> {
        let mut list = Vec::new();
        headers.iter().for_each(|(name, value)| hpack::put(&mut list, 0, name, value));
        list
    }

    /// Frames of a server after its greeting: kind, flags, stream, payload.
    type Frames = Vec<(u8, u8, u32, Vec<u8>)>;

    fn ask(frames: &Frames) -> (String, Vec<u8>) {
        let mut sends = Vec::new();
        put_frame(&mut sends, SETTINGS, 0, 0, &[]);
        frames.iter().for_each(|(kind, flags, stream, payload)| {
            put_frame(&mut sends, *kind, *flags, *stream, payload);
        });
        ask_bytes(sends)
    }

    fn ask_bytes(sends: Vec<u8>) -> (String, Vec<u8>) {
        let mut server = Server { sends: Cursor::new(sends), got: Vec::new() };
        let question = Question {
            authority: "localhost:1".into(),
            service: "a.B".into(),
            user_agent: "x".into(),
            headers: vec![("X-Key".into(), "v".into())],
            timeout: Duration::from_secs(2),
        };
        let said = match check(&mut server, &question) {
            Ok(said) => said,
            Err(failure) => format!("{failure:?}"),
        };
        (said, server.got)
    }

    fn headers() -> (u8, u8, u32, Vec<u8>) {
        (HEADERS, END_HEADERS, 1, list(&[(":status", "200"), ("content-type", "application/grpc")]))
    }
    fn data(status: u8) -> (u8, u8, u32, Vec<u8>) {
        (DATA, 0, 1, vec![0, 0, 0, 0, 2, 8, status])
    }
    fn trailers(status: &str, message: &str) -> (u8, u8, u32, Vec<u8>) {
        let list = list(&[("grpc-status", status), ("grpc-message", message)]);
        (HEADERS, END_HEADERS | END_STREAM, 1, list)
    }

    /// Frames that the client sent: kind, flags and payload.
    fn sent(got: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
        let mut rest = got.strip_prefix(PREFACE).unwrap();
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
            frames.push((rest[3], rest[4], rest[9..9 + length].to_vec()));
            rest = &rest[9 + length..];
        }
        frames
    }

    #[test]
    fn the_call_is_made_as_servers_want_it() {
        let (said, got) =
            ask(&vec![(PING, 0, 0, b"12345678".to_vec()), headers(), data(1), trailers("0", "")]);
        assert_eq!(said, "SERVING");
        let frames = sent(&got);
        let kinds: Vec<(u8, u8)> = frames.iter().map(|frame| (frame.0, frame.1)).collect();
        assert_eq!(
            kinds,
            [(SETTINGS, 0), (HEADERS, END_HEADERS), (SETTINGS, ACK), (DATA, END_STREAM), (PING, ACK)]
        );
        assert_eq!(frames[3].2, b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(frames[4].2, b"12345678");
        let headers = Decoder::new().read(&frames[1].2).unwrap();
        let text: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            text,
            [
                ":method: POST",
                ":scheme: http",
                ":path: /grpc.health.v1.Health/Check",
                ":authority: localhost:1",
                "content-type: application/grpc",
                "user-agent: x",
                "te: trailers",
                "grpc-timeout: 2000m",
                "x-key: v",
            ]
        );
    }

    #[test]
    fn answers_are_judged() {
        let (one, answer) = (headers(), |status: &str, message: &str| {
            let list = list(&[(":status", "200"), ("grpc-status", status), ("grpc-message", message)]);
            (HEADERS, END_HEADERS | END_STREAM, 1, list)
        });
        for (frames, said) in [
            (vec![one.clone(), data(2), trailers("0", "")], "Unhealthy(\"NOT_SERVING\")"),
            (vec![one.clone(), data(3), trailers("0", "")], "Unhealthy(\"SERVICE_UNKNOWN\")"),
            (vec![one.clone(), data(9), trailers("0", "")], "Unhealthy(\"status 9\")"),
            (vec![one.clone(), (DATA, 0, 1, vec![0; 5]), trailers("0", "")], "Unhealthy(\"UNKNOWN\")"),
            (
                vec![one.clone(), (DATA, 0, 1, vec![1, 0, 0, 0, 2, 8, 1]), trailers("0", "")],
                "Answer(\"the answer is no answer of a health check\")",
            ),
            (
                vec![one.clone(), data(1)],
                "Answer(\"the server closed the connection in the middle of its answer\")",
            ),
            (
                vec![one.clone(), (DATA, END_STREAM, 1, data(1).3)],
                "Answer(\"the server ended the call without a status of gRPC\")",
            ),
            (
                vec![answer("5", "unknown service")],
                "Answer(\"rpc error: code = NotFound desc = unknown service (the server knows no service of that name)\")",
            ),
            (
                vec![answer("12", "")],
                "Answer(\"rpc error: code = Unimplemented desc =  (the server has no grpc.health.v1.Health)\")",
            ),
            (
                vec![answer("14", "a%20b%0A%zz%E2%82%AC")],
                "Answer(\"rpc error: code = Unavailable desc = a b %zz€\")",
            ),
            (vec![answer("99", "x")], "Answer(\"rpc error: code = 99 desc = x\")"),
            (
                vec![(HEADERS, END_HEADERS | END_STREAM, 1, list(&[(":status", "404")]))],
                "Answer(\"the server answered with the HTTP status 404, not as a gRPC server\")",
            ),
            (
                vec![(RST_STREAM, 0, 1, vec![0, 0, 0, 7])],
                "Answer(\"the server gave up the call (REFUSED_STREAM)\")",
            ),
            (
                vec![(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x0btoo many".to_vec())],
                "Answer(\"the server ended the connection (ENHANCE_YOUR_CALM: too many)\")",
            ),
            (
                vec![(GOAWAY, 0, 0, vec![0, 0, 0, 1, 0, 0, 0, 0]), one.clone(), data(1), trailers("0", "")],
                "SERVING",
            ),
            (vec![(DATA, PADDED, 1, vec![9, 0])], "Answer(\"the server broke the rules of HTTP/2\")"),
            (
                vec![(CONTINUATION, END_HEADERS, 1, vec![])],
                "Answer(\"the server broke the rules of HTTP/2\")",
            ),
            (
                vec![(HEADERS, 0, 1, vec![]), (PING, 0, 0, vec![0; 8])],
                "Answer(\"the server broke the rules of HTTP/2\")",
            ),
            (vec![(HEADERS, END_HEADERS, 1, vec![0x80])], "Answer(\"the server's header list is broken\")"),
            (
                vec![one.clone(), (DATA, 0, 1, vec![0; 5000])],
                "Answer(\"the answer is no answer of a health check\")",
            ),
            (vec![(77, 0, 0, vec![1, 2, 3]), one.clone(), data(1), trailers("0", "")], "SERVING"),
        ] {
            assert_eq!(ask(&frames).0, said);
        }
    }

    #[test]
    fn padding_priority_and_continuation_are_read() {
        let whole = headers().3;
        let (first, rest) = whole.split_at(7);
        let mut begin = vec![2, 0, 0, 0, 0, 16];
        begin.extend_from_slice(first);
        begin.extend_from_slice(&[0, 0]);
        let mut padded = vec![1];
        padded.extend(data(1).3);
        padded.push(0);
        let frames = vec![
            (HEADERS, PADDED | PRIORITY, 1, begin),
            (CONTINUATION, END_HEADERS, 1, rest.to_vec()),
            (DATA, PADDED, 1, padded),
            trailers("0", ""),
        ];
        assert_eq!(ask(&frames).0, "SERVING");
    }

    #[test]
    fn the_request_waits_for_its_window() {
        let mut sends = Vec::new();
        put_frame(&mut sends, SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        put_frame(&mut sends, PING, 0, 0, b"12345678");
        let (_, got) = ask_bytes(sends.clone());
        assert!(sent(&got).iter().all(|frame| frame.0 != DATA));
        put_frame(&mut sends, WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]);
        let (_, got) = ask_bytes(sends);
        assert_eq!(sent(&got).last().unwrap().0, DATA);
    }

    #[test]
    fn what_is_no_server_of_http2_is_told() {
        for (bytes, said) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
                "Answer(\"the server does not speak HTTP/2 without TLS\")",
            ),
            (b"\x15\x03\x01\x00\x02\x02\x46\0\0", "Answer(\"the server does not speak HTTP/2 without TLS\")"),
            (b"", "Answer(\"the server closed the connection: it may not speak HTTP/2 without TLS\")"),
            (b"\xff\xff\xff\x04\0\0\0\0\0", "Answer(\"the server sent a frame larger than 16 KiB\")"),
        ] {
            assert_eq!(ask_bytes(bytes.to_vec()).0, said);
        }
    }

    #[test]
    fn header_lists_and_frames_have_an_end() {
        let mut frames = vec![(HEADERS, 0, 1, vec![])];
        frames.extend(vec![(CONTINUATION, 0, 1, vec![0; FRAME]); 70]);
        assert_eq!(ask(&frames).0, "Answer(\"the server's header list is longer than 1 MiB\")");
        let said = ask(&vec![(PING, 0, 0, vec![0; 8]); FRAMES + 1]).0;
        assert_eq!(said, "Answer(\"the server sends frames without end, and no answer\")");
        let big = "x".repeat(12_000);
        let mut large = list(&[(":status", "200"), ("x-big", &big)]);
        large.truncate(FRAME);
        assert_eq!(ask(&vec![(HEADERS, END_HEADERS, 1, large), data(1), trailers("0", "")]).0, "SERVING");
    }
}
