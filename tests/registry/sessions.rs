//! The script of a registry that takes one blob in sessions, strictly, and fails as a test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use imgpack::model::BlobDigest;

use crate::fake::{Asked, Fake, Reply};

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// So many bytes of the body are taken and stored, then this is the answer.
    Cut(usize, Reply),
    /// The same, and the session is gone.
    Lose(usize, Reply),
    /// Nothing is stored.
    Refuse(Reply),
    /// It is done as it should be, but this is the answer.
    Answer(Reply),
    /// So many bytes are stored, and the answer says so.
    Short(usize),
    /// The body is stored twice.
    Double,
}

/// How a registry takes uploads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// OCI-Chunk-Min-Length.
    pub(crate) least: Option<usize>,
    /// Whether nobody is told where a session stands.
    pub(crate) mute: bool,
}

/// A registry in which `faults` happen: the first of them to the first request that is named so, and so on. A request is
/// named by its method.
pub(crate) fn start(ways: Ways, faults: impl IntoIterator<Item = (&'static str, Fault)>) -> Fake {
    let (cut, script) = parts(ways, faults);
    Fake::start_cutting(cut, script)
}

/// What [`start`] makes a server of.
pub(crate) fn parts(
    ways: Ways,
    faults: impl IntoIterator<Item = (&'static str, Fault)>,
) -> (impl FnMut(&Asked) -> Option<usize> + Send + 'static, impl FnMut(&Asked) -> Reply + Send + 'static) {
    let mut faults: Vec<_> = faults.into_iter().collect();
    let next: Arc<Mutex<Option<Fault>>> = Arc::default();
    let given = Arc::clone(&next);
    let mut registry = Sessions { ways, ..Sessions::default() };
    let cut = move |asked: &Asked| {
        let found = faults.first().is_some_and(|(method, _)| *method == asked.method);
        let fault = found.then(|| faults.remove(0).1);
        let taken = match &fault {
            Some(Fault::Cut(taken, _) | Fault::Lose(taken, _)) => Some(*taken),
            _ => None,
        };
        *next.lock().unwrap() = fault;
        taken
    };
    let script = move |asked: &Asked| {
        let fault = given.lock().unwrap().take();
        registry.answer(asked, fault)
    };
    (cut, script)
}

#[derive(Default)]
struct Sessions {
    ways: Ways,
    /// The newest state of the address, and the bytes.
    open: BTreeMap<String, (u64, Vec<u8>)>,
    blobs: Vec<String>,
    count: usize,
}

impl Sessions {
    fn answer(&mut self, asked: &Asked, fault: Option<Fault>) -> Reply {
        if asked.method == "HEAD" {
            let there = self.blobs.iter().any(|digest| asked.target.ends_with(digest.as_str()));
            return Reply::status(if there { 200 } else { 404 });
        }
        match fault {
            Some(Fault::Refuse(reply)) => reply,
            Some(Fault::Answer(reply)) => {
                self.serve(asked, 1, None);
                reply
            }
            Some(Fault::Short(stored)) => self.serve(asked, 1, Some(stored)),
            Some(Fault::Double) => self.serve(asked, 2, None),
            Some(Fault::Cut(_, reply)) => {
                if let Some((_, bytes)) = self.open.get_mut(address(asked).0) {
                    bytes.extend_from_slice(&asked.body);
                }
                reply
            }
            Some(Fault::Lose(_, reply)) => {
                self.open.remove(address(asked).0);
                reply
            }
            None => self.serve(asked, 1, None),
        }
    }

    /// Answers as the specification says. A session has a new address after each answer.
    fn serve(&mut self, asked: &Asked, times: usize, most: Option<usize>) -> Reply {
        let gone = Reply::status(404).and_body(r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
        if asked.method == "POST" {
            self.count += 1;
            let id = format!("/upload/{}", self.count);
            let reply = Reply::status(202).with("Location", format!("{id}?x=a%2Fb&state=0"));
            self.open.insert(id, (0, Vec::new()));
            return match self.ways.least {
                Some(least) => reply.with("OCI-Chunk-Min-Length", least),
                None => reply,
            };
        }
        if asked.method == "GET" && self.ways.mute {
            return Reply::status(405);
        }
        let (id, state) = address(asked);
        let Some((newest, bytes)) = self.open.get_mut(id) else { return gone };
        if let Some(range) = asked.headers.get("content-range") {
            let end = bytes.len() + asked.body.len();
            if *range != format!("{}-{}", bytes.len(), end - 1) {
                return Reply::status(416);
            }
        }
        // Only who asks where a session stands may have missed its newest address.
        if state != newest.to_string() && asked.method != "GET" {
            return Reply::status(400).and_body(r#"{"errors":[{"code":"OLD_ADDRESS"}]}"#);
        }
        *newest += 1;
        for _ in 0..times {
            bytes.extend_from_slice(&asked.body[..most.unwrap_or(asked.body.len())]);
        }
        let range = format!("0-{}", bytes.len().saturating_sub(1));
        match asked.method.as_str() {
            "PUT" => {
                let wanted = asked.target.split_once("digest=").unwrap().1.replace("%3A", ":");
                let bytes = self.open.remove(id).unwrap().1;
                if BlobDigest::of(&bytes).to_string() != wanted {
                    return Reply::status(400).and_body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                self.blobs.push(wanted);
                Reply::status(201)
            }
            method => Reply::status(if method == "GET" { 204 } else { 202 })
                .with("Range", range)
                .with("Location", format!("{id}?x=a%2Fb&state={newest}")),
        }
    }
}

/// Path and state of the address of a session.
fn address(asked: &Asked) -> (&str, &str) {
    let target = asked.target.split_once("&digest=").map_or(asked.target.as_str(), |(address, _)| address);
    target.split_once("?x=a%2Fb&state=").unwrap_or((target, ""))
}

/// What was asked, short: the method, a chunk's range, and how much of the body came.
pub(crate) fn steps(server: &Fake) -> Vec<String> {
    let step = |asked: &Asked| match (asked.method.as_str(), asked.headers.get("content-range")) {
        ("PATCH", Some(range)) => format!("PATCH {range}"),
        ("PUT", _) => format!("PUT {}", asked.headers["content-length"]),
        (method, _) => method.to_owned(),
    };
    server.requests().iter().map(step).collect()
}
