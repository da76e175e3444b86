//! What a server of gRPC says to a health check.

use super::failure::Failure;
use super::hpack::Header;

/// What came on the stream.
#[derive(Default)]
pub struct Answer {
    /// The first header list, and the trailers after the message where there are any.
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The last value: trailers stand after headers.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What the answer says.
    pub fn judge(&self) -> Result<String, Failure> {
        let status = self.header(":status").unwrap_or_default();
        if status != "200" {
            return Err(Failure::answer(format!(
                "the server answered with the HTTP status {status}, not as a gRPC server"
            )));
        }
        match self.header("grpc-status") {
            Some("0") => {}
            Some(code) => {
                let said = unescaped(self.header("grpc-message").unwrap_or_default());
                return Err(Failure::Answer(rpc_error(code, &said)));
            }
            None => return Err(Failure::answer("the server ended the call without a status of gRPC")),
        }
        match serving_status(&self.body) {
            Some(1) => Ok("SERVING".to_owned()),
            Some(0) => Err(Failure::Unhealthy("UNKNOWN".to_owned())),
            Some(2) => Err(Failure::Unhealthy("NOT_SERVING".to_owned())),
            Some(3) => Err(Failure::Unhealthy("SERVICE_UNKNOWN".to_owned())),
            Some(other) => Err(Failure::Unhealthy(format!("status {other}"))),
            None => Err(Failure::answer("the answer is no answer of a health check")),
        }
    }
}

/// `code = NotFound desc = unknown service`, as gRPC's own programs say it.
fn rpc_error(code: &str, said: &str) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = code.parse::<usize>().ok().and_then(|code| NAMES.get(code)).copied();
    let hint = match name {
        Some("NotFound") => " (the server knows no service of that name)",
        Some("Unimplemented") => " (the server has no grpc.health.v1.Health)",
        _ => "",
    };
    format!("rpc error: code = {} desc = {said}{hint}", name.unwrap_or(code))
}

/// Percent signs and two digits become bytes.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let escaped = code.filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).replace(char::is_control, " ")
}

/// `HealthCheckResponse.status` of one message that is not compressed: field 1, a number; 0 where it is left out.
fn serving_status(body: &[u8]) -> Option<u64> {
    let (head, message) = body.split_first_chunk::<5>()?;
    let [compressed, length @ ..] = *head;
    if compressed != 0 || usize::try_from(u32::from_be_bytes(length)).ok()? != message.len() {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let length = match tag & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        rest = rest.get(length..)?;
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
