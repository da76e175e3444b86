use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::model::{BlobDigest, ContentDigest, Entry, Owner};

/// A layer that was packed, and its blob.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Packing {
    made: Made,
    blob: Vec<u8>,
}

fn store(folder: &tempfile::TempDir, name: &str) -> Store {
    Store::open(&folder.path().join(name)).unwrap()
}

fn pack(store: &Store, entries: &Entries, compression: Compression, threads: usize) -> Packing {
    let press = Press::new(threads);
    let made = make_layer(store, &press, entries, compression, false, &Cancel::new()).unwrap();
    let blob = fs::read(store.blob_path(&made.layer.descriptor.digest)).unwrap();
    assert_eq!(blob.len() as u64, made.layer.descriptor.size);
    assert_eq!(BlobDigest::of(&blob), made.layer.descriptor.digest);
    Packing { made, blob }
}

/// Text that compresses, another for each seed.
fn text(seed: u64, length: usize) -> Vec<u8> {
    static WORDS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut word = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"abcdefgh"[(state >> 40) as usize % 8]
        };
        std::iter::repeat_with(&mut word).take(100_003).collect()
    });
    let start = usize::try_from(seed).unwrap() * 997 % WORDS.len();
    let mut bytes = WORDS[start..].to_vec();
    while bytes.len() < length {
        bytes.extend_from_slice(&WORDS);
    }
    bytes.truncate(length);
    bytes
}

fn file(path: &str, bytes: Vec<u8>) -> Entry {
    Entry {
        path: path.parse().unwrap(),
        kind: EntryKind::bytes(bytes),
        mode: 0o644,
        owner: Owner::default(),
        origin: "test".into(),
    }
}

/// 60 files of up to 120 kB and one that is cut.
fn package(changed: Option<u64>) -> Entries {
    let mut entries = Entries::new();
    for number in 0..60_u64 {
        let seed = if changed == Some(number) { 1000 } else { number };
        let length = usize::try_from(number * 7919 % 120).unwrap() * 1000;
        entries.insert(file(&format!("/app/{number:02}.py"), text(seed, length))).unwrap();
    }
    entries.insert(file("/app/30.so", text(77, 2_500_000))).unwrap();
    entries
}

const COMPRESSED: [Compression; 4] =
    [Compression::GZIP, Compression::Gzip(1), Compression::ZSTD, Compression::Zstd(9)];

#[test]
fn threads_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let packings = [0, 1, 2, 3, 40].map(|threads| {
            let store = store(&folder, &format!("{compression} {threads}"));
            pack(&store, &package(None), compression, threads)
        });
        assert!(packings[0].made.groups > 4);
        assert!(packings.iter().all(|packing| *packing == packings[0]), "{compression}");
    }
}

/// The press may be used from its neighbours' pools.
#[test]
fn any_thread_may_pack() {
    let folder = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let expected = pack(&store(&folder, "plain"), &package(None), Compression::GZIP, 1);
    let found = pool.install(|| pack(&store(&folder, "pool"), &package(None), Compression::GZIP, 1));
    assert_eq!(found.made, expected.made);
}

#[test]
fn layers_share_one_press() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "one");
    let press = Press::new(2);
    let digests: Vec<Layer> = thread::scope(|scope| {
        let pack = |number| {
            let (store, press) = (&store, &press);
            move || make_layer(store, press, &package(Some(number)), Compression::GZIP, true, &Cancel::new())
        };
        let threads: Vec<_> = (0..3).map(|number| scope.spawn(pack(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap().layer).collect()
    });
    for (number, layer) in digests.iter().enumerate() {
        let alone = make_layer(
            &store,
            &Press::new(1),
            &package(Some(number as u64)),
            Compression::GZIP,
            true,
            &Cancel::new(),
        );
        assert_eq!(alone.unwrap().layer, *layer);
    }
}

#[test]
fn one_changed_file_costs_its_group() {
    let folder = tempfile::tempdir().unwrap();
    for compression in COMPRESSED {
        let store = store(&folder, &compression.to_string());
        let first = pack(&store, &package(None), compression, 2);
        assert_eq!(first.made.copied, 0);
        let groups = first.made.groups;
        assert_eq!(pack(&store, &package(None), compression, 2).made.copied, groups);
        let changed = pack(&store, &package(Some(40)), compression, 2);
        assert_eq!(changed.made.copied, groups - 1, "{compression}");
        let alone =
            pack(&self::store(&folder, &format!("{compression} alone")), &package(Some(40)), compression, 2);
        assert_eq!(changed.blob.len(), alone.blob.len());
        assert!(changed.blob == alone.blob, "{compression}");
    }
}

#[test]
fn afresh_nothing_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "one");
    pack(&store, &package(None), Compression::GZIP, 2);
    let made =
        make_layer(&store, &Press::new(2), &package(None), Compression::GZIP, true, &Cancel::new()).unwrap();
    assert_eq!(made.copied, 0);
}

