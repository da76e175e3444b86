use std::fmt;
use std::str::FromStr;

/// What is built: `service[/image][@variant]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The service's name.
    pub service: String,
    /// One of the service's `images`, where it has them.
    pub image: Option<String>,
    /// One of its `variants`; the plain spec without.
    pub variant: Option<String>,
}

/// A text that is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an identity of the form service[/image][@variant]")]
pub struct IdentityError(pub String);

impl Identity {
    /// Whether `name` can name a service, an image or a variant: letters, digits, `.`, `_`, `-`, beginning with a
    /// letter, a digit or `_`.
    pub fn is_name(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    }
}

impl FromStr for Identity {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (rest, variant) = match text.split_once('@') {
            Some((rest, variant)) => (rest, Some(variant)),
            None => (text, None),
        };
        let (service, image) = match rest.split_once('/') {
            Some((service, image)) => (service, Some(image)),
            None => (rest, None),
        };
        if ![Some(service), image, variant].into_iter().flatten().all(Self::is_name) {
            return Err(IdentityError(text.to_owned()));
        }
        Ok(Self {
            service: service.to_owned(),
            image: image.map(str::to_owned),
            variant: variant.map(str::to_owned),
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.service.clone();
        if let Some(image) = &self.image {
            text.push('/');
            text.push_str(image);
        }
        if let Some(variant) = &self.variant {
            text.push('@');
            text.push_str(variant);
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses() {
        for text in ["a", "a/b", "a@v", "a/b@v", "_t", "a.b-c_d"] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        for text in ["", "/b", "a/", "a@", "a/b/c", "a@v@w", "a b", "./a", "-a"] {
            assert!(text.parse::<Identity>().is_err(), "{text} was taken");
        }
    }
}
