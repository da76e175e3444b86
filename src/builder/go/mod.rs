//! The builder `go`.

mod closure;
mod fetch;
mod modfile;
mod report;
mod source;
mod toolchain;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::model::Platform;
use crate::spec::{GoBuild, Values};
use crate::system::{self, Cancel, IoError};

use super::caches::private_directory;
use super::environment::{self, Environment, Scratch};
use super::project::Project;
use super::run::{Argument, Command, Phase, Runner};
use super::stage::Stage;
use super::{Artefact, BuildRequest, BuilderError, Caches, Host, KeyField, Line, artefact, hashed, render};

pub(super) use closure::{closure, decides};
pub(super) use toolchain::identify;

/// Raised when the same request would give other bytes.
const REVISION: &str = "1";

/// Variables with a value here that the spec may change.
const FREE: [&str; 5] = ["GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140", "GODEBUG"];

pub(super) fn key_fields(build: &GoBuild, values: &dyn Values) -> Result<Vec<KeyField>, BuilderError> {
    let mut fields = vec![
        KeyField::new("builder", "go"),
        KeyField::new("revision", REVISION),
        KeyField::new("package", &build.package),
        KeyField::new("tags", build.tags.join(",")),
        KeyField::new("ldflags", &build.ldflags),
    ];
    fields.extend(hashed("stamp", render(&build.stamp, values)?));
    fields.extend(hashed("env", render(&build.env, values)?));
    Ok(fields)
}

pub(super) fn stage_id(project: &Project) -> Result<String, BuilderError> {
    Ok(project.stage_id("go", &modfile::Module::of(project)?.identity))
}

pub(super) fn build(
    build: &GoBuild,
    request: &BuildRequest<'_>,
    host: &Host,
    caches: &Caches,
    output: &(dyn Fn(Line) + Sync),
    cancel: &Cancel,
) -> Result<Vec<Artefact>, BuilderError> {
    let caches = &caches.resolved()?;
    let module = modfile::Module::of(request.project)?;
    let id = stage_id(request.project)?;
    let waiting = || {
        output(Line {
            source: super::Source::Note,
            text: "waiting for another build of these sources".into(),
        });
    };
    let mut stage = Stage::open(caches, &id, &id, cancel, &waiting)?;
    let mut runner = Runner::new(caches, &id, host, output, cancel)?;
    let scratch = Scratch::new(caches, &id)?;
    stage.sync(&request.project.inputs, cancel)?;

    let tool = GoTool { program: request.tool.path("go")?, goroot: request.tool.path("goroot")? };
    let mut environment = tool.environment(&scratch, caches, &stage, &module);
    if !module.vendored {
        fetch::fetch(&tool, &module, request, host, caches, &stage, &environment, &mut runner)?;
        // `go mod download` may complete go.sum.
        stage.sync(&request.project.inputs, cancel)?;
    }
    let cache = BuildCache::open(caches, request.fresh)?;
    environment.extend(environment::set([
        ("GOCACHE", cache.path.as_os_str()),
        ("GOOS", OsStr::new(request.platform.os())),
        ("GOARCH", OsStr::new(request.platform.goarch())),
    ]));
    environment::add(&mut environment, render(&build.env, request.values)?, &FREE)?;

    let made = scratch.out().join("binary");
    let (ldflags, shown) = ldflags(build, request.values)?;
    let mut args: Vec<Argument> = ["build", "-trimpath", "-buildvcs=false"].map(Argument::from).into();
    args.push(format!("-p={}", request.jobs.max(1)).into());
    if !build.tags.is_empty() {
        args.push(format!("-tags={}", build.tags.join(",")).into());
    }
    args.push(Argument::shown_as(format!("-ldflags={ldflags}"), shown));
    args.extend([
        "-o".into(),
        Argument::shown_as(&made, build.to.name()),
        "--".into(),
        build.package.as_str().into(),
    ]);
    let directory = match request.project.dir.as_str() {
        "." | "" => stage.root.clone(),
        dir => stage.root.join(dir),
    };
    let command = Command {
        program: tool.program,
        args,
        environment: &environment,
        directory: &directory,
        lock: stage.share_lock()?,
        phase: Phase::Make,
    };
    // Asked while the build runs: it takes a tenth of the time, and most of that is waiting.
    let without_network = host.without_network(cancel);
    let (result, files) = std::thread::scope(|scope| {
        let asked =
            scope.spawn(|| report::files(&tool, build, &environment, &directory, without_network, cancel));
        let result = runner.run(command, None);
        (result, asked.join())
    });
    stage.ended()?;
    result?;
    let files = files.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let modules = caches.go().join("mod");
    report::check(&files, request.project, &stage.root, &[&modules, tool.goroot])?;
    cache.keep(caches)?;
    if !is_linked(&made)? {
        return Err(BuilderError::Binary {
            name: build.to.name().to_owned(),
            reason: format!("was not made: {} is not a main package", build.package),
        });
    }
    take(&made, build.to.name(), request.platform, request.into, caches, &runner)
        .map(|artefact| vec![artefact])
}

