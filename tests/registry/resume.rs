//! Uploads that break and go on.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use imgpack::model::Descriptor;
use imgpack::registry::{BlobSource, Pushed, Registry as _, RegistryError, Remote};

use crate::fake::{Fake, Reply};
use crate::sessions::{self, Fault, Ways, steps};
use crate::{anonymous, config, layer, repository, told, with_credentials};

/// More than two chunks of 4 MiB.
const SIZE: usize = 9_000_000;
const MIB: usize = 1 << 20;

/// A blob no two parts of which are alike, in a file.
fn blob() -> &'static (Descriptor, tempfile::NamedTempFile) {
    static BLOB: OnceLock<(Descriptor, tempfile::NamedTempFile)> = OnceLock::new();
    BLOB.get_or_init(|| {
        let content: Vec<u8> =
            (0..2_250_000_u32).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        (layer(&content), file)
    })
}

fn push_by(remote: &Remote, server: &Fake) -> Result<Pushed, RegistryError> {
    let (blob, file) = blob();
    let source = BlobSource::File(file.path().into());
    let (last, fell) = (RefCell::new(0), RefCell::new(false));
    let result = remote.push_blob(&repository(server), blob, &source, &|sent| {
        assert!(sent <= SIZE as u64, "{sent}");
        *fell.borrow_mut() |= sent < *last.borrow();
        *last.borrow_mut() = sent;
    });
    if let Ok(pushed) = &result {
        assert_eq!(
            fell.into_inner(),
            pushed.resent > 0,
            "it falls back where bytes are sent again: {pushed:?}"
        );
        assert_eq!(last.into_inner(), SIZE as u64, "progress ends with the whole");
    }
    result
}

fn push(server: &Fake) -> Result<Pushed, RegistryError> {
    push_by(&anonymous(), server)
}

fn sends(server: &Fake) -> Pushed {
    let result = push(server);
    let failed = result.as_ref().err().map(told);
    assert_eq!(failed, None, "{:#?}", steps(server));
    let pushed = result.unwrap();
    assert_eq!((pushed.sent, pushed.existed, pushed.mounted), (SIZE as u64, false, false));
    pushed
}

/// What is asked of sessions after the first POST. Whether HEAD is asked again hangs on how much the network took before it
/// broke.
fn session_steps(server: &Fake) -> Vec<String> {
    steps(server).into_iter().skip(2).filter(|step| step != "HEAD").collect()
}

