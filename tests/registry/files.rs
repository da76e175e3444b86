//! Files of the network by their addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use imgpack::model::BlobDigest;
use imgpack::registry::{ArchiveFile, Registry as _, RegistryError};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, told};

/// Fetches `/file` of the server: its bytes, which are what they say to be.
fn fetch(server: &Fake, expected: Option<BlobDigest>) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let (digest, size) =
        anonymous().file(&format!("http://{}/file", server.address), expected, &mut bytes)?;
    assert_eq!((digest, size), (BlobDigest::of(&bytes), bytes.len() as u64));
    Ok(bytes)
}

fn without_address(server: &Fake, error: &RegistryError) -> String {
    told(error).replace(&server.address.to_string(), "[server]")
}

/// Answers the first request with the first reply, and so on; the last stays.
fn one_after_the_other(replies: Vec<Reply>) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut count = 0;
    move |_| {
        count += 1;
        replies[(count - 1).min(replies.len() - 1)].clone()
    }
}

#[test]
fn a_file_comes_whole_and_without_credentials() {
    let server = Fake::start(|_| Reply::body("content"));
    assert_eq!(fetch(&server, None).unwrap(), b"content");
    assert_eq!(fetch(&server, Some(BlobDigest::of(b"content"))).unwrap(), b"content");
    assert_eq!(server.lines(), ["GET /file", "GET /file"]);
    let asked = &server.requests()[0];
    assert_eq!(asked.headers.get("accept-encoding").map(String::as_str), Some("identity"));
    let empty = Fake::start(|_| Reply::body(""));
    assert_eq!(fetch(&empty, None).unwrap(), b"");
}

