use crate::model::{Entry, EntryKind};

/// Modification time of every entry: 1980-02-01T00:00:00Z, in seconds. Zip tools, ETags and `.pyc` files break on 0.
pub const LAYERS_TIME: u64 = 318_211_200;

/// Longest name and link target that a ustar header holds.
const NAME_LENGTH: usize = 100;
/// Largest number that a ustar header's owner fields hold (seven octal digits).
const OWNER_LIMIT: u32 = 0o7_777_777;
/// First length that a ustar header's size field does not hold (eleven octal digits).
const SIZE_LIMIT: u64 = 1 << 33;

/// The header blocks of `entry`: a PAX header where ustar has no room, then the ustar header. POSIX.1-2017, pax,
/// "ustar Interchange Format".
///
/// PAX records stand in bytewise order of their names and only where they are needed, so that one entry has one form.
pub(super) fn header_blocks(entry: &Entry) -> Vec<u8> {
    let name = tar_name(entry);
    let (kind, link, size) = match &entry.kind {
        EntryKind::Directory => (tar::EntryType::Directory, None, 0),
        EntryKind::File { size, .. } => (tar::EntryType::Regular, None, *size),
        EntryKind::Symlink { target } => (tar::EntryType::Symlink, Some(target.as_str()), 0),
        EntryKind::Hardlink { target } => (tar::EntryType::Link, Some(target.relative()), 0),
        EntryKind::Whiteout => (tar::EntryType::Regular, None, 0),
    };

    let mut records = Vec::new();
    if entry.owner.gid > OWNER_LIMIT {
        record(&mut records, "gid", &entry.owner.gid.to_string());
    }
    if let Some(link) = link.filter(|link| !fits(link)) {
        record(&mut records, "linkpath", link);
    }
    if !fits(&name) {
        record(&mut records, "path", &name);
    }
    if size >= SIZE_LIMIT {
        record(&mut records, "size", &size.to_string());
    }
    if entry.owner.uid > OWNER_LIMIT {
        record(&mut records, "uid", &entry.owner.uid.to_string());
    }

    let mut blocks = Vec::with_capacity(512);
    if !records.is_empty() {
        let pax = Fields {
            kind: tar::EntryType::XHeader,
            name: "PaxHeaders/entry",
            link: None,
            size: records.len() as u64,
            mode: 0o644,
            uid: 0,
            gid: 0,
        };
        blocks.extend_from_slice(&ustar(&pax));
        blocks.extend_from_slice(&records);
        blocks.resize(blocks.len().next_multiple_of(512), 0);
    }
    let fields = Fields {
        kind,
        name: &name,
        link,
        size: if size < SIZE_LIMIT { size } else { 0 },
        mode: entry.mode,
        uid: if entry.owner.uid > OWNER_LIMIT { 0 } else { entry.owner.uid },
        gid: if entry.owner.gid > OWNER_LIMIT { 0 } else { entry.owner.gid },
    };
    blocks.extend_from_slice(&ustar(&fields));
    blocks
}

/// The name as tar has it: no leading slash, a final one for directories, `.wh.` before the name of a removal.
fn tar_name(entry: &Entry) -> String {
    let path = entry.path.relative();
    match entry.kind {
        EntryKind::Directory => format!("{path}/"),
        EntryKind::Whiteout => match path.rsplit_once('/') {
            Some((parent, name)) => format!("{parent}/.wh.{name}"),
            None => format!(".wh.{path}"),
        },
        _ => path.to_owned(),
    }
}

fn fits(text: &str) -> bool {
    text.is_ascii() && text.len() <= NAME_LENGTH
}

/// Appends `<length> <name>=<value>\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, name: &str, value: &str) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {name}={value}\n").as_bytes());
}

struct Fields<'a> {
    kind: tar::EntryType,
    name: &'a str,
    link: Option<&'a str>,
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

fn ustar(fields: &Fields<'_>) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(fields.kind);
    header.set_mode(fields.mode);
    header.set_uid(u64::from(fields.uid));
    header.set_gid(u64::from(fields.gid));
    header.set_size(fields.size);
    header.set_mtime(LAYERS_TIME);
    let mut bytes = *header.as_bytes();
    put_text(&mut bytes[0..NAME_LENGTH], fields.name);
    put_text(&mut bytes[157..157 + NAME_LENGTH], fields.link.unwrap_or_default());
    bytes[329..337].copy_from_slice(b"0000000\0");
    bytes[337..345].copy_from_slice(b"0000000\0");
    let mut header = tar::Header::from_byte_slice(&bytes).clone();
    header.set_cksum();
    *header.as_bytes()
}

/// Puts as many whole ASCII characters of `text` as fit; what does not fit stands in a PAX record.
fn put_text(field: &mut [u8], text: &str) {
    for (byte, character) in field.iter_mut().zip(text.chars()) {
        *byte = u8::try_from(character).ok().filter(u8::is_ascii).unwrap_or(b'_');
    }
}
