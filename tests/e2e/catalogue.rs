//! What is built: the services of the fixtures, and the images they become.

/// A service and its buildspec's name.
#[derive(Clone, Copy)]
pub(crate) struct Service {
    /// Identity.
    pub(crate) name: &'static str,
    /// Repository below the registry's.
    pub(crate) repository: &'static str,
    /// Its binary in the image.
    pub(crate) binary: &'static str,
    /// Where it listens.
    pub(crate) port: u16,
    /// Arguments that ask the running service whether it is well.
    pub(crate) check: &'static str,
    /// Largest sum of compressed layers of the plain image, in bytes.
    pub(crate) largest: u64,
}

const fn engine(name: &'static str, repository: &'static str, binary: &'static str, port: u16) -> Service {
    Service { name, repository, binary, port, check: "-check-health", largest: 12_000_000 }
}

/// The HTTP service of monkeys-engine.
pub(crate) const GATEWAY: Service = engine("gateway", "monkeys-engine/gateway", "app/gateway", 8081);

/// The gRPC services that the gateway asks.
pub(crate) const BEHIND: [Service; 5] = [
    engine("authz", "monkeys-engine/authz", "app/authz", 50051),
    engine("blog", "monkeys-engine/blog", "app/blog", 50052),
    engine("user", "monkeys-engine/user", "app/user", 50053),
    engine("storage", "monkeys-engine/storage", "app/storage", 50054),
    engine("notification", "monkeys-engine/notification", "app/notification", 50055),
];

/// jessy's core.
pub(crate) const CORE: Service = Service {
    name: "core",
    repository: "jessy/core",
    binary: "app/core",
    port: 8080,
    check: "--check",
    largest: 4_000_000,
};

/// jessy's API.
pub(crate) const API: Service = Service {
    name: "jessy-api",
    repository: "jessy/api",
    binary: "app/jessy-api",
    port: 3000,
    check: "-check",
    largest: 12_000_000,
};

/// Largest sum of compressed layers of an alpine variant, in bytes.
pub(crate) const LARGEST_ALPINE: u64 = 18_000_000;

/// A variant of the images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Variant {
    /// No shell, user 65532.
    Plain,
    /// On Alpine's root file system, user 1001.
    Alpine,
}

impl Variant {
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Plain => "latest",
            Self::Alpine => "latest-alpine",
        }
    }

    pub(crate) fn user(self) -> u32 {
        match self {
            Self::Plain => 65532,
            Self::Alpine => 1001,
        }
    }

    pub(crate) fn identity(self, service: Service) -> String {
        match self {
            Self::Plain => service.name.to_owned(),
            Self::Alpine => format!("{}@alpine", service.name),
        }
    }
}

/// The six services of monkeys-engine.
pub(crate) fn monkeys() -> impl Iterator<Item = Service> {
    BEHIND.into_iter().chain([GATEWAY])
}

/// All eight.
pub(crate) fn services() -> impl Iterator<Item = Service> {
    monkeys().chain([CORE, API])
}

/// Every image of the eight services.
pub(crate) fn images() -> Vec<(Service, Variant)> {
    let plain = services().map(|service| (service, Variant::Plain));
    plain.chain(monkeys().map(|service| (service, Variant::Alpine))).collect()
}

/// The platforms of every image.
pub(crate) const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
