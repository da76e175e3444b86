use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::model::Hasher;
use crate::system;

use super::super::BuildRequest;
use super::super::caches::private_directory;
use super::modfile::Module;
use super::toolchain::ask;
use super::{BuilderError, Caches, Command, Environment, GoTool, Host, Phase, Runner, Stage, environment};

/// How the user's Go reaches modules; what comes is verified by go.sum.
pub(super) const SETTINGS: [&str; 9] = [
    "GOPROXY",
    "GONOPROXY",
    "GOPRIVATE",
    "GOSUMDB",
    "GONOSUMDB",
    "GOINSECURE",
    "GOVCS",
    "GOAUTH",
    "GOMODCACHE",
];

/// Brings the modules into the module cache, unless it is known that they are there.
#[expect(clippy::too_many_arguments, reason = "one caller, each a thing of its own")]
pub(super) fn fetch(
    tool: &GoTool<'_>,
    module: &Module,
    request: &BuildRequest<'_>,
    host: &Host,
    caches: &Caches,
    stage: &Stage,
    closed: &Environment,
    runner: &mut Runner<'_>,
) -> Result<(), BuilderError> {
    let mut hasher = Hasher::new();
    hasher.update(request.tool.field("version").as_bytes());
    hasher.update(module.work.as_deref().unwrap_or_default().as_bytes());
    for input in &request.project.inputs {
        let name = input.path.rsplit('/').next().unwrap_or_default();
        if matches!(name, "go.mod" | "go.sum" | "go.work" | "go.work.sum") {
            hasher.update(input.path.as_bytes());
            hasher.update(input.digest.0.as_bytes());
        }
    }
    let directory = match request.project.dir.as_str() {
        "." | "" => stage.root.clone(),
        dir => stage.root.join(dir),
    };
    hasher.update(request.project.dir.as_bytes());
    let marker = caches.go().join("fetched").join(hasher.finish().hex());
    if marker.exists() {
        system::space::use_now(&caches.go().join("fetched"));
        return Ok(());
    }
    let settings = ask(tool.program, &SETTINGS, host, runner.cancel())?;
    let mut environment = closed.clone();
    environment.extend(environment::network(host));
    if let Some(path) = host.variable("PATH") {
        environment.insert("PATH".into(), path.to_owned());
    }
    for name in SETTINGS.iter().filter(|name| **name != "GOMODCACHE") {
        if let Some(value) = settings.get(*name).filter(|value| !value.is_empty()) {
            environment.insert(name.into(), value.into());
        } else {
            environment.remove(OsStr::new(name));
        }
    }
    // Writable, so that the cache can be pruned.
    environment.insert("GOFLAGS".into(), "-mod=readonly -modcacherw".into());
    if host.is_offline() {
        // Go asks the checksum database itself where no proxy does.
        environment
            .extend(environment::set([("GOPROXY", OsStr::new("off")), ("GOSUMDB", OsStr::new("off"))]));
    }
    let proxy = if host.is_offline() { Some("off") } else { settings.get("GOPROXY").map(String::as_str) };
    if let Some(proxy) = proxy.filter(|proxy| !proxy.is_empty())
        && let Some(downloads) =
            settings.get("GOMODCACHE").map(|cache| Path::new(cache).join("cache/download"))
        && downloads.is_dir()
    {
        environment.insert("GOPROXY".into(), format!("{},{proxy}", file_url(downloads.as_os_str())).into());
    }
    private_directory(&caches.go().join("mod"))?;
    let command = Command {
        program: tool.program,
        args: ["mod", "download"].map(|word| OsString::from(word).into()).into(),
        environment: &environment,
        directory: &directory,
        lock: stage.share_lock()?,
        phase: Phase::Fetch,
    };
    runner.run(command, None)?;
    Ok(caches.write(marker, b"")?)
}

/// A path as a `file:` address; also without what separates proxies.
fn file_url(path: &OsStr) -> String {
    let mut url = "file://".to_owned();
    for byte in path.as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            byte => {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_odd_paths() {
        assert_eq!(file_url(OsStr::new("/a b/c,d|é")), "file:///a%20b/c%2Cd%7C%C3%A9");
    }
}
