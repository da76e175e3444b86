//! The order in which packages are put into an image.

use std::collections::{BTreeMap, BTreeSet};

/// Packages behind those that they need, as far as there is such an order: depth first through names in their order and needs
/// in theirs; a circle is cut where it comes back to where it was entered.
pub(super) fn order<'a>(needs: &BTreeMap<usize, Vec<usize>>, name: impl Fn(&usize) -> &'a str) -> Vec<usize> {
    let mut starts = needs.keys().copied().collect::<Vec<_>>();
    starts.sort_by_key(|package| name(package));
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for start in starts {
        let mut stack = vec![(start, 0)];
        if !seen.insert(start) {
            continue;
        }
        while let Some((package, done)) = stack.last_mut() {
            let package = *package;
            let next = needs.get(&package).and_then(|needs| needs.get(*done)).copied();
            *done += 1;
            match next {
                Some(needed) if needs.contains_key(&needed) && seen.insert(needed) => stack.push((needed, 0)),
                Some(_) => {}
                None => {
                    ordered.push(package);
                    stack.pop();
                }
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_go_first_and_circles_are_cut() {
        let names = ["c", "b", "a", "d", "e"];
        let needs = BTreeMap::from([
            (0, vec![1, 9]),
            (1, vec![2, 3]),
            // a needs c: a circle of a, b, c.
            (2, vec![0]),
            (3, vec![4]),
            (4, vec![]),
        ]);
        let ordered = order(&needs, |package| names[*package]);
        assert_eq!(ordered.iter().map(|package| names[*package]).collect::<String>(), "edbca");
    }
}