/// Whether something was made, and it is no archive, which is what Go makes of a library.
fn is_linked(made: &Path) -> Result<bool, BuilderError> {
    let mut magic = Vec::new();
    match File::open(made) {
        Ok(file) => file.take(8).read_to_end(&mut magic).map_err(IoError::of("read", made))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(IoError::of("open", made)(error).into()),
    };
    Ok(magic != b"!<arch>\n")
}

fn take(
    made: &Path,
    name: &str,
    platform: Platform,
    into: &Path,
    caches: &Caches,
    runner: &Runner<'_>,
) -> Result<Artefact, BuilderError> {
    let (artefact, leaked) = artefact::take(made, name, platform, into, caches.root())?;
    if leaked {
        runner.note(format!(
            "the binary `{name}` contains a path of the cache: other machines will not make the same bytes"
        ));
    }
    Ok(artefact)
}

/// The resolved program.
struct GoTool<'a> {
    program: &'a Path,
    goroot: &'a Path,
}

impl GoTool<'_> {
    /// What both phases have in common: nothing of the user's, nothing above the staged tree, no network.
    fn environment(
        &self,
        scratch: &Scratch,
        caches: &Caches,
        stage: &Stage,
        module: &modfile::Module,
    ) -> Environment {
        let bin = self.program.parent().unwrap_or(Path::new("/"));
        let mut environment = environment::closed(scratch, &[bin]);
        let work = module.work.as_ref().map(|work| stage.root.join(work).into_os_string());
        let flags = if module.vendored { "-mod=vendor" } else { "-mod=readonly" };
        environment.extend(environment::set([
            ("GOROOT", self.goroot.as_os_str()),
            ("GOENV", OsStr::new("off")),
            ("GOTOOLCHAIN", OsStr::new("local")),
            ("GOTELEMETRY", OsStr::new("off")),
            ("GO111MODULE", OsStr::new("on")),
            ("GOWORK", work.as_deref().unwrap_or(OsStr::new("off"))),
            ("GOFLAGS", OsStr::new(flags)),
            ("GOPROXY", OsStr::new("off")),
            ("GOSUMDB", OsStr::new("off")),
            ("GOVCS", OsStr::new("*:off")),
            ("GOPATH", scratch.home().join("go").as_os_str()),
            ("GOMODCACHE", caches.go().join("mod").as_os_str()),
            ("CGO_ENABLED", OsStr::new("0")),
            ("GOAMD64", OsStr::new("v1")),
            ("GOARM64", OsStr::new("v8.0")),
            ("GOEXPERIMENT", OsStr::new("")),
            ("GOFIPS140", OsStr::new("off")),
            ("GODEBUG", OsStr::new("")),
        ]));
        environment
    }
}

/// The flags of the linker, and how they are shown: without the values of stamps.
fn ldflags(build: &GoBuild, values: &dyn Values) -> Result<(String, String), BuilderError> {
    let mut flags = build.ldflags.clone();
    let mut shown = build.ldflags.clone();
    for (name, value) in render(&build.stamp, values)? {
        let quote = match (value.contains('\''), value.contains('"')) {
            (true, true) => return Err(BuilderError::Stamp { name }),
            (true, false) => '"',
            (false, _) => '\'',
        };
        for (text, value) in [(&mut flags, value.as_str()), (&mut shown, "…")] {
            if !text.is_empty() {
                text.push(' ');
            }
            let _ = write!(text, "-X {quote}{name}={value}{quote}");
        }
    }
    Ok((flags, super::run::word(&format!("-ldflags={shown}"))))
}

/// The directory of compiled packages that is in use. Go keys what is in it by content; `--no-cache` begins a new one.
struct BuildCache {
    path: PathBuf,
    /// Held by everyone who uses the directory.
    _lock: File,
    /// What becomes the current one when the build succeeds.
    successor: Option<(PathBuf, String)>,
}