/// Where nothing is made no thread is started; neither for what is one group.
#[test]
fn small_layers_need_no_thread() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "one");
    let press = Press::new(2);
    let mut entries = Entries::new();
    entries.insert(file("/a", b"a".to_vec())).unwrap();
    make_layer(&store, &press, &entries, Compression::GZIP, false, &Cancel::new()).unwrap();
    assert!(!press.has_started());
    make_layer(&store, &press, &package(None), Compression::GZIP, false, &Cancel::new()).unwrap();
    assert!(press.has_started());
}

#[test]
fn a_file_that_changes_or_goes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "one");
    for large in [false, true] {
        let path = folder.path().join("late.txt");
        let size = if large { 3_000_000 } else { 10 };
        let mut entries = package(None);
        let digest = ContentDigest::of(&text(1, size));
        let kind = EntryKind::File { digest, size: size as u64, content: Content::Path(path.clone()) };
        entries.insert(Entry { kind, ..file("/app/40-late.txt", Vec::new()) }).unwrap();
        let error = || {
            let error =
                make_layer(&store, &Press::new(2), &entries, Compression::GZIP, false, &Cancel::new());
            error.unwrap_err().to_string()
        };
        let name = path.display();
        let _ = fs::remove_file(&path);
        assert_eq!(error(), format!("cannot read {name} for /app/40-late.txt"));
        for wrong in [text(2, size), text(1, size - 1), text(1, size + 1)] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(error(), format!("{name} changed while it was packed as /app/40-late.txt"));
        }
        fs::write(&path, text(1, size)).unwrap();
        make_layer(&store, &Press::new(2), &entries, Compression::GZIP, false, &Cancel::new()).unwrap();
    }
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_cancelled_layer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, "one");
    let cancel = Cancel::new();
    cancel.cancel();
    let error = make_layer(&store, &Press::new(2), &package(None), Compression::GZIP, false, &cancel);
    assert_eq!(error.unwrap_err().to_string(), "cancelled");
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

/// What can be wrong with an index or its blob.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// Right.
    None,
    /// The blob is gone.
    Pruned,
    /// The blob ends here, in per mille.
    Truncated(usize),
    /// A bit of the blob is another, at this place in per mille.
    Damaged(usize),
    /// Two groups have each other's identities, with checksums that are right.
    Swapped(usize, usize),
    /// Lengths that are not those of the groups, with checksums of what is there.
    Shifted(u64),
    /// The index says that it is of this compression.
    Relabelled(Compression),
    /// The index is of another blob.
    Foreign,
    /// The index file ends here, in per mille.
    Torn(usize),
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        Just(Lie::None),
        Just(Lie::Pruned),
        (0..1000_usize).prop_map(Lie::Truncated),
        (0..1000_usize).prop_map(Lie::Damaged),
        (0..9_usize, 0..9_usize).prop_map(|(a, b)| Lie::Swapped(a, b)),
        (1..5000_u64).prop_map(Lie::Shifted),
        Just(Lie::Relabelled(Compression::Gzip(2))),
        Just(Lie::Foreign),
        (0..1000_usize).prop_map(Lie::Torn),
    ]
}

