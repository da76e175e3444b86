use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Things that are made once: whoever comes first makes one, others wait for it.
pub(super) struct Slots<K, T>(Mutex<BTreeMap<K, Slot<T>>>);

type Slot<T> = Arc<Mutex<Option<T>>>;

impl<K, T> Default for Slots<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, T: Clone> Slots<K, T> {
    pub(super) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let slot = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*slot {
            return Ok(made.clone());
        }
        let made = make()?;
        *slot = Some(made.clone());
        Ok(made)
    }
}
