use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::component::PROBE;
use crate::model::{BaseConfig, BaseFacts, BaseHealthcheck, ImagePath, Owner, Platform};
use crate::spec::{
    HealthTest, Healthcheck, ImageSettings, Inherit, ProbeCheck, TargetValue, Template, Value,
};

/// What a config says, with everything inherited and put in.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfig {
    /// `uid:gid`, empty where the image runs as root because nobody said otherwise.
    pub user: String,
    /// The same as numbers.
    pub owner: Owner,
    /// `NAME=value`, the base's in its order, then new ones by name.
    pub env: Vec<String>,
    /// Entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Working directory.
    pub workdir: Option<String>,
    /// `8000/tcp`
    pub ports: BTreeSet<String>,
    /// Volumes.
    pub volumes: BTreeSet<ImagePath>,
    /// Labels, `info` included.
    pub labels: BTreeMap<String, String>,
    /// Annotations of manifests and index, `info` included.
    pub annotations: BTreeMap<String, String>,
    /// Stop signal.
    pub stop_signal: Option<String>,
    /// Docker's `Healthcheck` object.
    pub healthcheck: Option<serde_json::Value>,
}

/// Why a config cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A value expression without an answer.
    #[error("{field}: {value} has no value here")]
    NoValue {
        /// The field of the spec.
        field: String,
        /// The expression as written.
        value: String,
    },
    /// The base names its user and its passwd does not know the name.
    #[error(
        "the base runs as `{0}`, a name that its /etc/passwd and /etc/group do not have: say image.user as numbers"
    )]
    UnknownUser(String),
}

const INFO: &str = "org.opencontainers.image.";

/// The inheritance table: env by name; an entrypoint drops the base's cmd; user, workdir and stop signal inherited;
/// ports, volumes and labels merged; the base's `org.opencontainers.image.*` labels and all its annotations dropped.
///
/// `artefact` is the entrypoint where the spec has none and a builder made a program; `volatile` answers `${git:…}` and
/// the like; `default_user` is what a built-in base runs as.
pub fn image_config(
    spec: &ImageSettings,
    base: &BaseConfig,
    facts: &BaseFacts,
    platform: Platform,
    artefact: Option<&ImagePath>,
    volatile: &dyn Fn(&Value) -> Option<String>,
) -> Result<ImageConfig, SettingsError> {
    let values = |value: &Value| match value {
        Value::Target(_) => target_value(value, platform),
        Value::Base(name) => {
            // A variable that the base does not have is empty, as in a shell.
            Some(
                base.env
                    .iter()
                    .find(|(known, _)| known == name)
                    .map_or_else(String::new, |(_, text)| text.clone()),
            )
        }
        _ => volatile(value),
    };
    let render = |field: &str, template: &Template| {
        template
            .render(&values)
            .map_err(|value| SettingsError::NoValue { field: field.to_owned(), value: value.to_string() })
    };
    let render_all = |field: &str, list: &[Template]| {
        list.iter().map(|template| render(field, template)).collect::<Result<Vec<_>, _>>()
    };

    let (user, owner) = match &spec.user {
        Inherit::Set(user) => numeric(user.uid, user.gid),
        Inherit::Removed => (String::new(), Owner::default()),
        Inherit::Base => base_user(base, facts)?,
    };

    let entrypoint_said = !matches!(spec.entrypoint, Inherit::Base);
    let entrypoint = match &spec.entrypoint {
        Inherit::Set(list) => Some(render_all("image.entrypoint", list)?),
        Inherit::Removed => None,
        Inherit::Base => match artefact {
            Some(path) => Some(vec![path.to_string()]),
            None => base.entrypoint.clone(),
        },
    };
    let cmd = match &spec.cmd {
        Inherit::Set(list) => Some(render_all("image.cmd", list)?),
        Inherit::Removed => None,
        Inherit::Base if entrypoint_said || artefact.is_some() => None,
        Inherit::Base => base.cmd.clone(),
    };

    let info = spec
        .info
        .iter()
        .map(|(key, template)| Ok((format!("{INFO}{key}"), render(&format!("image.info.{key}"), template)?)))
        .collect::<Result<BTreeMap<_, _>, SettingsError>>()?;
    let mut labels: BTreeMap<String, String> = base
        .labels
        .iter()
        .filter(|(key, _)| !spec.labels_removed && !key.starts_with(INFO))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    labels.extend(info.clone());
    for (key, value) in &spec.labels {
        match value {
            Inherit::Set(template) => {
                labels.insert(key.clone(), render(&format!("image.labels.{key}"), template)?);
            }
            Inherit::Removed => drop(labels.remove(key)),
            Inherit::Base => {}
        }
    }
    let mut annotations = info;
    for (key, template) in &spec.annotations {
        annotations.insert(key.clone(), render(&format!("image.annotations.{key}"), template)?);
    }

    Ok(ImageConfig {
        user,
        owner,
        env: environment(spec, base, &render)?,
        entrypoint,
        cmd,
        workdir: inherited(&spec.workdir, base.workdir.clone()),
        ports: match &spec.ports {
            Inherit::Set(ports) if spec.ports_removed => ports.values().cloned().collect(),
            Inherit::Set(ports) => base.exposed_ports.iter().chain(ports.values()).cloned().collect(),
            Inherit::Removed => BTreeSet::new(),
            Inherit::Base => base.exposed_ports.clone(),
        },
        volumes: match &spec.volumes {
            Inherit::Set(volumes) if spec.volumes_removed => volumes.clone(),
            Inherit::Set(volumes) => base_volumes(base).chain(volumes.iter().cloned()).collect(),
            Inherit::Removed => BTreeSet::new(),
            Inherit::Base => base_volumes(base).collect(),
        },
        labels,
        annotations,
        stop_signal: inherited(&spec.stop_signal, base.stop_signal.clone()),
        healthcheck: match &spec.healthcheck {
            Inherit::Set(check) => healthcheck(check),
            Inherit::Removed => None,
            Inherit::Base => base.healthcheck.as_ref().map(base_healthcheck),
        },
    })
}

