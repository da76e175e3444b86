//! Which packages come: as `apk add` of apk-tools 2.14 decides it (its `solver.c`), so that an image has what a build with
//! apk would have. Greedy, without going back: where apk finds nothing, neither does this.

mod changes;
mod choice;
mod conflict;
mod universe;

#[cfg(test)]
mod tests;

pub use changes::{Changes, Install};
pub use conflict::{Conflict, NoSolution};

use choice::Choice;
use universe::Universe;

use super::dependency::Dependency;
use super::record::Package;

/// What there is to choose from.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What is in the base's database.
    pub installed: &'a [&'a Package],
    /// The indexes, those of the first repository first.
    pub repositories: &'a [&'a [Package]],
    /// What has to be there in the end: the base's `/etc/apk/world`, and what is asked for.
    pub world: &'a [Dependency],
}

/// What has to change so that everything in `world` is there.
pub fn solve(question: &Question<'_>) -> Result<Changes, NoSolution> {
    let universe = Universe::new(question);
    let mut choice = Choice::new(&universe, false);
    choice.run(question.world);
    if !choice.failed() {
        return Ok(changes::changes(&choice, question.world));
    }
    // What would be chosen if nothing stood in the way says what does.
    let mut all = Choice::new(&universe, true);
    all.run(question.world);
    Err(conflict::explain(&all, question.world))
}
