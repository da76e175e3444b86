use serde_json::{Value as Json, json};

use super::address::Address;
use super::keys::PlaceKey;
use super::path::Glob;
use super::reference;
use super::text::Mode;
use crate::model::{Identity, ImagePath};
use crate::spec::service::SourcePath;
use crate::spec::shape::{
    FromText, Items, Late, Origin, Reader, Schemas, Shape, Table, Template, Wrong, record, words,
};
use crate::spec::yaml::{Content, Node};

record! {
    /// One thing that is put into the image: exactly one of `from`, `dir`, `link` and `text`.
    struct FileRow("files") {
        /// File or directory of the workspace that is copied; `image:REF`: of an image of a registry; `spec:NAME`: of an image of the workspace; `https://…`: one file.
        "from" => from: Late<FromForm>,
        /// With `from: image:REF` or `from: spec:NAME`: the file or directory of the image.
        "path" => path: Late<Place>,
        /// Its place in the image.
        "to" => to: Late<Place>,
        /// `true`: an empty directory.
        "dir" => dir: bool,
        /// A symbolic link with this target.
        "link" => link: Late<String>,
        /// A file with this content.
        "text" => text: Template,
        /// Permission bits, octal and in quotes. Default: from the x bit; directories 0755.
        "mode" => mode: Late<Mode>,
        /// `"uid:gid"`, or the name of `image.user`. Default: `"0:0"`.
        "owner" => owner: Late<OwnerText>,
        /// Class of its layer: system, deps, shared, app (the default) or config.
        "class" => class: Late<RowClass>,
        /// Globs below a directory `from`. Default: everything.
        "include" => include: Items<Late<Glob>>,
        /// Globs below a directory `from`.
        "exclude" => exclude: Items<Late<Glob>>,
        /// Whether it may take the place of something of another kind in the base, or of what a package or an earlier class brings.
        "replace" => replace: bool,
    }
    later {
        "caps" => "file capabilities",
    }
}

/// `from`
#[derive(Debug, Clone)]
pub(in crate::spec) enum FromForm {
    /// A path of the workspace.
    Workspace {
        path: SourcePath,
        /// It ends with a slash, or is `.`: surely a directory.
        is_directory: bool,
    },
    /// `image:` and a registry reference.
    Image(String),
    /// `spec:` and an image of the workspace.
    Spec(Identity),
    /// A file of the network.
    Address(Address),
}

impl FromText for FromForm {
    const WANTED: &'static str = "a path, image:REF, spec:NAME or an address";
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong> {
        match text.split_once(':') {
            Some(("image", reference)) => {
                return reference::check_image(reference).map(|()| Self::Image(reference.to_owned()));
            }
            Some(("spec", name)) => return reference::spec_identity(name).map(Self::Spec),
            Some((scheme @ ("oci" | "oci-archive" | "docker-archive"), _)) => {
                return Err(Wrong::new(format!("`{text}`: files do not come from layouts and archives"))
                    .hint(format!("`{scheme}:` is for `base`; an image of a registry is image:REF")));
            }
            Some((_, rest)) if rest.starts_with("//") => {
                return Address::from_text(text, origin).map(Self::Address);
            }
            _ => {}
        }
        let last = text.rsplit('/').next().unwrap_or_default();
        let is_directory = matches!(last, "" | "." | "..");
        Ok(Self::Workspace { path: SourcePath::from_text(text, origin)?, is_directory })
    }
}

/// `to`: a place in the image, or `/` itself.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Place {
    /// `None` for the root.
    pub(in crate::spec) path: Option<ImagePath>,
    /// It was written with a slash at its end.
    pub(in crate::spec) ends_with_slash: bool,
}

impl FromText for Place {
    const WANTED: &'static str = "a path in the image";
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong> {
        if text == "/" {
            return Ok(Self { path: None, ends_with_slash: false });
        }
        let ends_with_slash = text.ends_with('/');
        ImagePath::from_text(text, origin).map(|path| Self { path: Some(path), ends_with_slash })
    }
    fn schema() -> Json {
        ImagePath::schema()
    }
}

words! {
    /// `class` of a row of `files`.
    enum RowClass {
        "system" => System,
        "deps" => Deps,
        "shared" => Shared,
        "app" => App,
        "config" => Config,
    }
}

/// `owner`: a user and perhaps a group, each a number or a name of `image.user`.
#[derive(Debug, Clone)]
pub(in crate::spec) struct OwnerText {
    pub(in crate::spec) user: String,
    pub(in crate::spec) group: Option<String>,
}

impl FromText for OwnerText {
    const WANTED: &'static str = "an owner like \"0:0\", or the name of image.user";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group.to_owned())),
            None => (text, None),
        };
        if user.is_empty() || group.as_ref().is_some_and(String::is_empty) {
            return Err(Wrong::new(format!("`{text}` is not an owner"))
                .hint("write \"1001:1001\", or the name of image.user"));
        }
        Ok(Self { user: user.to_owned(), group })
    }
}

impl OwnerText {
    /// A part as a number.
    pub(in crate::spec) fn number(text: &str) -> Option<u32> {
        super::image::id_number(text)
    }
}

/// `files`
#[derive(Debug)]
pub(in crate::spec) enum FilesForm {
    Rows(Items<FileRow>),
    /// Place in the image → path of the workspace, or address.
    Short(Table<PlaceKey, Late<FromForm>>),
}

impl Shape for FilesForm {
    const LIST: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::List(_) => Items::read(node, reader).map(Self::Rows),
            Content::Map(map) => {
                if map.contains_key("from") && map.contains_key("to") {
                    reader
                        .say(node.span, "`files` is a list of such maps")
                        .hint("put `- ` before the first of its fields");
                    return None;
                }
                Table::read(node, reader).map(Self::Short)
            }
            _ => {
                reader.wrong(node, &Self::wanted());
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [
            Items::<FileRow>::schema(schemas),
            Table::<PlaceKey, Late<FromForm>>::schema(schemas),
        ] })
    }
    fn wanted() -> String {
        "a list of maps, or a map of places in the image to paths".to_owned()
    }
}