/// The answer to `${target.…}` for a platform; `None` for every other value.
pub fn target_value(value: &Value, platform: Platform) -> Option<String> {
    let Value::Target(word) = value else { return None };
    Some(
        match word {
            TargetValue::Os => platform.os(),
            TargetValue::Arch | TargetValue::Deb => platform.goarch(),
            TargetValue::Uname => platform.uname(),
            TargetValue::Rust => platform.rust_musl_target(),
        }
        .to_owned(),
    )
}

fn environment(
    spec: &ImageSettings,
    base: &BaseConfig,
    render: &dyn Fn(&str, &Template) -> Result<String, SettingsError>,
) -> Result<Vec<String>, SettingsError> {
    let mut env: Vec<(String, String)> = if spec.env_removed { Vec::new() } else { base.env.clone() };
    for (name, value) in &spec.env {
        match value {
            Inherit::Set(template) => {
                let text = render(&format!("image.env.{name}"), template)?;
                match env.iter_mut().find(|(known, _)| known == name) {
                    Some((_, old)) => *old = text,
                    None => env.push((name.clone(), text)),
                }
            }
            Inherit::Removed => env.retain(|(known, _)| known != name),
            Inherit::Base => {}
        }
    }
    Ok(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

fn inherited<T: Clone>(said: &Inherit<T>, base: Option<T>) -> Option<T> {
    match said {
        Inherit::Set(value) => Some(value.clone()),
        Inherit::Removed => None,
        Inherit::Base => base,
    }
}

fn numeric(uid: u32, gid: u32) -> (String, Owner) {
    (format!("{uid}:{gid}"), Owner { uid, gid })
}

/// The base's user in numbers: names are looked up in its own tables, as an engine would.
fn base_user(base: &BaseConfig, facts: &BaseFacts) -> Result<(String, Owner), SettingsError> {
    let Some(text) = base.user.as_deref().filter(|text| !text.is_empty()) else {
        return Ok((String::new(), Owner::default()));
    };
    let unknown = || SettingsError::UnknownUser(text.to_owned());
    let table = |path: &str| {
        let path = ImagePath::parse(path).ok().and_then(|path| facts.resolve(&path))?;
        facts.contents.get(&path)
    };
    let row = |path: &str, column: usize, wanted: &str| -> Option<Vec<String>> {
        table(path)?
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
            .find(|columns| columns.get(column).is_some_and(|found| found == wanted))
    };
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let column = usize::from(user.parse::<u32>().is_ok()) * 2;
    let passwd = row("/etc/passwd", column, user);
    let number = |columns: &Option<Vec<String>>, at: usize| columns.as_ref()?.get(at)?.parse::<u32>().ok();
    let uid = user.parse().ok().or_else(|| number(&passwd, 2)).ok_or_else(unknown)?;
    let gid = match group {
        Some(group) => {
            group.parse().ok().or_else(|| number(&row("/etc/group", 0, group), 2)).ok_or_else(unknown)?
        }
        // Without a row an engine takes group 0.
        None => number(&passwd, 3).unwrap_or(0),
    };
    Ok(numeric(uid, gid))
}

/// The base's volumes; one that is no path of an image was never one.
fn base_volumes(base: &BaseConfig) -> impl Iterator<Item = ImagePath> + '_ {
    base.volumes.iter().filter_map(|path| ImagePath::parse(path).ok())
}

/// Docker's form: times in nanoseconds, 0 left out.
fn docker_healthcheck(test: Vec<String>, times: [(&str, u64); 5]) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    object.insert("Test".into(), test.into());
    for (name, value) in times.into_iter().filter(|(_, value)| *value > 0) {
        object.insert(name.into(), value.into());
    }
    object.into()
}

