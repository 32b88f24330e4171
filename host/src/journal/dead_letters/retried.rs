//! A dead letter that is tried again: it stays in the store until that is settled.

use std::sync::atomic::Ordering;

use super::DeadLetters;
use crate::journal::Owed;

/// One letter under way. Settled, it is removed; let go of, it stays.
pub(in crate::journal) struct Retried {
    store: DeadLetters,
    id: u64,
}

impl std::fmt::Debug for Retried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Retried").field(&self.id).finish()
    }
}

impl DeadLetters {
    /// The token for a letter that is tried again; `None` while it already is.
    ///
    /// Once the token is settled the letter is removed. A crash before that leaves it in the store: it is then tried
    /// again by the next command, and what was delivered meanwhile is delivered twice.
    pub fn retry(&self, id: u64) -> Option<Owed> {
        let fresh = self.under_way.lock().insert(id);
        fresh.then(|| Owed::letter(Retried { store: self.clone(), id }))
    }
}

impl Retried {
    pub(in crate::journal) fn id(&self) -> u64 {
        self.id
    }

    pub(in crate::journal) fn settled(self) {
        let store = &self.store;
        if !store.letters.contains_key(self.id.to_be_bytes()).unwrap_or(true) {
            return;
        }
        // Without an fsync: that it comes back after a power cut is what at-least-once means.
        match store.letters.remove(self.id.to_be_bytes()) {
            Ok(()) => _ = store.count.fetch_sub(1, Ordering::Relaxed),
            Err(error) => {
                tracing::error!(letter = self.id, %error, "cannot remove a dead letter that was delivered");
            }
        }
    }
}

impl Drop for Retried {
    fn drop(&mut self) {
        self.store.under_way.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{letter, store};
    use crate::journal::Place;

    #[test]
    fn a_letter_goes_when_its_retry_is_settled_and_stays_when_that_is_let_go_of() {
        let (store, _dir) = store();
        store
            .put(vec![letter("1", Place::Backend("b".into())), letter("2", Place::Backend("b".into()))])
            .unwrap();
        let (one, two) = (store.retry(1).unwrap(), store.retry(2).unwrap());
        assert!(store.retry(1).is_none(), "it is under way");
        one.settle();
        drop(two);
        assert_eq!(store.iter().map(|letter| letter.id).collect::<Vec<_>>(), [2]);
        assert_eq!(store.len(), 1);
        assert!(store.retry(2).is_some(), "it may be tried again");
    }
}