impl BuildCache {
    fn open(caches: &Caches, fresh: Option<&str>) -> Result<Self, BuilderError> {
        let go = caches.go();
        private_directory(&go)?;
        let pointer = go.join("current");
        let current =
            fs::read_to_string(&pointer).ok().filter(|name| is_name(name)).unwrap_or_else(|| "0".to_owned());
        let name = fresh.map_or_else(|| current.clone(), |token| super::project::short(&["fresh", token]));
        let lock = go.join(format!("build-{name}.lock"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(IoError::of("open", &lock))?;
        file.lock_shared().map_err(IoError::of("lock", &lock))?;
        let path = go.join(format!("build-{name}"));
        private_directory(&path)?;
        system::space::use_now(&path);
        let successor = (name != current).then_some((pointer, name));
        Ok(Self { path, _lock: file, successor })
    }

    /// Makes a new directory the current one and removes the others that nobody uses.
    fn keep(self, caches: &Caches) -> Result<(), BuilderError> {
        let Some((pointer, name)) = &self.successor else { return Ok(()) };
        caches.write(pointer, name.as_bytes())?;
        let Some(go) = pointer.parent() else { return Ok(()) };
        for entry in fs::read_dir(go).map_err(IoError::of("list", go))? {
            let entry = entry.map_err(IoError::of("list", go))?;
            let Some(old) = entry
                .file_name()
                .to_str()
                .and_then(|file| file.strip_prefix("build-")?.strip_suffix(".lock").map(str::to_owned))
                .filter(|old| old != name && is_name(old))
            else {
                continue;
            };
            let lock = File::open(entry.path()).map_err(IoError::of("open", entry.path()))?;
            if lock.try_lock().is_ok() {
                system::fs::remove_dir_all(go.join(format!("build-{old}")))?;
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, ImagePath};
    use crate::spec::{Template, Value};
    use std::collections::BTreeMap;

    fn go(stamp: &[(&str, Template)]) -> GoBuild {
        GoBuild {
            package: "./cmd/app".into(),
            to: ImagePath::parse("/app/app").unwrap(),
            tags: vec![],
            ldflags: "-s -w".into(),
            stamp: stamp.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            env: BTreeMap::from([("TOKEN_PATH".into(), Template::text("hidden"))]),
            class: Class::App,
        }
    }

    #[test]
    fn stamps_are_quoted_and_not_shown() {
        let none = |_: &Value| None;
        let build = go(&[("main.a", Template::text("it's")), ("main.b", Template::text("two words"))]);
        let (flags, shown) = ldflags(&build, &none).unwrap();
        assert_eq!(flags, r#"-s -w -X "main.a=it's" -X 'main.b=two words'"#);
        assert_eq!(shown, r#"'-ldflags=-s -w -X "main.a=…" -X '\''main.b=…'\'''"#);
        let both = go(&[("main.a", Template::text(r#"'""#))]);
        assert_eq!(
            ldflags(&both, &none).unwrap_err().to_string(),
            "the value of the stamp `main.a` has both kinds of quotes, which the Go linker's flags cannot carry"
        );
        let unknown = go(&[("main.a", Template(vec![crate::spec::Part::Value(Value::GitTag)]))]);
        assert_eq!(
            ldflags(&unknown, &none).unwrap_err().to_string(),
            "`main.a` uses `${git:tag}`, which has no value here"
        );
    }

    #[test]
    fn a_key_has_every_field_and_no_value_of_the_environment() {
        let fields = key_fields(&go(&[("main.a", Template::text("v1"))]), &|_: &Value| None).unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let expected =
            ["builder", "revision", "package", "tags", "ldflags", "stamp.main.a", "env.TOKEN_PATH"];
        assert_eq!(names, expected);
        assert!(fields.iter().all(|field| !field.value.contains("hidden") && field.value != "v1"));
    }

    #[test]
    fn a_fresh_cache_takes_the_place_of_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let caches = Caches::new(directory.path());
        let open = |fresh| BuildCache::open(&caches, fresh).unwrap();
        let first = open(None);
        fs::write(first.path.join("poison"), "").unwrap();
        let old = first.path.clone();
        let fresh = open(Some("run 1"));
        assert!(fresh.successor.is_some() && fresh.path != old);
        let path = fresh.path.clone();
        fresh.keep(&caches).unwrap();
        assert!(old.exists(), "somebody uses it");
        assert_eq!(open(None).path, path);
        drop(first);
        let again = open(Some("run 1"));
        assert!(again.path == path && again.successor.is_none(), "one command, one fresh cache");
        let other = open(Some("run 2"));
        other.keep(&caches).unwrap();
        assert!(!old.exists() && path.exists());
    }
}
