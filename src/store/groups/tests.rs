use std::time::Duration;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn of(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A blob of these groups, with its index.
fn put(store: &Store, framing: &str, groups: &[&str]) -> GroupIndex {
    let blob = store.put_bytes(groups.concat().as_bytes()).unwrap();
    let row = |text: &&str| StoredGroup {
        identity: of(&format!("what makes {text}")),
        length: text.len() as u64,
        checksum: of(text),
    };
    let index = GroupIndex { framing: framing.to_owned(), blob, groups: groups.iter().map(row).collect() };
    store.put_groups(&index).unwrap();
    index
}

fn found(store: &Store, framing: &str, text: &str) -> Option<Vec<u8>> {
    let identity = of(&format!("what makes {text}"));
    let range = store.find_groups(framing, &[identity]).remove(&identity)?;
    Some(range.read(text.len())?.0)
}

#[test]
fn groups_are_found_in_any_blob_of_their_framing() {
    let (_folder, store) = store();
    put(&store, "gzip 6", &["one", "", "three"]);
    put(&store, "gzip 6", &["four", "one"]);
    for text in ["one", "", "three", "four"] {
        assert_eq!(found(&store, "gzip 6", text).as_deref(), Some(text.as_bytes()), "{text}");
    }
    assert_eq!(found(&store, "gzip 6", "five"), None);
    assert_eq!(found(&store, "gzip 9", "one"), None);
}

#[test]
fn a_damaged_blob_is_not_copied_from() {
    let (_folder, store) = store();
    let index = put(&store, "gzip 6", &["one", "two", "three"]);
    let path = store.blob_path(&index.blob);
    fs::write(&path, "oneXwothr").unwrap();
    assert_eq!(found(&store, "gzip 6", "one").as_deref(), Some(&b"one"[..]));
    assert_eq!(found(&store, "gzip 6", "two"), None);
    assert_eq!(found(&store, "gzip 6", "three"), None);
    fs::remove_file(&path).unwrap();
    assert_eq!(found(&store, "gzip 6", "one"), None);
}

#[test]
fn a_length_without_end_is_not_read() {
    let (_folder, store) = store();
    let mut index = put(&store, "gzip 6", &["one", "two"]);
    index.groups[0].length = u64::MAX;
    store.put_groups(&index).unwrap();
    assert_eq!(found(&store, "gzip 6", "one"), None);
    assert_eq!(found(&store, "gzip 6", "two"), None);
}

#[test]
fn a_torn_index_is_none() {
    let (_folder, store) = store();
    let index = put(&store, "gzip 6", &["one", "two"]);
    let path = store.groups_path(&index.blob);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(found(&store, "gzip 6", "one"), None, "the first {length} bytes");
    }
    for at in 0..whole.len() {
        let mut other = whole.clone();
        other[at] ^= 1;
        fs::write(&path, other).unwrap();
        assert_eq!(found(&store, "gzip 6", "one"), None, "byte {at}");
    }
    // Whole, but of another version or shape.
    let text = index.encode();
    let rest = &text[VERSION.len()..];
    for other in
        [&[b"imgpack groups 2", rest].concat(), &text[..text.len() - 1], b"", &[&text[..], b"x"].concat()]
    {
        write_bytes(&path, other).unwrap();
        assert_eq!(found(&store, "gzip 6", "one"), None);
    }
    write_bytes(&path, &text).unwrap();
    assert!(found(&store, "gzip 6", "one").is_some());
}

#[test]
fn the_newest_are_kept() {
    let (_folder, store) = store();
    let old = put(&store, "gzip 6", &["old", "est"]);
    let path = store.groups_path(&old.blob);
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
    for number in 1..KEPT {
        put(&store, "gzip 6", &[&number.to_string(), "x"]);
    }
    assert!(found(&store, "gzip 6", "old").is_some());
    put(&store, "gzip 6", &["one", "more"]);
    assert!(!path.exists());
    assert_eq!(store.group_indexes().len(), KEPT);
}
