use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::spec::shape::{FromText, Int, Items, Late, Origin, Reader, Schemas, Shape, Wrong, record};
use crate::spec::yaml::{Content, Node};

/// `image.healthcheck`
#[derive(Debug)]
pub(in crate::spec) enum HealthForm {
    None,
    Address(Late<ProbeAddress>),
    Map(Box<Health>),
}

record! {
    /// A health check: one of `http`, `grpc`, `tcp` and `command`, and when.
    struct Health("image.healthcheck") {
        /// Program and arguments; a result other than 0 is a failure.
        "command" => command: Items<Late<String>>,
        /// Address that the probe component asks by HTTP: `:8000/health`.
        "http" => http: Late<HttpAddress>,
        /// Address that it asks by the health protocol of gRPC: `:50051`, or with a service `:50051/Service`.
        "grpc" => grpc: Late<GrpcAddress>,
        /// Address that it connects to: `:5432`.
        "tcp" => tcp: Late<TcpAddress>,
        /// Good status numbers of `http`: `200`, `200-299,404`. Default: 200 to 399.
        "status" => status: Late<StatusNumbers>,
        /// Text that the body of `http` has to hold.
        "body" => body: Late<String>,
        /// Time between two runs.
        "interval" => interval: Late<Duration>,
        /// Longest run.
        "timeout" => timeout: Late<Duration>,
        /// Failures in a row that make it unhealthy.
        "retries" => retries: Int<1000>,
        /// Time at the beginning in which failures do not count.
        "startPeriod" => start_period: Late<Duration>,
    }
}

impl Shape for HealthForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => Health::read(node, reader).map(|map| Self::Map(Box::new(map))),
            Content::Scalar(text, _) if &**text == "none" => Some(Self::None),
            Content::Scalar(text, _) if text.contains("://") || text.contains("${") => {
                Late::read(node, reader).map(Self::Address)
            }
            _ => {
                let hint = "use `healthcheck: { command: [PROGRAM, ARGUMENT] }`, an address like `http://:8000/health`, or `none`";
                reader.wrong(node, &Self::wanted()).hint(hint);
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        let address = Late::<ProbeAddress>::schema(schemas);
        json!({ "anyOf": [Health::schema(schemas), { "const": "none" }, address] })
    }
    fn wanted() -> String {
        "`none`, an address, or a map".to_owned()
    }
}

/// Schemes that the probe speaks.
const SCHEMES: [&str; 3] = ["http", "grpc", "tcp"];

/// An address with its scheme.
#[derive(Debug, Clone)]
pub(in crate::spec) struct ProbeAddress(pub(in crate::spec) String);

impl FromText for ProbeAddress {
    const WANTED: &'static str = "an address like http://:8000/health";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if let Some(scheme) = SCHEMES.into_iter().find(|known| *known == scheme) {
            return checked(scheme, rest).map(Self);
        }
        Err(unknown_scheme(scheme))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(http|grpc|tcp)://" })
    }
}

fn unknown_scheme(scheme: &str) -> Wrong {
    if matches!(scheme, "https" | "grpcs") {
        let plain = scheme.trim_end_matches('s');
        return Wrong::new(format!("`{scheme}://`: the probe speaks no TLS")).hint(format!(
            "ask a port without TLS by {plain}://, or whether somebody listens by tcp://; or run a `command`"
        ));
    }
    Wrong::new(format!("`{scheme}://` is no address of a health check"))
        .hint("it begins with http://, grpc:// or tcp://")
}

/// An address of one scheme, which need not be written.
macro_rules! addresses {
    ($( $(#[doc = $doc:literal])* $name:ident $scheme:literal $wanted:literal, )*) => { $(
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        pub(in crate::spec) struct $name(pub(in crate::spec) String);

        impl FromText for $name {
            const WANTED: &'static str = $wanted;
            fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
                match text.split_once("://") {
                    None => checked($scheme, text).map(Self),
                    Some(($scheme, rest)) => checked($scheme, rest).map(Self),
                    Some((other, _)) if SCHEMES.contains(&other) => Err(Wrong::new(format!(
                        concat!("`{}://` in `", $scheme, "`"), other
                    )).hint(format!("write `{other}: …`"))),
                    Some((other, _)) => Err(unknown_scheme(other)),
                }
            }
            fn meant_by_number(text: &str) -> Option<String> {
                Some(format!("\":{text}\""))
            }
        }
    )* };
}

addresses! {
    /// `http`
    HttpAddress "http" "an address like \":8000/health\"",
    /// `grpc`
    GrpcAddress "grpc" "an address like \":50051/Service\"",
    /// `tcp`
    TcpAddress "tcp" "an address like \":5432\"",
}

/// The whole address. With variables of the container in it, only the probe can say what it means.
fn checked(scheme: &str, rest: &str) -> Result<String, Wrong> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Wrong::new("the address carries a user or a password")
            .hint("everybody can read a health check: let the path need none")
            .secret());
    }
    let whole = format!("{scheme}://{rest}");
    if rest.contains(|c: char| c.is_control() || c == ' ') {
        return Err(Wrong::new(format!("`{whole}` has a blank")).hint("write it as %20"));
    }
    if authority.contains('$') {
        return Ok(whole);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match port {
        None if scheme == "http" => {}
        Some(port) if is_port(port) => {}
        None => {
            return Err(
                Wrong::new(format!("`{whole}` has no port")).hint(format!("write it like {scheme}://:5000"))
            );
        }
        Some(port) => {
            return Err(Wrong::new(format!("`{whole}`: `{port}` is not a port"))
                .hint("a port is a number from 1 to 65535, or a variable of the container: `$PORT`"));
        }
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(
            Wrong::new(format!("`{whole}`: `{host}` is not a host")).hint("an IPv6 address stands in [ ]")
        );
    }
    if scheme == "tcp" && !path.trim_matches('/').is_empty() {
        return Err(Wrong::new(format!("`{whole}`: an address of tcp ends with its port")));
    }
    Ok(whole)
}

/// `status`
#[derive(Debug, Clone)]
pub(in crate::spec) struct StatusNumbers(pub(in crate::spec) String);

impl FromText for StatusNumbers {
    const WANTED: &'static str = "status numbers like \"200-299,404\"";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let number =
            |text: &str| text.parse::<u16>().ok().filter(|n| (100..600).contains(n) && text.len() == 3);
        let is_range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        };
        if text.split(',').all(is_range) {
            return Ok(Self(text.to_owned()));
        }
        Err(Wrong::new(format!("`{text}` are no status numbers"))
            .hint("write them like \"200\" or \"200-299,404\""))
    }
}
