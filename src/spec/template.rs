use std::fmt;

/// A value that is known only later than the spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `${target.os}` … `${target.rust}`: stable, differs by platform.
    Target(TargetValue),
    /// `${base.VAR}`: stable, an environment variable of the base's config.
    Base(String),
    /// `${git:tag}`: volatile.
    GitTag,
    /// `${git:sha}`: volatile.
    GitSha,
    /// `${git:branch}`: volatile.
    GitBranch,
    /// `${env:NAME}`: volatile.
    Env(String),
    /// `${version}`: volatile.
    Version,
}

/// The words after `target.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetValue {
    /// `linux`.
    Os,
    /// `amd64`, `arm64`.
    Arch,
    /// `x86_64`, `aarch64`.
    Uname,
    /// Debian's name of the architecture.
    Deb,
    /// Rust's target triple.
    Rust,
}

impl Value {
    /// Whether it may differ between two builds of the same sources.
    pub fn is_volatile(&self) -> bool {
        !matches!(self, Self::Target(_) | Self::Base(_))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(TargetValue::Os) => f.write_str("${target.os}"),
            Self::Target(TargetValue::Arch) => f.write_str("${target.arch}"),
            Self::Target(TargetValue::Uname) => f.write_str("${target.uname}"),
            Self::Target(TargetValue::Deb) => f.write_str("${target.deb}"),
            Self::Target(TargetValue::Rust) => f.write_str("${target.rust}"),
            Self::Base(name) => write!(f, "${{base.{name}}}"),
            Self::GitTag => f.write_str("${git:tag}"),
            Self::GitSha => f.write_str("${git:sha}"),
            Self::GitBranch => f.write_str("${git:branch}"),
            Self::Env(name) => write!(f, "${{env:{name}}}"),
            Self::Version => f.write_str("${version}"),
        }
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// A value to be put in.
    Value(Value),
}

/// A text with value expressions; `${arg.…}` is already put in, `$${` is a literal `${`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Template(pub Vec<Part>);

/// Answers for the values of a template; `None` where there is none.
pub trait Values {
    /// The text of `value`.
    fn value(&self, value: &Value) -> Option<String>;
}

impl<F: Fn(&Value) -> Option<String>> Values for F {
    fn value(&self, value: &Value) -> Option<String> {
        self(value)
    }
}

impl Template {
    /// A template without values.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// The values it names, in order.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter_map(|part| match part {
            Part::Value(value) => Some(value),
            Part::Text(_) => None,
        })
    }

    /// Whether it names a volatile value.
    pub fn is_volatile(&self) -> bool {
        self.values().any(Value::is_volatile)
    }

    /// The text with every value put in; the first value without an answer is the error.
    pub fn render(&self, values: &dyn Values) -> Result<String, Value> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value(value) => text.push_str(&values.value(value).ok_or_else(|| value.clone())?),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace("${", "$${")),
            Part::Value(value) => fmt::Display::fmt(value, f),
        })
    }
}
