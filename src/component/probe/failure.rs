//! Why a check did not pass.

use std::io;
use std::net::TcpStream;

/// Why a check did not pass, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nobody was reached.
    Connect(String),
    /// Somebody was reached who gave no answer that can be used.
    Answer(String),
    /// The answer says that the service is not well.
    Unhealthy(String),
}

impl Failure {
    /// The words for it.
    pub fn message(&self) -> &str {
        match self {
            Self::Connect(message) | Self::Answer(message) | Self::Unhealthy(message) => message,
        }
    }

    /// An answer that cannot be used.
    pub fn answer(message: impl Into<String>) -> Self {
        Self::Answer(message.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Answer(match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "the server closed the connection in the middle of its answer".to_owned()
            }
            _ => error.to_string(),
        })
    }
}

/// The connection of a check; a test puts something else there.
pub trait Stream: io::Read + io::Write {}
impl Stream for TcpStream {}
