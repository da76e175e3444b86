//! Versions and their order (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does. Texts that are no versions have an order too.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let ((a_epoch, a), (b_epoch, b)) = (epoch(a), epoch(b));
    let ((a_upstream, a_revision), (b_upstream, b_revision)) = (revision(a), revision(b));
    numbers(a_epoch.as_bytes(), b_epoch.as_bytes())
        .then_with(|| parts(a_upstream.as_bytes(), b_upstream.as_bytes()))
        .then_with(|| parts(a_revision.as_bytes(), b_revision.as_bytes()))
}

fn epoch(version: &str) -> (&str, &str) {
    version.split_once(':').unwrap_or(("", version))
}

/// No revision is the same as the revision `0`.
fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// Texts and numbers by turns, the texts first.
fn parts(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, b_text) =
            (take(&mut a, |byte| !byte.is_ascii_digit()), take(&mut b, |byte| !byte.is_ascii_digit()));
        for index in 0..a_text.len().max(b_text.len()) {
            match weight(a_text.get(index)).cmp(&weight(b_text.get(index))) {
                Ordering::Equal => {}
                other => return other,
            }
        }
        let (a_number, b_number) = (take(&mut a, u8::is_ascii_digit), take(&mut b, u8::is_ascii_digit));
        match numbers(a_number, b_number) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

fn take<'a>(text: &mut &'a [u8], keep: impl Fn(&u8) -> bool) -> &'a [u8] {
    let (taken, rest) = text.split_at(text.iter().position(|byte| !keep(byte)).unwrap_or(text.len()));
    *text = rest;
    taken
}

/// A tilde is less than the end, letters are less than all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// Numbers of any length; none at all is 0.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |number: &[u8]| number.iter().position(|byte| *byte != b'0').unwrap_or(number.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::*;

    #[test]
    fn the_order_of_versions() {
        // Each line in rising order.
        let rising = [
            "1.0~~ 1.0~~a 1.0~ 1.0 1.0-0.1 1.0-1 1.0a 1.0+b1 1.0.1",
            "0.9 1:0.1 2:0 10:0",
            "1.2~rc1 1.2 1.2-1~deb12u1 1.2-1 1.2-1ubuntu1 1.2-1+b1 1.2-1.1 1.2-2 1.2-10",
            "2.36-9+deb12u9 2.36-9+deb12u10",
            "1.9 1.10 1.99999999999999999999999999 1.100000000000000000000000000",
            "1.0-1 1.0-1-1",
        ];
        for line in rising {
            let versions = line.split(' ').collect::<Vec<_>>();
            for (at, a) in versions.iter().enumerate() {
                for (other, b) in versions.iter().enumerate() {
                    assert_eq!(compare_versions(a, b), at.cmp(&other), "{a} {b}");
                }
            }
        }
        for (a, b) in [("1.0", "1.0-0"), ("0:1", "1"), ("1.01", "1.1"), ("1.0-00", "1.0"), ("", "0")] {
            assert_eq!(compare_versions(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    fn version() -> impl Strategy<Value = String> {
        "([0-3]:)?[0-9][0-9a-c.+~]{0,5}(-[0-9a-b.+~]{1,4})?"
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in version(), b in version(), c in version()) {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
            if compare_versions(&a, &b).is_le() && compare_versions(&b, &c).is_le() {
                prop_assert!(compare_versions(&a, &c).is_le());
            }
        }
    }

    /// Hundreds of pairs, compared by dpkg in one shell.
    #[test]
    fn the_order_is_that_of_dpkg() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut draw = || version().new_tree(&mut runner).map(|tree| tree.current()).unwrap_or_default();
        let pairs = (0..500).map(|_| (draw(), draw())).collect::<Vec<_>>();
        let script = "while read -r a b; do
            if dpkg --compare-versions \"$a\" lt \"$b\"; then echo Less
            elif dpkg --compare-versions \"$a\" eq \"$b\"; then echo Equal
            else echo Greater; fi
        done";
        if Command::new("dpkg").arg("--version").output().is_err() {
            eprintln!("skipped: there is no dpkg");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("pairs");
        std::fs::write(&list, pairs.iter().flat_map(|(a, b)| [a, " ", b, "\n"]).collect::<String>()).unwrap();
        let said = Command::new("sh")
            .args(["-c", script])
            .stdin(std::fs::File::open(&list).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.lines().count(), pairs.len());
        for ((a, b), said) in pairs.iter().zip(said.lines()) {
            assert_eq!(format!("{:?}", compare_versions(a, b)), said, "{a} {b}");
        }
    }
}
