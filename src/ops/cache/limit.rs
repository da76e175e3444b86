//! A limit that builds keep the cache to.

use std::path::Path;

use super::prune::{Pruned, Rule, prune};
use crate::model::Size;
use crate::ops::error::Error;
use crate::store::Store;

/// Removes what was used least recently until the cache takes no more than `limit` on the disk. Looks once a day, and not
/// while others use it; `None` where there was nothing to do.
pub fn keep_to(cache: &Path, limit: Size) -> Result<Option<Pruned>, Error> {
    if !Store::is_prune_due(cache) {
        return Ok(None);
    }
    let Some(mut store) = Store::try_open_alone(cache)? else { return Ok(None) };
    store.note_prune()?;
    let pruned = prune(&mut store, &Rule { max_size: Some(limit), ..Rule::default() }, false)?;
    let small = pruned.freed() == Size(0);
    Ok((!small).then_some(pruned))
}
