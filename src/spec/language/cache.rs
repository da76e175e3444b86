use serde_json::{Value as Json, json};

use crate::model::Size;
use crate::spec::shape::{FromText, Origin, Plain, Wrong, record};

record! {
    /// How builds of this workspace treat the cache of the machine they run on.
    struct CacheSettings("cache") {
        /// What the cache may take on the disk: `20GB`. A build that finds it larger removes what was used least recently.
        "maxSize" => max_size: Plain<Size>,
    }
    later {
        "from" => "shared caches",
        "to" => "shared caches",
        "sign" => "shared caches",
    }
}

impl FromText for Size {
    const WANTED: &'static str = "a size like 20GB";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        text.parse().map_err(|error: crate::model::SizeError| Wrong::new(error.to_string()))
    }
    fn meant_by_number(text: &str) -> Option<String> {
        Some(format!("{text}B or, in a larger unit, {text}GB"))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})? *(B|[kK]B|MB|GB|KiB|MiB|GiB)$" })
    }
}