fn json(status: u16, code: &str) -> Reply {
    Reply::status(status).and_body(format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#))
}

#[test]
fn a_broken_body_goes_on_where_the_registry_stands() {
    for answer in [
        Reply::hang_up(),
        Reply::status(408),
        Reply::status(429).with("Retry-After", 0),
        Reply::status(500),
        Reply::status(502),
        Reply::status(503),
    ] {
        let server = sessions::start(Ways::default(), [("PUT", Fault::Cut(3 * MIB, answer.clone()))]);
        let pushed = sends(&server);
        assert!(pushed.resent <= (SIZE - 3 * MIB) as u64, "{pushed:?}");
        let resumed = ["PUT 9000000", "GET", "PATCH 3145728-7340031", "PATCH 7340032-8999999", "PUT 0"];
        assert_eq!(session_steps(&server), resumed, "{answer:?}");
    }
}

#[test]
fn what_keeps_breaking_is_sent_in_chunks() {
    let lose = || ("PUT", Fault::Lose(3 * MIB, Reply::hang_up()));
    let whole = ["PUT 9000000", "GET", "POST", "PUT 9000000", "GET", "POST"];
    let chunks = ["PATCH 0-4194303", "PATCH 4194304-8388607", "PATCH 8388608-8999999", "PUT 0"];
    let all = [&whole[..], &chunks[..]].concat();
    for mute in [false, true] {
        let server = sessions::start(Ways { mute, ..Ways::default() }, [lose(), lose()]);
        let pushed = sends(&server);
        assert!(pushed.resent > 0, "{pushed:?}");
        assert_eq!(session_steps(&server), all);
    }
}

#[test]
fn a_body_that_is_too_large_is_sent_in_chunks() {
    let large = |method| (method, Fault::Cut(0, Reply::status(413)));
    let server = sessions::start(Ways::default(), [large("PUT")]);
    sends(&server);
    let begin = ["HEAD", "POST", "PUT 9000000", "GET", "POST"];
    let chunks = ["PATCH 0-4194303", "PATCH 4194304-8388607", "PATCH 8388608-8999999", "PUT 0"];
    assert_eq!(steps(&server), [&begin[..], &chunks[..]].concat());

    // A proxy that takes a mebibyte.
    let server = sessions::start(Ways::default(), [large("PUT"), large("PATCH")]);
    sends(&server);
    let steps = steps(&server);
    assert_eq!(steps[5..9], ["PATCH 0-4194303", "GET", "POST", "PATCH 0-1048575"]);
    assert_eq!(steps.iter().filter(|step| step.starts_with("PATCH ")).count(), 10);

    // And one that takes nothing.
    let all = [large("PUT"), large("PATCH"), large("PATCH"), large("PATCH"), large("PATCH")];
    let server = sessions::start(Ways::default(), all);
    let error = told(&push(&server).unwrap_err());
    assert!(error.starts_with("PATCH http://127.0.0.1:") && error.contains("answered with 413"), "{error}");
}

#[test]
fn chunks_are_as_long_as_the_registry_wants_them() {
    let ways = Ways { least: Some(6_000_000), ..Ways::default() };
    let server = sessions::start(ways, [("PUT", Fault::Cut(1_000_000, Reply::hang_up()))]);
    sends(&server);
    assert_eq!(
        session_steps(&server)[1..],
        ["GET", "PATCH 1000000-6999999", "PATCH 7000000-8999999", "PUT 0"]
    );
}

/// After a PUT that broke at 1 000 000 bytes.
fn resumed(faults: impl IntoIterator<Item = (&'static str, Fault)>) -> Fake {
    let first = ("PUT", Fault::Cut(1_000_000, Reply::hang_up()));
    sessions::start(Ways::default(), std::iter::once(first).chain(faults))
}

#[test]
fn a_chunk_is_never_sent_again_before_the_registry_was_asked() {
    let (first, second) = ("PATCH 1000000-5194303", "PATCH 5194304-8999999");
    for (fault, expected) in [
        // Stored, and the answer lost: it must not be stored twice.
        (Fault::Answer(Reply::hang_up()), vec!["GET", first, "GET", second, "PUT 0"]),
        (Fault::Answer(Reply::status(504)), vec!["GET", first, "GET", second, "PUT 0"]),
        (Fault::Refuse(Reply::hang_up()), vec!["GET", first, "GET", first, second, "PUT 0"]),
        (Fault::Refuse(Reply::status(416)), vec!["GET", first, "GET", first, second, "PUT 0"]),
        (
            Fault::Cut(2_000_000, Reply::hang_up()),
            vec!["GET", first, "GET", "PATCH 3000000-7194303", "PATCH 7194304-8999999", "PUT 0"],
        ),
        // Less is stored than was sent.
        (
            Fault::Short(500_000),
            vec!["GET", first, "PATCH 1500000-5694303", "PATCH 5694304-8999999", "PUT 0"],
        ),
        // The session is gone, or holds what was never sent.
        (Fault::Refuse(json(404, "BLOB_UPLOAD_UNKNOWN")), vec!["GET", first, "POST", "PUT 9000000"]),
        (Fault::Refuse(json(400, "BLOB_UPLOAD_INVALID")), vec!["GET", first, "POST", "PUT 9000000"]),
        (Fault::Double, vec!["GET", first, "POST", "PUT 9000000"]),
        // No chunks here.
        (Fault::Refuse(Reply::status(405)), vec!["GET", first, "POST", "PUT 9000000"]),
    ] {
        let server = resumed([("PATCH", fault.clone())]);
        sends(&server);
        assert_eq!(session_steps(&server)[1..], expected, "{fault:?}");
    }
}

#[test]
fn a_chunk_that_is_not_answered_is_asked_for() {
    let server = resumed([("PATCH", Fault::Answer(Reply::silence()))]);
    let mut config = config();
    config.patience.answer = Duration::from_secs(1);
    push_by(&Remote::new(config), &server).unwrap();
    assert_eq!(steps(&server)[4..], ["PATCH 1000000-5194303", "GET", "PATCH 5194304-8999999", "PUT 0"]);
}

#[test]
fn a_blob_that_is_stored_whatever_the_answer_says_is_not_sent_again() {
    for answer in [Reply::status(500), Reply::hang_up(), Reply::status(504)] {
        let server = sessions::start(Ways::default(), [("PUT", Fault::Answer(answer.clone()))]);
        assert_eq!(sends(&server).resent, 0);
        assert_eq!(steps(&server), ["HEAD", "POST", "PUT 9000000", "HEAD"], "{answer:?}");
        // The last request after chunks.
        let server = resumed([("PUT", Fault::Answer(answer.clone()))]);
        sends(&server);
        assert_eq!(steps(&server)[5..], ["PATCH 5194304-8999999", "PUT 0", "HEAD"], "{answer:?}");
    }
    // All bytes are there, only the end is missing.
    let server = resumed([("PUT", Fault::Refuse(Reply::status(503)))]);
    sends(&server);
    assert_eq!(steps(&server)[5..], ["PATCH 5194304-8999999", "PUT 0", "HEAD", "GET", "PUT 0"]);
    let server = sessions::start(Ways::default(), [("PUT", Fault::Cut(SIZE, Reply::hang_up()))]);
    sends(&server);
    assert_eq!(steps(&server), ["HEAD", "POST", "PUT 9000000", "HEAD", "GET", "PUT 0"]);
}

#[test]
fn bytes_that_were_put_together_wrongly_are_sent_anew() {
    let server = resumed([("PUT", Fault::Refuse(json(400, "DIGEST_INVALID")))]);
    sends(&server);
    assert_eq!(steps(&server)[6..], ["PUT 0", "POST", "PUT 9000000"]);
}

#[test]
fn a_registry_that_stores_nothing_is_named() {
    let faults = || std::iter::repeat_n(("PATCH", Fault::Short(0)), 50);
    let server = resumed(faults());
    let error = told(&push(&server).unwrap_err());
    assert!(error.starts_with("PATCH http://127.0.0.1:"), "{error}");
    assert!(error.ends_with("was answered wrongly: it stays at 1000000 of 9000000 bytes"), "{error}");
    assert_eq!(steps(&server).iter().filter(|step| step.starts_with("PATCH")).count(), 3);

    let faults = std::iter::repeat_n(("PUT", Fault::Lose(MIB, Reply::hang_up())), 2)
        .chain(std::iter::repeat_n(("PATCH", Fault::Lose(MIB, Reply::hang_up())), 50));
    let server = sessions::start(Ways::default(), faults);
    let error = told(&push(&server).unwrap_err());
    assert!(error.starts_with("the connection broke: PATCH http://127.0.0.1:"), "{error}");
    assert_eq!(steps(&server).iter().filter(|step| step.starts_with('P')).count(), 6, "three sessions");
}

#[test]
fn a_registry_that_forgets_sessions_gets_the_blob_when_the_line_holds_long_enough() {
    // Twice whole, and then a chunk comes over before each break.
    let whole = || std::iter::repeat_n(("PUT", Fault::Lose(3 * MIB, Reply::hang_up())), 2);
    let begun = [("PATCH", Fault::Short(4 * MIB)), ("PATCH", Fault::Lose(MIB, Reply::hang_up()))];
    let faults = |times| whole().chain(std::iter::repeat_n(begun.clone(), times).flatten());
    let server = sessions::start(Ways::default(), faults(9));
    sends(&server);
    assert_eq!(steps(&server).iter().filter(|step| *step == "POST").count(), 12);

    // It is not begun for ever.
    let server = sessions::start(Ways::default(), faults(50));
    let error = told(&push(&server).unwrap_err());
    assert!(error.starts_with("the connection broke: PATCH http://127.0.0.1:"), "{error}");
    assert_eq!(steps(&server).iter().filter(|step| *step == "POST").count(), 20);
}

#[test]
fn a_registry_that_stores_too_much_is_named() {
    let faults = [("PUT", Fault::Cut(1_000_000, Reply::hang_up())), ("PATCH", Fault::Double)];
    let server = sessions::start(Ways::default(), std::iter::repeat_n(faults, 9).flatten());
    let error = told(&push(&server).unwrap_err());
    assert!(error.starts_with("PATCH http://127.0.0.1:"), "{error}");
    assert!(error.ends_with("it holds 9388608 bytes of 5194304 that were sent"), "{error}");
}

#[test]
fn a_wait_that_is_too_long_is_not_begun() {
    let answer = Reply::status(503).with("Retry-After", 3600);
    let server = resumed([("PATCH", Fault::Refuse(answer))]);
    let error = told(&push(&server).unwrap_err());
    assert!(error.ends_with("hint: the registry asks to come back in 3600 s"), "{error}");
    assert_eq!(steps(&server).len(), 5);
}

#[test]
fn every_location_keeps_the_rules() {
    let elsewhere = |to: &str| Reply::status(202).with("Range", "0-5194303").with("Location", to);
    let server = resumed([("PATCH", Fault::Answer(elsewhere("http://10.0.0.1/put?sig=geheim")))]);
    let error = told(&push(&server).unwrap_err());
    assert!(error.contains("names an address that is not followed: PATCH http://127.0.0.1:"), "{error}");
    assert!(error.contains("led to http://10.0.0.1/put?…"), "{error}");
    assert_eq!(steps(&server).len(), 5);
}

#[test]
fn another_host_gets_chunks_and_no_credentials() {
    let first = ("PUT", Fault::Cut(1_000_000, Reply::hang_up()));
    let store = sessions::start(Ways::default(), [first]);
    // The session is begun there, as the registry would.
    let location = "/upload/1?x=a%2Fb&state=0";
    let mut stream = std::net::TcpStream::connect(store.address).unwrap();
    stream.write_all(b"POST /begin HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let location = format!("http://localhost:{}{location}", store.address.port());
    let server =
        Fake::start(move |asked| match (asked.headers.get("authorization"), asked.method.as_str()) {
            (None, _) => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
            (_, "POST") => Reply::status(202).with("Location", &location),
            _ => Reply::status(404),
        });
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
    push_by(&with_credentials(directory.path(), &json), &server).unwrap();
    let asked = steps(&store);
    assert_eq!(asked[1..], ["PUT 9000000", "GET", "PATCH 1000000-5194303", "PATCH 5194304-8999999", "PUT 0"]);
    assert!(store.requests().iter().all(|asked| !asked.headers.contains_key("authorization")));
}

#[test]
fn a_token_that_runs_out_between_chunks_is_renewed() {
    let first = ("PUT", Fault::Cut(1_000_000, Reply::hang_up()));
    let (cut, mut script) = sessions::parts(Ways::default(), [first]);
    // A token lasts for one chunk.
    let mut chunks = 0;
    let server = Fake::start_cutting(cut, move |asked| {
        if asked.target.starts_with("/token") {
            return Reply::body(format!(r#"{{"token":"t{chunks}"}}"#));
        }
        if asked.bearer() == Some(&format!("t{chunks}")) {
            chunks += u32::from(asked.method == "PATCH");
            return script(asked);
        }
        let host = &asked.headers["host"];
        Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
    });
    push(&server).unwrap_or_else(|error| panic!("{}\n{:#?}", told(&error), server.lines()));
    let line = |asked: &crate::fake::Asked| {
        let what = if asked.target.starts_with("/token") { "token" } else { &asked.method };
        format!("{what} {}", asked.bearer().unwrap_or("-"))
    };
    let lines: Vec<_> = server.requests().iter().map(line).collect();
    let begin = ["HEAD -", "token -", "HEAD t0", "POST t0", "PUT t0", "GET t0", "PATCH t0"];
    let renewed = ["PATCH t0", "token -", "GET t1", "PATCH t1", "PUT t1", "token -", "GET t2", "PUT t2"];
    assert_eq!(lines, [&begin[..], &renewed[..]].concat());
}
