//! Programs that imgpack carries in itself and puts on any base: `probe` asks a service whether it is well, `init` is PID 1.
//!
//! Their sources are `probe/` and `init/` beside this file, with what both have in `dial.rs` and `expand.rs`. They are
//! programs of their own, out of std alone, that `build.rs` makes for every platform; here are their bytes.

use crate::model::{
    Architecture, Entries, EntriesError, Entry, EntryKind, ImagePath, ImagePathError, Owner, Platform,
};

/// Name of the component and data set `probe`.
pub const PROBE_NAME: &str = "probe";

/// Name of the component and data set `init`.
pub const INIT_NAME: &str = "init";

/// Where the probe is in an image. `/usr/bin` is a directory on every base, merged or not, so that one layer fits all.
pub const PROBE: &str = "/usr/bin/imgpack-probe";

/// Where init is in an image.
pub const INIT: &str = "/usr/bin/imgpack-init";

/// The name under which Kubernetes manifests and compose files know a probe of gRPC services; the probe then takes the flags
/// of the program of that name.
pub const GRPC_HEALTH_PROBE: &str = "/bin/grpc_health_probe";

/// A set of bytes that imgpack carries, with a name and a version that stands for exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    /// Its name in `imgpack.lock`.
    pub name: &'static str,
    /// Its version. The bytes of a program depend on the compiler, which `rust-toolchain.toml` pins: built by another
    /// one, the version is `1+` and the beginnings of the digests, and is no `1`.
    pub version: String,
}

/// A program in its two makes.
struct Program {
    name: &'static str,
    version: &'static str,
    amd64: Make,
    arm64: Make,
}

/// A program for one platform.
struct Make {
    bytes: &'static [u8],
    /// Digest of these bytes, in hex.
    sha256: &'static str,
    /// What it is for `version`.
    fixed: &'static str,
}

macro_rules! make {
    ($file:literal, $sha256:literal, $fixed:literal) => {
        Make {
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $file)),
            sha256: env!($sha256),
            fixed: $fixed,
        }
    };
}

// Other bytes are another version: raise it, and keep the old one's digests where a lock may name it.
const PROBE_PROGRAM: Program = Program {
    name: PROBE_NAME,
    version: "1",
    amd64: make!(
        "probe-x86_64-unknown-linux-musl",
        "IMGPACK_PROBE_AMD64_SHA256",
        "a068fb255e86ae5e1ae53eb283312d99466b70d159f4e2193a95929d2e058d0a"
    ),
    arm64: make!(
        "probe-aarch64-unknown-linux-musl",
        "IMGPACK_PROBE_ARM64_SHA256",
        "901719df8309e32b84f9d1ce3f8df7dcde85352aa33a0c28cf12a46b7002ab00"
    ),
};
const INIT_PROGRAM: Program = Program {
    name: INIT_NAME,
    version: "1",
    amd64: make!(
        "init-x86_64-unknown-linux-musl",
        "IMGPACK_INIT_AMD64_SHA256",
        "d4a925efe058f7f4aecefe14a2124118161ba36d9c639cc9095ec736307a86c7"
    ),
    arm64: make!(
        "init-aarch64-unknown-linux-musl",
        "IMGPACK_INIT_ARM64_SHA256",
        "c94c92fd4f5e46f9eff22efb6890bb6a900b6e11fe5f1d076fc99634f3749df3"
    ),
};

/// A fault in a component's places, which a test rules out.
#[derive(Debug, thiserror::Error)]
#[error("a component is broken")]
pub enum ComponentError {
    /// Two entries with one path.
    Entries(#[from] EntriesError),
    /// A path that is none.
    Path(#[from] ImagePathError),
}

/// The component `probe`.
pub fn probe(platform: Platform) -> Result<Entries, ComponentError> {
    let mut entries = PROBE_PROGRAM.entries(PROBE, platform)?;
    let link = EntryKind::Symlink { target: PROBE.to_owned() };
    entries.insert(entry(GRPC_HEALTH_PROBE, link, 0o777, PROBE_NAME)?)?;
    Ok(entries)
}

/// The component `init`.
pub fn init(platform: Platform) -> Result<Entries, ComponentError> {
    INIT_PROGRAM.entries(INIT, platform)
}

/// The data sets of both programs.
pub fn data_sets() -> impl Iterator<Item = DataSet> {
    [PROBE_PROGRAM, INIT_PROGRAM].into_iter().map(|program| program.data_set())
}

impl Program {
    fn entries(&self, path: &str, platform: Platform) -> Result<Entries, ComponentError> {
        let mut entries = Entries::new();
        let kind = EntryKind::bytes(self.make(platform).bytes);
        entries.insert(entry(path, kind, 0o755, self.name)?)?;
        Ok(entries)
    }

    fn make(&self, platform: Platform) -> &Make {
        match platform.architecture {
            Architecture::Amd64 => &self.amd64,
            Architecture::Arm64 => &self.arm64,
        }
    }

    fn data_set(&self) -> DataSet {
        let makes = [&self.amd64, &self.arm64];
        let mut version = self.version.to_owned();
        if makes.iter().any(|make| make.sha256 != make.fixed) {
            version.push('+');
            version.extend(makes.iter().flat_map(|make| make.sha256.chars().take(6)));
        }
        DataSet { name: self.name, version }
    }
}

fn entry(path: &str, kind: EntryKind, mode: u32, name: &str) -> Result<Entry, ComponentError> {
    let origin = format!("component {name}").into();
    Ok(Entry { path: ImagePath::parse(path)?, kind, mode, owner: Owner::default(), origin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContentDigest;

    /// A difference means other bytes in every image with the component. Where the sources changed, and a released
    /// imgpack has this version, raise it.
    #[test]
    fn programs_are_fixed_for_the_pinned_toolchain() {
        for program in [PROBE_PROGRAM, INIT_PROGRAM] {
            for make in [&program.amd64, &program.arm64] {
                assert_eq!(make.sha256, ContentDigest::of(make.bytes).hex());
                assert_eq!(make.sha256, make.fixed, "{}", program.name);
            }
            assert_eq!(program.data_set(), DataSet { name: program.name, version: "1".to_owned() });
        }
    }

    #[test]
    fn programs_are_small() {
        for (program, most) in [(PROBE_PROGRAM, 600_000), (INIT_PROGRAM, 450_000)] {
            for make in [&program.amd64, &program.arm64] {
                assert!(make.bytes.len() <= most, "{}: {}", program.name, make.bytes.len());
            }
        }
    }

    #[test]
    fn another_compiler_s_programs_are_another_version() {
        let make = |sha256| Make { bytes: b"", sha256, fixed: "aaaaaaaaaa" };
        let program =
            Program { name: "x", version: "1", amd64: make("aaaaaaaaaa"), arm64: make("bbbbbbbbbb") };
        assert_eq!(program.data_set().version, "1+aaaaaabbbbbb");
    }

    #[test]
    fn entries_have_their_places() {
        for platform in Platform::ALL {
            let places = |entries: Entries| entries.iter().map(|e| e.path.to_string()).collect::<Vec<_>>();
            assert_eq!(places(probe(platform).unwrap()), [GRPC_HEALTH_PROBE, PROBE]);
            assert_eq!(places(init(platform).unwrap()), [INIT]);
        }
    }
}
