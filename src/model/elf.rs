/// What the dynamic loader reads of an ELF file (System V gABI, chapters 4 and 5; Linux Standard Base, symbol versions).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Elf {
    /// The machine by the kernel's name: `x86_64`, `aarch64`, `i386`, `arm` …; `machine-N` with `-32` or `-be` behind it
    /// where it has none here. Of all but the first two nothing else is known.
    pub machine: String,
    /// The loader that it asks for (`PT_INTERP`); programs that are linked dynamically have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Its name as a library (`DT_SONAME`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soname: Option<String>,
    /// Libraries that it needs (`DT_NEEDED`), in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// Where it looks for them first (`DT_RUNPATH`), `$ORIGIN` as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runpath: Vec<String>,
    /// The older form, which holds for its libraries' libraries too, and counts for nothing beside the newer (`DT_RPATH`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rpath: Vec<String>,
    /// Symbol versions that it needs: `(library, version)` (`.gnu.version_r`), without weak ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions_needed: Vec<(String, String)>,
    /// Symbol versions that it has (`.gnu.version_d`), as `GLIBC_2.36`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
}