fn tell(store: &Store, made: &Packing, identities: &[Digest], compression: Compression, lie: Lie) {
    let blob = made.made.layer.descriptor.digest;
    let path = store.blob_path(&blob);
    let framing = Framing::new(compression).name();
    let count = identities.len();
    let mut index = GroupIndex { framing, blob, groups: stored_groups(store, &blob) };
    let at = |per_mille: usize, length: usize| length * per_mille / 1000;
    match lie {
        Lie::None => return,
        Lie::Pruned => return fs::remove_file(path).unwrap(),
        Lie::Truncated(end) => return fs::write(path, &made.blob[..at(end, made.blob.len())]).unwrap(),
        Lie::Damaged(place) => {
            let mut bytes = made.blob.clone();
            bytes[at(place, made.blob.len())] ^= 0x10;
            return fs::write(path, bytes).unwrap();
        }
        Lie::Swapped(a, b) => {
            let (a, b) = (a % count, b % count);
            (index.groups[a].identity, index.groups[b].identity) = (identities[b], identities[a]);
        }
        Lie::Shifted(by) => {
            let mut offset = 0;
            for group in &mut index.groups {
                group.length += by;
                let start = usize::try_from(offset).unwrap().min(made.blob.len());
                let end = (start + usize::try_from(group.length).unwrap()).min(made.blob.len());
                group.checksum = Digest::of(&made.blob[start..end]);
                offset += group.length;
            }
        }
        Lie::Relabelled(as_if) => index.framing = Framing::new(as_if).name(),
        Lie::Foreign => index.blob = store.put_bytes(&made.blob[1..]).unwrap(),
        Lie::Torn(end) => {
            let path = index_path(store, &blob);
            let bytes = fs::read(&path).unwrap();
            return fs::write(path, &bytes[..at(end, bytes.len())]).unwrap();
        }
    }
    store.put_groups(&index).unwrap();
}

fn index_path(store: &Store, blob: &BlobDigest) -> std::path::PathBuf {
    Path::join(store.root(), "groups").join(blob.hex())
}

/// The rows of a blob's index, read as the format of the store says: 72 bytes each after three lines.
fn stored_groups(store: &Store, blob: &BlobDigest) -> Vec<StoredGroup> {
    let bytes = fs::read(index_path(store, blob)).unwrap();
    let lines: usize = bytes.splitn(5, |byte| *byte == b'\n').take(4).map(|line| line.len() + 1).sum();
    let row = |row: &[u8; 72]| StoredGroup {
        identity: Digest::from_bytes(row[..32].try_into().unwrap()),
        length: u64::from_be_bytes(row[32..40].try_into().unwrap()),
        checksum: Digest::from_bytes(row[40..].try_into().unwrap()),
    };
    bytes[lines..].as_chunks::<72>().0.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever indexes say, a layer has the bytes that it has in an empty store.
    #[test]
    fn no_index_changes_a_byte(
        sizes in proptest::collection::vec((0_u64..50, 0_usize..300_000), 1..12),
        large in proptest::option::of(1_100_000_usize..1_200_000),
        changed in 0_usize..20,
        lie in lies(),
        other in proptest::sample::select(COMPRESSED.to_vec()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let tree = |changed: Option<usize>| {
            let mut entries = Entries::new();
            for (number, (seed, length)) in sizes.iter().enumerate() {
                let seed = if changed == Some(number) { 99 } else { *seed };
                entries.insert(file(&format!("/f{number:02}"), text(seed, *length))).unwrap();
            }
            if let Some(length) = large {
                entries.insert(file("/f05-large", text(7, length))).unwrap();
            }
            entries
        };
        let (old, new) = (tree(None), tree(Some(changed % sizes.len())));
        let compression = Compression::Gzip(1);
        let expected = pack(&store(&folder, "empty"), &new, compression, 2);

        let used = store(&folder, "used");
        pack(&used, &old, other, 2);
        let made = pack(&used, &old, compression, 2);
        if made.made.groups > 1 {
            let identities: Vec<Digest> = groups(old.iter()).map(|group| group.identity()).collect();
            tell(&used, &made, &identities, compression, lie);
        }
        let found = pack(&used, &new, compression, 2);
        prop_assert_eq!(found.made.layer, expected.made.layer);
        prop_assert!(found.blob == expected.blob);
        // A layer of the very bytes that an index lied about is still right.
        let again = pack(&used, &old, compression, 2);
        prop_assert_eq!(again.made.layer, made.made.layer);
        prop_assert!(again.blob == made.blob);
    }
}
