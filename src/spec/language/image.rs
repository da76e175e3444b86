use serde_json::{Value as Json, json};

use super::health::HealthForm;
use super::keys::{EnvKey, InfoKey, LabelKey, NameKey};
use super::text::Signal;
use crate::model::ImagePath;
use crate::spec::shape::{
    FromText, Int, Items, Late, Origin, Reader, Schemas, Shape, Table, Template, Wrong, record,
};
use crate::spec::yaml::{Content, Node, Style};

record! {
    /// What the image says about how it is run.
    struct Image("image") {
        /// User of the process: a map, or numbers as text (`"1001:1001"`). Default: 65532 on built-in bases, else the base's.
        "user" => user: UserForm,
        /// Program and its first arguments. Default: what the builder made, else the base's.
        "entrypoint" => entrypoint: Items<Template>,
        /// Arguments. Setting `entrypoint` drops the base's.
        "cmd" => cmd: Items<Template>,
        /// Environment; added to the base's by name.
        "env" => env: Table<EnvKey, Template>,
        /// Working directory. Default: the base's.
        "workdir" => workdir: Late<Workdir>,
        /// Ports, by name or as a list: `8000`, `53/udp`.
        "ports" => ports: PortsForm,
        /// Directories that are volumes; they are made, and belong to the user.
        "volumes" => volumes: Items<Late<ImagePath>>,
        /// Signal that stops the container.
        "stopSignal" => stop_signal: Late<Signal>,
        /// Labels of the config; added to the base's by key.
        "labels" => labels: Table<LabelKey, Template>,
        /// Annotations of manifests and index.
        "annotations" => annotations: Table<LabelKey, Template>,
        /// `org.opencontainers.image.*`, as labels and as annotations.
        "info" => info: Table<InfoKey, Template>,
        /// Health check: `none`, an address (`http://:8000/health`, `grpc://:50051/Service`, `tcp://:5432`), or a map.
        "healthcheck" => healthcheck: HealthForm,
    }
}

/// `image.user`
#[derive(Debug)]
pub(in crate::spec) enum UserForm {
    Numbers(Late<UserNumbers>),
    Map(Box<UserMap>),
}

record! {
    /// A user with its numbers.
    struct UserMap("image.user") {
        /// Name; with one, the user gets a row in /etc/passwd.
        "name" => name: Late<UserName>,
        /// User number.
        "uid" => uid: Int<4_294_967_294>,
        /// Group name. Default: the user's.
        "group" => group: Late<UserName>,
        /// Group number. Default: the user's.
        "gid" => gid: Int<4_294_967_294>,
    }
}

impl Shape for UserForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => UserMap::read(node, reader).map(|map| Self::Map(Box::new(map))),
            Content::Scalar(..) => Late::read(node, reader).map(Self::Numbers),
            _ => {
                reader.wrong(node, &Self::wanted());
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [UserMap::schema(schemas), Late::<UserNumbers>::schema(schemas)] })
    }
    fn wanted() -> String {
        "a map with name and uid, or numbers like \"1001:1001\"".to_owned()
    }
}

/// `"uid"` or `"uid:gid"`.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct UserNumbers {
    pub(in crate::spec) uid: u32,
    pub(in crate::spec) gid: u32,
}

/// A user or group number: digits alone, without the number that means "none".
pub(super) fn id_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number != u32::MAX)
}

impl FromText for UserNumbers {
    const WANTED: &'static str = "a map with name and uid, or numbers like \"1001:1001\"";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        if let (Some(uid), Some(gid)) = (id_number(uid), id_number(gid)) {
            return Ok(Self { uid, gid });
        }
        let hint = match uid {
            "root" => "root is \"0:0\"".to_owned(),
            _ if is_user_name(uid) => format!("give it a number: {{ name: {uid}, uid: 1001 }}"),
            _ => "write it like \"1001:1001\"".to_owned(),
        };
        Err(Wrong::new(format!("the user `{text}` has no number: the user of an image is always numeric"))
            .hint(hint))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(:[0-9]+)?$" })
    }
}

/// A name for /etc/passwd or /etc/group.
#[derive(Debug, Clone)]
pub(in crate::spec) struct UserName(pub(in crate::spec) String);

fn is_user_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

impl FromText for UserName {
    const WANTED: &'static str = "a name";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        if is_user_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Wrong::new(format!("`{text}` is not the name of a user or group"))
            .hint("at most 32 letters, digits, `_`, `-` and `.`, beginning with a letter or `_`"))
    }
}

/// `image.workdir`: a directory of the image, the root too.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Workdir(pub(in crate::spec) String);

impl FromText for Workdir {
    const WANTED: &'static str = "a directory of the image";
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong> {
        if text == "/" {
            return Ok(Self(text.to_owned()));
        }
        ImagePath::from_text(text, origin).map(|path| Self(path.as_str().to_owned()))
    }
}

/// One port: number and protocol.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Port {
    pub(in crate::spec) number: u16,
    pub(in crate::spec) protocol: &'static str,
}

impl FromText for Port {
    const WANTED: &'static str = "a port like 8000 or 53/udp";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => "tcp",
            "udp" => "udp",
            "sctp" => "sctp",
            _ => {
                return Err(
                    Wrong::new(format!("`{text}` has an unknown protocol")).hint("known are tcp, udp, sctp")
                );
            }
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if digits
            && !number.starts_with('0')
            && let Ok(number) = number.parse()
        {
            return Ok(Self { number, protocol });
        }
        let hint = if number.contains(':') {
            "an image names the container's port alone; the host's is chosen when it is run"
        } else {
            "a port is a number from 1 to 65535, like 8000 or 53/udp"
        };
        Err(Wrong::new(format!("`{text}` is not a port")).hint(hint))
    }
}

/// A port, as a number or as text.
#[derive(Debug, Clone)]
pub(in crate::spec) struct PortForm(pub(in crate::spec) Late<Port>);

impl Shape for PortForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Scalar(text, Style::Plain) = &node.content
            && text.bytes().all(|byte| byte.is_ascii_digit())
        {
            return match Port::from_text(text, &Origin::new(node.span, reader.sources)) {
                Ok(port) => Some(Self(Late::Now(port))),
                Err(wrong) => {
                    wrong.say(node.span, reader);
                    None
                }
            };
        }
        Late::read(node, reader).map(Self)
    }
    fn schema(_: &mut Schemas) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            { "type": "string", "pattern": r"^[0-9]+(/(tcp|udp|sctp))?$|\$\{" },
        ] })
    }
    fn wanted() -> String {
        Port::WANTED.to_owned()
    }
}

/// `image.ports`
#[derive(Debug)]
pub(in crate::spec) enum PortsForm {
    List(Items<PortForm>),
    Map(Table<NameKey, PortForm>),
}

impl Shape for PortsForm {
    const LIST: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::List(_) | Content::Scalar(_, Style::Argument) => {
                Items::read(node, reader).map(Self::List)
            }
            Content::Map(_) => Table::read(node, reader).map(Self::Map),
            _ => {
                let hint = node.text().filter(|text| text.len() < 12).map(|text| format!("write [{text}]"));
                reader.wrong(node, &Self::wanted()).maybe_hint(hint);
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [
            Items::<PortForm>::schema(schemas),
            Table::<NameKey, PortForm>::schema(schemas),
        ] })
    }
    fn wanted() -> String {
        "a map of names to ports, or a list of ports".to_owned()
    }
}

impl Port {
    /// `8000/tcp`, as the config has it.
    pub(in crate::spec) fn text(&self) -> String {
        format!("{}/{}", self.number, self.protocol)
    }
}
