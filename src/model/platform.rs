use std::fmt;
use std::str::FromStr;

/// A CPU architecture that imgpack builds for, in the names of Go's `GOARCH` (image-spec, image-index.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64 (variant v8, which is never written).
    Arm64,
}

/// Operating system and architecture; the system is always `linux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The CPU architecture.
    pub architecture: Architecture,
}

/// A text that names no platform imgpack builds for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform that imgpack builds for: linux/amd64 or linux/arm64")]
pub struct PlatformError(pub String);

impl Platform {
    /// linux/amd64.
    pub const AMD64: Self = Self { architecture: Architecture::Amd64 };
    /// linux/arm64.
    pub const ARM64: Self = Self { architecture: Architecture::Arm64 };
    /// Every platform, in the order in which an index lists them.
    pub const ALL: [Self; 2] = [Self::AMD64, Self::ARM64];

    /// `linux`.
    pub fn os(self) -> &'static str {
        "linux"
    }
    /// Go's name: `amd64`, `arm64`. Debian uses the same.
    pub fn goarch(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
    /// The kernel's name: `x86_64`, `aarch64`.
    pub fn uname(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "x86_64",
            Architecture::Arm64 => "aarch64",
        }
    }
    /// Rust's static target triple.
    pub fn rust_musl_target(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "x86_64-unknown-linux-musl",
            Architecture::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Whether an image's `os`, `architecture` and `variant` are this platform (exact; arm64 takes no variant or v8).
    pub fn matches(self, os: &str, architecture: &str, variant: Option<&str>) -> bool {
        os == self.os()
            && architecture == self.goarch()
            && match self.architecture {
                Architecture::Amd64 => matches!(variant, None | Some("" | "v1")),
                Architecture::Arm64 => matches!(variant, None | Some("" | "v8")),
            }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        match text {
            "linux/amd64" => Ok(Self::AMD64),
            "linux/arm64" | "linux/arm64/v8" => Ok(Self::ARM64),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os(), self.goarch())
    }
}

impl serde::Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Platform {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
