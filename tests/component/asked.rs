//! The probe against servers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use imgpack::model::Platform;

use crate::program::{folder, here, installed, program, said};

/// A server of grpc-go, with its address, that of one without the health service, and that of one of HTTP.
struct Server {
    child: Child,
    full: String,
    bare: String,
    web: String,
}

impl Server {
    fn start() -> Option<Self> {
        let mut command = Command::new(installed("health-server")?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (full, bare, web) = (line(), line(), line());
        Some(Self { child, full, bare, web })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A server that does one thing with every connection.
fn serve(answer: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(&answer));
    address
}

/// A server of HTTP that gives one answer.
fn serve_text(text: &'static str) -> String {
    serve(move |mut stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let _ = stream.write_all(text.as_bytes());
    })
}

#[test]
fn servers_of_grpc_are_asked_on_both_platforms() {
    let Some(server) = Server::start() else { return };
    let Server { full, bare, web, .. } = &server;
    for platform in Platform::ALL {
        for (url, options, wanted) in [
            (format!("grpc://{full}"), &[][..], (0, "SERVING")),
            (format!("grpc://{full}/well"), &[], (0, "SERVING")),
            (format!("grpc://{full}/wordy"), &[], (0, "SERVING")),
            (format!("grpc://{full}/late"), &[], (0, "SERVING")),
            (format!("grpc://{full}/secret"), &["--header", "X-Key: open"], (0, "SERVING")),
            (format!("grpc://{full}/unwell"), &[], (1, "NOT_SERVING")),
            (
                format!("grpc://{full}/secret"),
                &[],
                (1, "rpc error: code = PermissionDenied desc = wrong key: 100 % wrong"),
            ),
            (
                format!("grpc://{full}/unknown"),
                &[],
                (
                    1,
                    "rpc error: code = NotFound desc = unknown service (the server knows no service of that name)",
                ),
            ),
            (
                format!("grpc://{bare}/x"),
                &[],
                (
                    1,
                    "rpc error: code = Unimplemented desc = unknown service grpc.health.v1.Health (the server has no grpc.health.v1.Health)",
                ),
            ),
            (format!("tcp://{full}"), &[], (0, "open")),
            (format!("http://{web}/health"), &["--body", "{\"ok\":true}"], (0, "status 200 OK")),
            (format!("http://{web}/"), &[], (1, "status 503 Service Unavailable: the database is away")),
        ] {
            let Some(mut probe) = program("imgpack-probe", platform) else { continue };
            let (code, text) = said(probe.args(options).arg(&url));
            assert_eq!((code, text), (wanted.0, format!("{url}: {}", wanted.1)), "{platform}");
        }
        let Some(mut probe) = program("imgpack-probe", platform) else { continue };
        let (code, text) = said(probe.args(["--timeout=300ms", &format!("grpc://{full}/slow")]));
        // The server may be the first to see that the time is over.
        let late = text.ends_with("no answer within 300 ms") || text.contains("DeadlineExceeded");
        assert!(code == 1 && late, "{code} {text}");
    }
}

#[test]
fn grpc_health_probe_is_that_program() {
    let Some(server) = Server::start() else { return };
    let probe = folder(here()).join("grpc_health_probe");
    let _ = std::os::unix::fs::symlink("imgpack-probe", &probe);
    let addr = format!("-addr={}", server.full);
    for (flags, code, text) in [
        (&["-service", "well"][..], 0, "status: SERVING"),
        (&["-service=unwell"], 4, "service unhealthy (responded with \"NOT_SERVING\")"),
        (&["-service=slow", "-rpc-timeout", "200ms"], 3, "error: health rpc failed: "),
        (
            &["-service=none"],
            3,
            "error: health rpc failed: rpc error: code = NotFound desc = unknown service",
        ),
        (&["-addr=127.0.0.1:1"], 2, "error: failed to connect service at \"127.0.0.1:1\": "),
        (&["-tls"], 1, "error: -tls is not supported: "),
    ] {
        let (found, said) = said(Command::new(&probe).arg(&addr).args(flags));
        assert!(found == code && said.starts_with(text), "{flags:?}: {found} {said}");
    }
    assert_eq!(said(&mut Command::new(&probe)), (1, "error: -addr not specified".to_owned()));
}

#[test]
fn servers_of_http_are_asked() {
    let good =
        serve_text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n");
    let moved = serve_text("HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n");
    let bad = serve_text("HTTP/1.1 503 Service Unavailable\r\n\r\nthe database is away\n");
    let garbage = serve_text("220 mail ESMTP\r\n");
    let (host, port) = good.split_once(':').unwrap();
    for platform in Platform::ALL {
        for (words, code, text) in [
            (vec![format!("http://{good}/health")], 0, "status 200 OK"),
            (vec!["--body=\"ok\":true".into(), format!("http://{good}")], 0, "status 200 OK"),
            (
                vec!["--body=no".into(), format!("http://{good}")],
                1,
                "status 200 OK, and the body has no `no`: {\"ok\":true}",
            ),
            (vec![format!("http://{moved}/")], 0, "status 301 Moved"),
            (vec!["--status=200".into(), format!("http://{moved}/")], 1, "status 301 Moved"),
            (vec![format!("http://{bad}/")], 1, "status 503 Service Unavailable: the database is away"),
            (vec![format!("http://{garbage}/")], 1, "the server does not speak HTTP/1"),
            (vec![format!("grpc://{good}/")], 1, "the server does not speak HTTP/2 without TLS"),
            (vec!["http://:$PORT/$PATH_OF".into()], 0, "status 200 OK"),
            (
                vec!["http://${HOST_OF:-none}:${NO:-1}".into()],
                1,
                "no connection to 127.0.0.1:1: Connection refused (os error 111)",
            ),
        ] {
            let Some(mut probe) = program("imgpack-probe", platform) else { continue };
            probe.env("PORT", port).env("HOST_OF", host).env("PATH_OF", "geheim");
            let (found, said) = said(probe.args(&words));
            // The address as it was written: what variables hold may be a secret.
            assert_eq!((found, said), (code, format!("{}: {text}", words.last().unwrap())), "{platform}");
        }
    }
    let mut probe = program("imgpack-probe", here()).unwrap();
    assert_eq!(
        said(probe.args([format!("http://{good}"), format!("http://{bad}/"), format!("tcp://{good}")])),
        (
            1,
            format!(
                "http://{good}: status 200 OK\nhttp://{bad}/: status 503 Service Unavailable: the database is away"
            )
        )
    );
}

#[test]
fn a_time_out_is_for_all_of_it() {
    let silent = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    // A byte whenever one asks whether it is still there.
    let slow = serve(|mut stream| while stream.write_all(b"H").is_ok() {});
    for url in [format!("http://{silent}/"), format!("grpc://{silent}/"), format!("http://{slow}/")] {
        let begin = Instant::now();
        let (code, text) = said(program("imgpack-probe", here()).unwrap().args(["--timeout", "400ms", &url]));
        let endless = text == format!("{url}: the head of the answer is longer than 256 KiB");
        assert!(code == 1 && (endless || text == format!("{url}: no answer within 400 ms")), "{text}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn mistakes_are_told_apart_from_services_that_are_not_well() {
    for (words, text) in [
        (&[][..], "imgpack-probe: no URL: see --help"),
        (&["https://x/"], "imgpack-probe: https://x/: the probe speaks no TLS, and so no https://"),
        (&["http://:$NO_SUCH/"], "imgpack-probe: http://:$NO_SUCH/: the variable NO_SUCH is not set"),
    ] {
        assert_eq!(said(program("imgpack-probe", here()).unwrap().args(words)), (2, text.to_owned()));
    }
}
