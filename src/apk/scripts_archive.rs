use std::collections::BTreeMap;

/// A tar block.
const BLOCK: usize = 512;

/// Scripts in the order in which apk writes those of a package (apk-tools 2.14, `enum apk_script`).
const ORDER: [&str; 7] = [
    "pre-install",
    "post-install",
    "pre-deinstall",
    "post-deinstall",
    "pre-upgrade",
    "post-upgrade",
    "trigger",
];

/// `/lib/apk/db/scripts.tar`: the scripts of installed packages, as `NAME-VERSION.IDENTITY.SCRIPT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ScriptsArchive {
    /// The blocks of each member by package and script.
    members: BTreeMap<(String, usize), Vec<u8>>,
}

impl ScriptsArchive {
    /// Reads an archive that apk wrote; `None` where it is none.
    pub(super) fn parse(tar: &[u8]) -> Option<Self> {
        let mut archive = Self::default();
        let mut rest = tar;
        while let Some(header) = rest.get(..BLOCK) {
            if header.iter().all(|byte| *byte == 0) {
                return Some(archive);
            }
            let text = |field: &[u8]| {
                let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
                std::str::from_utf8(&field[..end]).ok().map(str::trim).map(str::to_owned)
            };
            let size = usize::from_str_radix(&text(&header[124..136])?, 8).ok()?;
            let whole = size.checked_next_multiple_of(BLOCK)?.checked_add(BLOCK)?;
            let name = text(&header[..100])?;
            let (package, script) = name.rsplit_once('.')?;
            let order = ORDER.iter().position(|known| *known == script)?;
            archive.members.insert((package.to_owned(), order), rest.get(..whole)?.to_vec());
            rest = &rest[whole..];
        }
        rest.is_empty().then_some(archive)
    }

    /// The text of a script.
    pub(super) fn script(&self, package: &str, script: &str) -> Option<String> {
        let order = ORDER.iter().position(|known| *known == script)?;
        let member = self.members.get(&(package.to_owned(), order))?;
        let size = std::str::from_utf8(&member[124..135]).ok()?;
        let size = usize::from_str_radix(size, 8).ok()?;
        Some(String::from_utf8_lossy(member.get(BLOCK..BLOCK + size)?).into_owned())
    }

    /// Adds the scripts of a package that was built at `time`, in seconds since 1970.
    pub(super) fn add(&mut self, package: &str, scripts: &BTreeMap<String, String>, time: u64) {
        for (order, script) in ORDER.iter().enumerate() {
            let Some(text) = scripts.get(*script) else { continue };
            let mut member = header(&format!("{package}.{script}"), text.len(), time).to_vec();
            member.extend_from_slice(text.as_bytes());
            member.resize(member.len().next_multiple_of(BLOCK), 0);
            self.members.insert((package.to_owned(), order), member);
        }
    }

    /// The archive with the scripts of these packages, in this order.
    pub(super) fn bytes<'p>(&self, packages: impl Iterator<Item = &'p str>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for package in packages {
            let from = (package.to_owned(), 0);
            let own = self.members.range(from..).take_while(|((known, _), _)| known == package);
            own.for_each(|(_, member)| bytes.extend_from_slice(member));
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }
}

/// A header as apk writes it: GNU's magic, root by number and by name.
fn header(name: &str, size: usize, time: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    // apk cuts longer names, too.
    put(0, &name.as_bytes()[..name.len().min(99)]);
    put(100, b"0000755");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:012o}").as_bytes());
    put(136, format!("{time:012o}").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar  ");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
