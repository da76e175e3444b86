//! Blobs that go from one registry to another.

use std::cell::RefCell;
use std::time::Duration;

use imgpack::model::Descriptor;
use imgpack::registry::{BlobSource, Pushed, Registry as _, RegistryError, Remote};

use crate::fake::{Asked, Fake, Reply};
use crate::sessions::{self, Fault, Ways, steps};
use crate::{anonymous, config, layer, repository, told};

fn content() -> Vec<u8> {
    (0..1_500_000_u32).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect()
}

/// A registry that has the blob, and knows ranges; the answers in `faults` come first.
fn source(faults: impl IntoIterator<Item = Reply>) -> Fake {
    let (content, mut faults) = (content(), faults.into_iter().collect::<Vec<_>>().into_iter());
    Fake::start(move |asked| faults.next().unwrap_or_else(|| part(&content, asked)))
}

fn part(content: &[u8], asked: &Asked) -> Reply {
    let Some(range) = asked.headers.get("range") else { return Reply::body(content) };
    let first: usize = range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap();
    let range = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
    Reply::status(206).with("Content-Range", range).and_body(&content[first..])
}

fn push_by(
    remote: &Remote,
    source: &Fake,
    target: &Fake,
    blob: &Descriptor,
) -> Result<Pushed, RegistryError> {
    let last = RefCell::new(0);
    let from = BlobSource::Registry(format!("{}/acme/base", source.address).parse().unwrap());
    let result = remote.push_blob(&repository(target), blob, &from, &|sent| *last.borrow_mut() = sent);
    if result.as_ref().is_ok_and(|pushed| pushed.sent > 0) {
        assert_eq!(last.into_inner(), blob.size);
    }
    result
}

fn push(source: &Fake, target: &Fake) -> Result<Pushed, RegistryError> {
    push_by(&anonymous(), source, target, &layer(&content()))
}

/// Where each GET of the source began.
fn begun(source: &Fake) -> Vec<String> {
    let range = |asked: &Asked| asked.headers.get("range").cloned().unwrap_or_else(|| "whole".to_owned());
    source.requests().iter().map(range).collect()
}

#[test]
fn a_blob_streams_from_one_registry_to_the_other() {
    let (source, target) = (source([]), sessions::start(Ways::default(), []));
    let pushed = push(&source, &target).unwrap();
    assert_eq!(pushed, Pushed { sent: 6_000_000, ..Pushed::default() });
    assert_eq!(steps(&target), ["HEAD", "POST", "PUT 6000000"]);
    assert_eq!(target.requests()[2].body, content());
    assert_eq!(begun(&source), ["whole"]);
}

#[test]
fn a_blob_that_the_target_has_is_not_asked_for() {
    let (source, target) = (source([]), Fake::start(|_| Reply::status(200)));
    assert_eq!(push(&source, &target).unwrap(), Pushed::EXISTED);
    assert!(source.lines().is_empty());
}

#[test]
fn a_source_that_breaks_goes_on_by_range_within_the_same_request() {
    let whole = || Reply::body(content());
    for (fault, second) in [
        (whole().cut_after(2_000_000), "bytes=2000000-"),
        (Reply::status(503), "whole"),
        (Reply::hang_up(), "whole"),
    ] {
        let (source, target) = (source([fault.clone()]), sessions::start(Ways::default(), []));
        push(&source, &target).unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(steps(&target), ["HEAD", "POST", "PUT 6000000"]);
        assert_eq!(begun(&source), ["whole", second]);
    }
    // One that knows no ranges sends everything again, of which only the rest is used.
    let faults = [whole().cut_after(2_000_000), whole()];
    let (source, target) = (source(faults), sessions::start(Ways::default(), []));
    push(&source, &target).unwrap();
    assert_eq!(target.requests()[2].body, content());
}

#[test]
fn a_target_that_breaks_gets_the_rest_and_the_source_is_read_from_there() {
    let fault = ("PUT", Fault::Cut(1_000_000, Reply::hang_up()));
    let (source, target) = (source([]), sessions::start(Ways::default(), [fault]));
    push(&source, &target).unwrap_or_else(|error| panic!("{}", told(&error)));
    let expected = ["GET", "PATCH 1000000-5194303", "PATCH 5194304-5999999", "PUT 0"];
    let all = steps(&target);
    assert_eq!(all[all.len() - 4..], expected, "{all:?}");
    // The chunks are one answer of the source.
    assert_eq!(begun(&source), ["whole", "bytes=1000000-"]);
}

#[test]
fn a_source_that_is_wrong_is_named() {
    let mut other = content();
    other[5_999_999] ^= 1;
    let longer = [content(), vec![0]].concat();
    let shorter = content()[..5_000_000].to_vec();
    for (body, expected) in [
        (other, "/acme/base has other content than its digest says"),
        (
            longer,
            "/acme/base has another size than its descriptor says: expected 6000000 bytes, found 6000001",
        ),
        (
            shorter,
            "/acme/base has another size than its descriptor says: expected 6000000 bytes, found 5000000",
        ),
    ] {
        let (source, target) = (source([Reply::body(body)]), sessions::start(Ways::default(), []));
        let error = told(&push(&source, &target).unwrap_err());
        assert!(error.contains(&format!("of {}{expected}", source.address)), "{error}");
        assert!(
            !steps(&target).iter().any(|step| step == "GET"),
            "nothing is tried again: {:?}",
            steps(&target)
        );
    }
    for (reply, expected) in [
        (Reply::status(404), "is not there: GET http://"),
        (Reply::status(403), "refuses access to acme/base: GET http://"),
    ] {
        let (source, target) = (source([reply]), sessions::start(Ways::default(), []));
        let error = told(&push(&source, &target).unwrap_err());
        assert!(error.contains(expected) && error.contains(&source.address.to_string()), "{error}");
    }
}

#[test]
fn a_source_that_falls_silent_is_asked_again() {
    let content = content();
    let blob = layer(&content);
    let mut silent = true;
    let source = Fake::start(move |asked| match std::mem::take(&mut silent) {
        true => Reply::silence(),
        false => part(&content, asked),
    });
    let target = sessions::start(Ways::default(), []);
    let mut config = config();
    config.patience.stall = Duration::from_millis(200);
    push_by(&Remote::new(config), &source, &target, &blob).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(begun(&source), ["whole", "whole"]);
    assert_eq!(steps(&target), ["HEAD", "POST", "PUT 6000000"]);
}
