use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{Content, ContentDigest, Entries, Owner};

/// A file that is never read.
fn file(path: &str, size: u64, seed: u8) -> Entry {
    let kind =
        EntryKind::File { digest: ContentDigest::of(&[seed]), size, content: Content::Bytes(Arc::from([])) };
    Entry {
        path: path.parse().unwrap(),
        kind,
        mode: 0o644,
        owner: Owner::default(),
        origin: Arc::from("test"),
    }
}

fn tree(entries: impl IntoIterator<Item = Entry>) -> Entries {
    let mut tree = Entries::new();
    entries.into_iter().for_each(|entry| tree.insert(entry).unwrap());
    tree
}

/// 2,000 files of up to 40 kB in 20 directories, and large ones between them.
fn package() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..2000_u64)
        .map(|number| file(&format!("/app/{:02}/{number:04}.py", number / 100), number * 7919 % 40_000, 1))
        .collect();
    entries.push(file("/app/05/large.so", 5 * CUT + 17, 1));
    entries.push(file("/app/12/large.so", CUT + 1, 1));
    entries
}

fn names(group: &Group<'_>) -> Vec<String> {
    group.pieces.iter().map(|piece| format!("{} {}..{}", piece.entry.path, piece.from, piece.to)).collect()
}

fn identities(entries: &Entries) -> Vec<Digest> {
    groups(entries.iter()).map(|group| group.identity()).collect()
}

/// The groups of `new` that `old` does not have.
fn made(old: &Entries, new: &Entries) -> usize {
    let known: BTreeSet<Digest> = identities(old).into_iter().collect();
    identities(new).into_iter().filter(|identity| !known.contains(identity)).count()
}

#[test]
fn groups_have_the_lengths_that_the_format_says() {
    let tree = tree(package());
    let lengths: Vec<u64> = groups(tree.iter()).map(|group| group.length()).collect();
    let total: u64 = lengths.iter().sum();
    assert!(lengths.iter().all(|length| *length <= LONGEST + END as u64), "{lengths:?}");
    let average = total / lengths.len() as u64;
    assert!((AVERAGE / 2..AVERAGE * 2).contains(&average), "{average} on average: {lengths:?}");
}

#[test]
fn a_large_file_stands_alone_in_pieces_from_its_start() {
    let tree = tree([file("/a", 1, 1), file("/b", 2 * CUT + 1, 1), file("/c", CUT, 1), file("/d", 1, 1)]);
    let found: Vec<Vec<String>> = groups(tree.iter()).map(|group| names(&group)).collect();
    let (one, two) = (CUT, 2 * CUT);
    assert_eq!(found[0], ["/a 0..1"]);
    assert_eq!(found[1], [format!("/b 0..{one}")]);
    assert_eq!(found[2], [format!("/b {one}..{two}")]);
    assert_eq!(found[3], [format!("/b {two}..{}", two + 1)]);
    // Of this length and above an entry always begins a group.
    assert_eq!(found[4][0], format!("/c 0..{CUT}"));
}

#[test]
fn every_tar_has_an_end() {
    let only: Vec<Group<'_>> = groups(std::iter::empty()).collect();
    assert_eq!((only.len(), only[0].length(), only[0].last), (1, END as u64, true));
    let tree = tree(package());
    let ends: Vec<bool> = groups(tree.iter()).map(|group| group.last).collect();
    assert_eq!(ends.iter().filter(|last| **last).count(), 1);
    assert_eq!(ends.last(), Some(&true));
}

/// What changes, and how many groups are new at most: the one with the entry, and where a boundary came or went its
/// neighbour. `/app/05/0550.py` stands in the middle, `/app/19/1999.py` is the last entry, `/app/00/0000.py` the first.
#[test]
fn a_change_stays_where_it_is() {
    let old = tree(package());
    let change = |edit: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = package();
        edit(&mut entries);
        made(&old, &tree(entries))
    };
    let at = |path: &'static str| {
        move |entries: &[Entry]| entries.iter().position(|e| e.path.to_string() == path).unwrap()
    };
    for path in ["/app/00/0000.py", "/app/05/0550.py", "/app/19/1999.py"] {
        let at = at(path);
        assert_eq!(
            change(&|entries| {
                let at = at(entries);
                entries[at].mode = 0o755;
            }),
            1,
            "mode of {path}"
        );
        assert_eq!(
            change(&|entries| {
                let at = at(entries);
                entries[at] = file(path, 39_999, 2);
            }),
            1,
            "{path} longer"
        );
        assert!(
            change(&|entries| drop({
                let at = at(entries);
                entries.remove(at)
            })) <= 1,
            "{path} removed"
        );
    }
    for new in ["/app/000.py", "/app/05/0550-new.py", "/app/20.py", "/zzz"] {
        assert!(change(&|entries| entries.push(file(new, 512, 1))) <= 2, "{new} inserted");
        assert!(
            change(&|entries| entries.push(file(new, AVERAGE, 1))) <= 2,
            "{new} inserted, with a boundary"
        );
        let large = change(&|entries| entries.push(file(new, 3 * CUT, 1)));
        assert!((3..=5).contains(&large), "{new}, a large file of 3 pieces: {large}");
    }
    // One byte more in a large file: its first piece, with the length in the header, and all with another digest.
    let large = at("/app/05/large.so");
    assert_eq!(
        change(&|entries| {
            let at = large(entries);
            entries[at].mode = 0o755;
        }),
        6
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every byte is in one group, and no boundary depends on what stands before the last one.
    #[test]
    fn boundaries_follow_from_what_is_near(sizes in proptest::collection::vec(0_u64..3 * CUT, 1..60), gone in 0_usize..60) {
        let entries: Vec<Entry> =
            sizes.iter().enumerate().map(|(number, size)| file(&format!("/f/{number:03}"), *size, 1)).collect();
        let whole = tree(entries.clone());
        let found: Vec<Group<'_>> = groups(whole.iter()).collect();
        let expected: u64 = sizes.iter().map(|size| 512 + size.next_multiple_of(512)).sum::<u64>() + END as u64;
        prop_assert_eq!(found.iter().map(Group::length).sum::<u64>(), expected);
        prop_assert!(found.iter().all(|group| group.length() <= LONGEST + END as u64));

        // Between natural boundaries a stretch is cut by its own lengths alone.
        let mut stretch = 0_usize;
        let mut before_is_large = false;
        let mut stretches = Vec::new();
        for group in &found {
            let piece = &group.pieces[0];
            let large = piece.size() > CUT;
            let length = 512 + piece.size().next_multiple_of(512);
            if large && piece.from == 0 || !large && (before_is_large || begins_group(piece.entry, length)) {
                stretch += 1;
            }
            before_is_large = large;
            stretches.push(stretch);
        }
        let gone = gone % sizes.len();
        let holds = |group: &Group<'_>| group.pieces.iter().any(|piece| *piece.entry == entries[gone]);
        let hit = stretches[found.iter().position(holds).unwrap()];
        let mut fewer = entries.clone();
        fewer.remove(gone);
        let fewer = tree(fewer);
        let kept: BTreeSet<Digest> = identities(&fewer).into_iter().collect();
        for (group, stretch) in found.iter().zip(&stretches) {
            let near = stretch.abs_diff(hit) <= 1;
            prop_assert!(near || kept.contains(&group.identity()), "{:?}, hit {hit}", names(group));
        }
    }
}
