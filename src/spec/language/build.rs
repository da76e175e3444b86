use crate::model::ImagePath;
use crate::spec::language::keys::{EnvKey, GoVariableKey};
use crate::spec::shape::{Items, Late, Table, Template, record, words};

record! {
    /// How the service is built: exactly one builder.
    struct BuildMap("build") {
        /// The Go toolchain of this machine makes one static binary.
        "go" => go: Go,
        /// Cargo makes one static binary.
        "rust" => rust: Rust,
    }
    later {
        "python" => "the Python builder",
        "node" => "the Node builder",
        "web" => "the builder of static web sites",
        "command" => "the builder that runs a command",
    }
}

record! {
    /// A Go program.
    struct Go("build.go") {
        /// Package of the program, relative to `source`: `.` (the default) or a path that begins with `./`.
        "package" => package: Late<String>,
        /// Where the binary goes. Default: `/app/` and the last component of the package, or the service's name.
        "to" => to: Late<ImagePath>,
        /// Build tags.
        "tags" => tags: Items<Late<String>>,
        /// Flags for the linker. Default: `-s -w`.
        "ldflags" => ldflags: Late<String>,
        /// Only `false`: programs are static. C is for a later version.
        "cgo" => cgo: bool,
        /// Variables that the linker sets, by import path and name: `main.version: "${git:tag}"`.
        "stamp" => stamp: Table<GoVariableKey, Template>,
        /// More environment for `go build`.
        "env" => env: Table<EnvKey, Template>,
    }
}

record! {
    /// A Rust program.
    struct Rust("build.rust") {
        /// Cargo package. Default: the package of the manifest in `source`.
        "package" => package: Late<String>,
        /// Binary target. Default: the package's name.
        "bin" => bin: Late<String>,
        /// Where the binary goes. Default: `/app/` and the name of the binary.
        "to" => to: Late<ImagePath>,
        /// Cargo profile. Default: `release`.
        "profile" => profile: Late<String>,
        /// Features.
        "features" => features: Items<Late<String>>,
        /// Whether the default features are on. Default: `true`.
        "defaultFeatures" => default_features: bool,
        /// C library: `musl`, a static program (the default).
        "target" => target: Late<Libc>,
        /// More environment for `cargo build`.
        "env" => env: Table<EnvKey, Template>,
    }
}

words! {
    /// `build.rust.target`
    enum Libc { "musl" => Musl, }
    later { "gnu" => "glibc with a Debian sysroot", }
}
