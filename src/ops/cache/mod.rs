//! `imgpack cache`: what the cache holds and whose it is, what of it can go, whether it is whole.

mod dangling;
mod inventory;
mod limit;
mod prune;
mod verify;

pub use inventory::{Inventory, Item, Kind, Owner, owners};
pub use limit::keep_to;
pub use prune::{Pruned, Rule, prune};
pub use verify::{Fault, Verified, repair, verify};
