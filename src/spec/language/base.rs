use serde_json::{Value as Json, json};

use super::keys::PlatformKey;
use super::reference;
use crate::model::Identity;
use crate::spec::problem::nearest;
use crate::spec::service::SourcePath;
use crate::spec::shape::{Field, FromText, Late, Origin, Reader, Schemas, Shape, Table, Wrong, record};
use crate::spec::yaml::{Content, Node, Style};

/// `base`
#[derive(Debug)]
pub(in crate::spec) enum BaseForm {
    Text(Late<BaseText>),
    Map(BaseMap),
}

record! {
    /// A base that is one root file system for each platform.
    struct BaseMap("base") {
        /// A tar or tar.gz file for each platform.
        "rootfs" => rootfs: Table<PlatformKey, Late<SourcePath>>,
    }
}

impl Shape for BaseForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => {
                let map = BaseMap::read(node, reader)?;
                if !matches!(map.rootfs, Field::Set(_) | Field::Broken) {
                    reader.say(node.span, "`base` as a map needs `rootfs`");
                    return None;
                }
                Some(Self::Map(map))
            }
            Content::Scalar(_, Style::Plain | Style::Quoted | Style::Argument) => {
                Late::read(node, reader).map(Self::Text)
            }
            _ => {
                reader.wrong(node, &Self::wanted());
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [BaseMap::schema(schemas), { "type": "string" }] })
    }
    fn wanted() -> String {
        "static, scratch, spec:NAME, a registry reference, an archive, or a map with rootfs".to_owned()
    }
}

/// A base in one text.
#[derive(Debug, Clone)]
pub(in crate::spec) enum BaseText {
    Static,
    Scratch,
    Registry(String),
    OciLayout(SourcePath),
    OciArchive(SourcePath),
    DockerArchive(SourcePath),
    Spec(Identity),
}

impl FromText for BaseText {
    const WANTED: &'static str = "static, scratch, spec:NAME, a registry reference, or an archive";
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong> {
        match text {
            "static" => return Ok(Self::Static),
            "scratch" => return Ok(Self::Scratch),
            _ => {}
        }
        let path = |text| SourcePath::from_text(text, origin);
        match text.split_once(':') {
            Some(("oci", dir)) => return path(dir).map(Self::OciLayout),
            Some(("oci-archive", file)) => return path(file).map(Self::OciArchive),
            Some(("docker-archive", file)) => return path(file).map(Self::DockerArchive),
            Some(("spec", name)) => return reference::spec_identity(name).map(Self::Spec),
            _ => {}
        }
        if let Some((_, rest)) = text.split_once("://") {
            return Err(Wrong::new(format!("`{text}` is not a registry reference"))
                .hint(format!("write {rest}, without the scheme")));
        }
        let (host, rest) = text.split_once('/').unwrap_or(("", text));
        if reference::is_registry_host(host) {
            return reference::check_reference(text).map(|()| Self::Registry(text.to_owned()));
        }
        if !text.contains(['/', ':', '@'])
            && let Some(near) = nearest(text, ["static", "scratch"])
        {
            return Err(Wrong::new(format!("`{text}` is not a base")).hint(format!("did you mean `{near}`?")));
        }
        let full = match (host, text.contains([':', '@'])) {
            ("", _) if rest.contains('/') => format!("docker.io/{rest}"),
            ("", true) => format!("docker.io/library/{rest}"),
            ("", false) => format!("docker.io/library/{rest}:TAG"),
            (_, _) => format!("docker.io/{text}"),
        };
        let rootfs = if text == "alpine" || text.starts_with("alpine:") {
            ", or `rootfs:` with Alpine's own root file systems"
        } else {
            ""
        };
        let service = if rootfs.is_empty() && !text.contains(['/', ':', '@']) {
            format!(", or spec:{text} for an image of the workspace")
        } else {
            String::new()
        };
        Err(Wrong::new(format!("`{text}` does not say which registry it is in"))
            .hint(format!("write {full}{rootfs}{service}; words alone are `static` and `scratch`")))
    }
}
