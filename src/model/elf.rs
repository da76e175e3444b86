/// What the dynamic loader reads of an ELF file (System V gABI, chapters 4 and 5; Linux Standard Base, symbol versions).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Elf {
    /// The machine by the kernel's name: `x86_64`, `aarch64`; `machine-N` and a suffix for 32 bits or other byte order
    /// where it is none of these.
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
    /// Where it looks for them first (`DT_RUNPATH`, else `DT_RPATH`), `$ORIGIN` as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runpath: Vec<String>,
    /// Symbol versions that it needs: `(library, version)` (`.gnu.version_r`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions_needed: Vec<(String, String)>,
    /// Symbol versions that it has (`.gnu.version_d`), as `GLIBC_2.36`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
}