#[test]
fn another_content_than_the_pinned_one() {
    let server = Fake::start(|_| Reply::body("other"));
    let error = fetch(&server, Some(BlobDigest::of(b"content"))).unwrap_err();
    insta::assert_snapshot!(without_address(&server, &error), @r"
    http://[server]/file has other content than is pinned: expected sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73, found sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa
    hint: if the new content is meant, pin it with `imgpack lock --upgrade http://[server]/file`
    ");
}

#[test]
fn a_server_that_is_busy_says_for_how_long() {
    let busy = || Reply::status(429).with("retry-after", 1);
    let server = Fake::start(one_after_the_other(vec![busy(), Reply::body("content")]));
    let begun = std::time::Instant::now();
    assert_eq!(fetch(&server, None).unwrap(), b"content");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    // Longer than anybody waits here.
    let server = Fake::start(|_| Reply::status(429).with("retry-after", 3600));
    fetch(&server, None).unwrap_err();
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn refusals_are_told() {
    for (reply, tries, said) in [
        (
            Reply::status(404),
            1,
            "http://[server]/file was answered with 404\nhint: the address may be misspelt, or the file be gone",
        ),
        (
            Reply::status(403),
            1,
            "http://[server]/file was answered with 403\n\
             hint: files are fetched without credentials; an image of a registry can have them",
        ),
        (Reply::status(503), 3, "http://[server]/file was answered with 503"),
        (
            Reply::status(200).with("content-length", 5_u64 << 30),
            1,
            "http://[server]/file is larger than 4294967296 bytes, the most that is taken",
        ),
        (Reply::status(302), 1, "http://[server]/file was answered wrongly: a redirect leads nowhere"),
        (
            Reply::status(302).with("location", "/file"),
            6,
            "http://[server]/file was answered wrongly: it leads from one address to the next without end",
        ),
        (
            Reply::status(302).with("location", "http://10.0.0.1/?geheim"),
            1,
            "http://[server]/file leads to http://10.0.0.1/?…, and http is spoken only with this machine",
        ),
        (
            Reply::status(302).with("location", "https://u:geheim@example.com/"),
            1,
            "http://[server]/file leads to https://example.com/, which carries a user or a password",
        ),
    ] {
        let server = Fake::start(move |_| reply.clone());
        let error = fetch(&server, None).unwrap_err();
        assert_eq!(without_address(&server, &error), said);
        assert_eq!(server.lines().len(), tries, "{said}");
    }
}

#[test]
fn a_redirect_is_followed_by_the_rules() {
    let other = Fake::start(|_| Reply::body("content"));
    let to = format!("http://{}/there?sig=geheim", other.address);
    let server = Fake::start(move |_| Reply::status(302).with("location", &to));
    assert_eq!(fetch(&server, None).unwrap(), b"content");
    assert_eq!(other.lines(), ["GET /there?sig=geheim"]);
    drop(other);
    let error = fetch(&server, None).unwrap_err();
    assert!(matches!(error, RegistryError::File(_)), "{}", told(&error));
}

#[test]
fn only_addresses_of_the_rules_are_asked() {
    for (address, said) in [
        ("http://example.com/x", "it is an address and http is spoken only with this machine"),
        ("ftp://example.com/x", "it is an address which is neither https nor http"),
        ("https://u:geheim@example.com/x", "it is an address which carries a user or a password"),
        ("no address", "it is an address that cannot be read"),
    ] {
        let error = anonymous().file(address, None, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().ends_with(said), "{error}");
    }
}

/// The rest of `content` from the byte that was asked for.
fn part(asked: &Asked, content: &str) -> Reply {
    let first = asked.headers["range"].strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap();
    let first: usize = first.parse().unwrap();
    let range = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
    Reply::status(206).with("content-range", range).and_body(&content[first..])
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    const CONTENT: &str = "0123456789";
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = Fake::start(move |asked| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::body(CONTENT).with("etag", "\"1\"").cut_after(4),
        // A range is not for every server.
        1 => Reply::body(CONTENT).with("etag", "\"1\"").cut_after(7),
        _ => part(asked, CONTENT),
    });
    assert_eq!(fetch(&server, None).unwrap(), CONTENT.as_bytes());
    let asked = server.requests();
    let header = |index: usize, name: &str| asked[index].headers.get(name).map(String::as_str);
    assert_eq!(
        (header(0, "range"), header(1, "range"), header(2, "range")),
        (None, Some("bytes=4-"), Some("bytes=7-"))
    );
    assert_eq!((header(0, "if-range"), header(2, "if-range")), (None, Some("\"1\"")));
}

#[test]
fn parts_of_two_contents_are_never_joined() {
    // It changed meanwhile, and says so.
    let changed = vec![
        Reply::body("0123456789").with("etag", "\"1\"").cut_after(4),
        Reply::body("abcdefghij").with("etag", "\"2\""),
    ];
    let server = Fake::start(one_after_the_other(changed));
    let error = fetch(&server, None).unwrap_err();
    assert_eq!(
        without_address(&server, &error),
        "http://[server]/file was answered wrongly: it changed while it was read"
    );
    // Nothing says which content it is: what came is not gone on with.
    let server = Fake::start(one_after_the_other(vec![Reply::body("0123456789").cut_after(4)]));
    let error = fetch(&server, None).unwrap_err();
    assert!(
        without_address(&server, &error)
            .starts_with("the connection broke while http://[server]/file was read")
    );
    assert_eq!(server.lines().len(), 1);
    // With a digest nothing else is needed.
    let parts = vec![Reply::body("0123456789").cut_after(4), Reply::body("0123456789")];
    let server = Fake::start(one_after_the_other(parts));
    assert_eq!(fetch(&server, Some(BlobDigest::of(b"0123456789"))).unwrap(), b"0123456789");
}

#[test]
fn over_tls_a_certificate_has_to_be_good() {
    let server = Fake::start_tls(|_| Reply::body("content"));
    let address = format!("https://localhost:{}/file", server.address.port());
    let error = anonymous().file(&address, None, &mut Vec::new()).unwrap_err();
    let said = told(&error);
    assert!(said.starts_with(&format!("no secure connection to localhost, for {address}\n")), "{said}");
    assert!(said.contains("hint: if localhost has a certificate of your own CA"), "{said}");
}

/// Fetches `/file` of the server as one of an archive.
fn fetch_of_archive(server: &Fake, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let address = &format!("http://{}/file", server.address);
    anonymous().archive_file(&ArchiveFile { address, expected: None, limit, proxy: None }, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_file_of_an_archive_is_as_large_as_it_may_be() {
    let server = Fake::start(|_| Reply::body("content"));
    assert_eq!(fetch_of_archive(&server, 7).unwrap(), b"content");
    let error = fetch_of_archive(&server, 6).unwrap_err();
    let said = "http://[server]/file is larger than 6 bytes, the most that is taken";
    assert_eq!(without_address(&server, &error), said);
    // Without a length it is noticed on the way.
    let server = Fake::start(|_| Reply::body("content").closed_after(7));
    assert_eq!(without_address(&server, &fetch_of_archive(&server, 6).unwrap_err()), said);
}

#[test]
fn a_file_of_an_archive_goes_by_way_of_its_proxy_and_over_http() {
    // The proxy is asked with the whole address, and for a host that is nowhere.
    let proxy = Fake::start(|asked| match asked.target.as_str() {
        "http://archive.example/file" => Reply::status(302).with("location", "http://mirror.example/file"),
        "http://mirror.example/file" => Reply::body("content"),
        _ => Reply::status(404),
    });
    let address = "http://archive.example/file";
    let by = &format!("http://{}", proxy.address);
    let mut bytes = Vec::new();
    let file = ArchiveFile { address, expected: None, limit: 100, proxy: Some(by) };
    anonymous().archive_file(&file, &mut bytes).unwrap();
    assert_eq!(bytes, b"content");
    let mut said = String::new();
    for (address, location) in [
        ("ftp://a.example/x", ""),
        ("http://me:geheim@a.example/x", ""),
        ("http://a.example/x", "http://127.0.0.1:1/"),
    ] {
        let proxy = Fake::start(move |_| Reply::status(302).with("location", location));
        let file = ArchiveFile {
            address,
            expected: None,
            limit: 100,
            proxy: Some(&format!("http://{}", proxy.address)),
        };
        let error = anonymous().archive_file(&file, &mut Vec::new()).unwrap_err();
        said += &(without_address(&proxy, &error) + "\n");
    }
    insta::assert_snapshot!(said, @r"
    ftp://a.example/x cannot be fetched: it is an address which is neither https nor http
    http://a.example/x cannot be fetched: it is an address which carries a user or a password
    http://a.example/x leads to http://127.0.0.1:1/, which is nearer to this machine than the registry is
    ");
}
