/// What the headers of a member say beyond what layers keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Name of the owner, empty where there is none.
    pub user: Vec<u8>,
    /// Name of the group, empty where there is none.
    pub group: Vec<u8>,
    /// PAX records other than those of which the member is made, in their order.
    pub records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    /// The last value of a PAX record.
    pub fn record(&self, key: &str) -> Option<&[u8]> {
        let found = self.records.iter().rfind(|(known, _)| known == key.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }

    /// The name of an extended attribute of the file system (`SCHILY.xattr.…`, as GNU tar, bsdtar and Go write it).
    pub fn extended(&self) -> Option<String> {
        let name = |(key, _): &(Vec<u8>, Vec<u8>)| {
            key.strip_prefix(b"SCHILY.xattr.").map(|name| String::from_utf8_lossy(name).into_owned())
        };
        self.records.iter().find_map(name)
    }
}