fn base_healthcheck(check: &BaseHealthcheck) -> serde_json::Value {
    let number = |value: i64| u64::try_from(value).unwrap_or_default();
    let times = [
        ("Interval", number(check.interval)),
        ("Timeout", number(check.timeout)),
        ("StartPeriod", number(check.start_period)),
        ("StartInterval", number(check.start_interval)),
        ("Retries", number(check.retries)),
    ];
    docker_healthcheck(check.test.clone(), times)
}

/// The probe's time-out is a tenth shorter than the engine's, which would kill it without a word of why.
fn probe_command(check: &ProbeCheck, timeout: Option<Duration>) -> Vec<String> {
    let timeout = timeout.map(|time| format!("--timeout={}ms", (time.as_millis() * 9 / 10).max(1)));
    let status = check.status.as_ref().map(|status| format!("--status={status}"));
    let body = check.body.as_ref().map(|body| format!("--body={body}"));
    let options = [timeout, status, body].into_iter().flatten();
    std::iter::once(PROBE.to_owned()).chain(options).chain([check.url.clone()]).collect()
}

fn healthcheck(check: &Healthcheck) -> Option<serde_json::Value> {
    let command = match &check.test {
        HealthTest::None => return None,
        HealthTest::Command(command) => command.clone(),
        HealthTest::Probe(probe) => probe_command(probe, check.timeout),
    };
    let test = std::iter::once("CMD".to_owned()).chain(command).collect();
    let nanos =
        |time: Option<Duration>| time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let times = [
        ("Interval", nanos(check.interval)),
        ("Timeout", nanos(check.timeout)),
        ("StartPeriod", nanos(check.start_period)),
        ("StartInterval", 0),
        ("Retries", u64::from(check.retries.unwrap_or_default())),
    ];
    Some(docker_healthcheck(test, times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fact;
    use crate::spec::{Part, User};

    fn base() -> BaseConfig {
        BaseConfig {
            env: vec![("PATH".into(), "/bin".into()), ("LANG".into(), "C".into())],
            user: Some("www".into()),
            workdir: Some("/srv".into()),
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["run".into()]),
            labels: [("team", "a"), ("org.opencontainers.image.title", "base")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            exposed_ports: ["80/tcp".to_owned()].into(),
            volumes: ["/data".to_owned()].into(),
            stop_signal: Some("SIGQUIT".into()),
            healthcheck: Some(BaseHealthcheck {
                test: vec!["CMD".into(), "/ok".into()],
                retries: 2,
                ..Default::default()
            }),
            ..BaseConfig::default()
        }
    }

    fn facts() -> BaseFacts {
        let mut facts = BaseFacts::default();
        for (path, text) in
            [("/etc/passwd", "root:x:0:0::/:\nwww:x:33:34::/:\n"), ("/etc/group", "web:x:35:\n")]
        {
            let path: ImagePath = path.parse().unwrap();
            let kind = crate::model::FactKind::File;
            facts.tree.insert(path.clone(), Fact { kind, mode: 0o644, uid: 0, gid: 0, size: 0 });
            facts.contents.insert(path, text.to_owned());
        }
        facts
    }

    fn config(
        spec: &ImageSettings,
        base: &BaseConfig,
        artefact: Option<&str>,
    ) -> Result<ImageConfig, SettingsError> {
        let artefact: Option<ImagePath> = artefact.map(|path| path.parse().unwrap());
        image_config(spec, base, &facts(), Platform::ARM64, artefact.as_ref(), &|_| None)
    }

    fn text(text: &str) -> Template {
        Template::text(text)
    }

    #[test]
    fn a_probe_is_a_command_of_the_component() {
        let check = |status: Option<&str>, timeout| {
            let (status, body) = (status.map(str::to_owned), status.map(|_| "ok".to_owned()));
            let probe = ProbeCheck { url: "http://:$PORT/".into(), status, body };
            let test = HealthTest::Probe(probe);
            Healthcheck { test, interval: None, timeout, start_period: None, retries: None }
        };
        let second = Duration::from_secs(1);
        assert_eq!(
            healthcheck(&check(None, None)),
            Some(serde_json::json!({"Test": ["CMD", PROBE, "http://:$PORT/"]}))
        );
        assert_eq!(
            healthcheck(&check(Some("200"), Some(second))),
            Some(serde_json::json!({
                "Test": ["CMD", PROBE, "--timeout=900ms", "--status=200", "--body=ok", "http://:$PORT/"],
                "Timeout": 1_000_000_000,
            }))
        );
    }

    #[test]
    fn what_is_not_said_is_the_base_s() {
        let config = config(&ImageSettings::default(), &base(), None).unwrap();
        assert_eq!(config.user, "33:34");
        assert_eq!(config.env, ["PATH=/bin", "LANG=C"]);
        assert_eq!((config.entrypoint, config.cmd), (Some(vec!["/entry".into()]), Some(vec!["run".into()])));
        assert_eq!(config.workdir.as_deref(), Some("/srv"));
        assert_eq!(config.ports.into_iter().collect::<Vec<_>>(), ["80/tcp"]);
        assert_eq!(config.volumes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/data"]);
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!(config.healthcheck, Some(serde_json::json!({"Test": ["CMD", "/ok"], "Retries": 2})));
        assert_eq!(config.labels.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn what_is_said_goes_over_it_and_null_removes() {
        let path = Template(vec![Part::Text("/opt:".into()), Part::Value(Value::Base("PATH".into()))]);
        let spec = ImageSettings {
            user: Inherit::Set(User { name: None, uid: 7, group: None, gid: 8 }),
            entrypoint: Inherit::Set(vec![text("/x")]),
            env: [("PATH", Inherit::Set(path)), ("LANG", Inherit::Removed), ("A", Inherit::Set(text("1")))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ports: Inherit::Set([("http".to_owned(), "8080/tcp".to_owned())].into()),
            ports_removed: true,
            volumes: Inherit::Removed,
            labels_removed: true,
            info: [("title".to_owned(), text("mine"))].into(),
            healthcheck: Inherit::Set(Healthcheck {
                test: HealthTest::None,
                interval: None,
                timeout: None,
                start_period: None,
                retries: None,
            }),
            ..ImageSettings::default()
        };
        let config = config(&spec, &base(), None).unwrap();
        assert_eq!((config.user.as_str(), config.owner), ("7:8", Owner { uid: 7, gid: 8 }));
        assert_eq!(config.env, ["PATH=/opt:/bin", "A=1"]);
        assert_eq!((config.entrypoint, config.cmd), (Some(vec!["/x".into()]), None));
        assert_eq!(config.ports.into_iter().collect::<Vec<_>>(), ["8080/tcp"]);
        assert!(config.volumes.is_empty() && config.healthcheck.is_none());
        let title = ("org.opencontainers.image.title".to_owned(), "mine".to_owned());
        assert_eq!(config.labels.into_iter().collect::<Vec<_>>(), std::slice::from_ref(&title));
        assert_eq!(config.annotations.into_iter().collect::<Vec<_>>(), [title]);
    }

    #[test]
    fn an_artefact_is_the_entrypoint_and_drops_the_base_s_cmd() {
        let config = config(&ImageSettings::default(), &base(), Some("/app/x")).unwrap();
        assert_eq!((config.entrypoint, config.cmd), (Some(vec!["/app/x".into()]), None));
    }

    #[test]
    fn users_of_the_base_become_numbers() {
        for (user, expected) in [
            ("", Ok("")),
            ("5", Ok("5:0")),
            ("33", Ok("33:34")),
            ("www:web", Ok("33:35")),
            ("5:6", Ok("5:6")),
            ("nobody", Err("nobody")),
            ("www:none", Err("www:none")),
        ] {
            let base = BaseConfig { user: Some(user.into()), ..base() };
            let found = config(&ImageSettings::default(), &base, None).map(|config| config.user);
            let expected =
                expected.map(str::to_owned).map_err(|user| SettingsError::UnknownUser(user.to_owned()));
            assert_eq!(found, expected, "{user}");
        }
    }

    #[test]
    fn a_value_without_an_answer_is_named() {
        let spec = ImageSettings {
            labels: [("v".to_owned(), Inherit::Set(Template(vec![Part::Value(Value::GitTag)])))].into(),
            ..ImageSettings::default()
        };
        let error = config(&spec, &base(), None).unwrap_err();
        assert_eq!(error.to_string(), "image.labels.v: ${git:tag} has no value here");
    }
}
