//! One call's dealings with its step's state: what it wrote is taken back if it does not end well.

use std::sync::Arc;

use super::Refused;
use super::bucket::{Bucket, Change, Entry, Undo};
use crate::clock::now_ns;

/// The time and the state as one call sees them.
#[derive(Default)]
pub(in crate::plugins) struct Call {
    bucket: Option<Arc<Bucket>>,
    /// Which event this is, the same each time that it passes.
    identity: Option<u64>,
    now: Option<u64>,
    written: Vec<Undo>,
    /// Bytes of `written`.
    held: u64,
}

impl Call {
    pub(in crate::plugins) fn new(bucket: Option<Arc<Bucket>>) -> Self {
        Self { bucket, ..Self::default() }
    }

    pub(in crate::plugins) fn begin(&mut self, identity: Option<u64>) {
        self.identity = identity;
        self.now = None;
        self.keep();
    }

    /// What the call wrote stays.
    pub(in crate::plugins) fn keep(&mut self) {
        self.written.clear();
        self.held = 0;
    }

    /// Bytes that are held to take back what the call has written.
    pub(in crate::plugins) fn held(&self) -> u64 {
        self.held
    }

    /// What the call wrote is taken back, the last first.
    pub(in crate::plugins) fn take_back(&mut self) {
        if let Some(bucket) = &self.bucket {
            self.written.drain(..).rev().for_each(|undo| bucket.undo(undo));
        }
        self.held = 0;
    }

    /// Unix nanoseconds, the same for the whole call.
    pub(in crate::plugins) fn now(&mut self) -> u64 {
        *self.now.get_or_insert_with(now_ns)
    }

    pub(in crate::plugins) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        let now = self.now();
        self.bucket.as_ref()?.get(key, now)
    }

    pub(in crate::plugins) fn set(
        &mut self,
        key: &str,
        value: &[u8],
        expires_after: Option<u64>,
    ) -> Result<(), Refused> {
        let entry = Entry::new(value, self.expiry(expires_after), None);
        self.change(key, |_| (Change::Put(entry), ()))
    }

    pub(in crate::plugins) fn delete(&mut self, key: &str) {
        // A key that is too long lies nowhere.
        let _ = self.change(key, |_| (Change::Remove, ()));
    }

    pub(in crate::plugins) fn compare_and_swap(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        expires_after: Option<u64>,
    ) -> Result<bool, Refused> {
        let entry = Entry::new(value, self.expiry(expires_after), None);
        self.change(key, |before| {
            let same = before.map(|entry| &*entry.value) == expected;
            (if same { Change::Put(entry) } else { Change::Leave }, same)
        })
    }

    pub(in crate::plugins) fn claim(
        &mut self,
        key: &str,
        expires_after: Option<u64>,
    ) -> Result<bool, Refused> {
        let (now, expires) = (self.now(), self.expiry(expires_after));
        // Without the grant nothing that imports this is ever started.
        let Some(bucket) = &self.bucket else { return Err(Refused::Full) };
        let (first, undo) = bucket.claim(key, (now, expires), self.identity)?;
        self.hold(undo);
        Ok(first)
    }

    fn change<T>(
        &mut self,
        key: &str,
        decide: impl FnOnce(Option<&Entry>) -> (Change, T),
    ) -> Result<T, Refused> {
        let now = self.now();
        // Without the grant nothing that imports this is ever started.
        let Some(bucket) = &self.bucket else { return Err(Refused::Full) };
        let (answer, undo) = bucket.change(key, now, decide)?;
        self.hold(undo);
        Ok(answer)
    }

    fn hold(&mut self, undo: Option<Undo>) {
        self.held += undo.as_ref().map_or(0, Undo::cost);
        self.written.extend(undo);
    }

    fn expiry(&mut self, after: Option<u64>) -> u64 {
        match after {
            Some(milliseconds) => self.now().saturating_add(milliseconds.saturating_mul(1_000_000)),
            None => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(bucket: &Arc<Bucket>, identity: u64) -> Call {
        let mut call = Call::new(Some(Arc::clone(bucket)));
        call.begin(Some(identity));
        call
    }

    #[test]
    fn the_same_event_claims_again_and_another_does_not() {
        let bucket = Arc::new(Bucket::new(1 << 20));
        assert_eq!(call(&bucket, 5).claim("id", None), Ok(true));
        assert_eq!(call(&bucket, 5).claim("id", None), Ok(true));
        assert_eq!(call(&bucket, 9).claim("id", None), Ok(false));
        assert_eq!(Call::new(Some(bucket)).claim("id", None), Ok(false));
    }

    #[test]
    fn a_call_that_fails_leaves_nothing_behind() {
        let bucket = Arc::new(Bucket::new(1 << 20));
        let mut first = call(&bucket, 1);
        first.set("a", b"1", None).unwrap();
        first.keep();
        let mut second = call(&bucket, 2);
        second.set("a", b"2", None).unwrap();
        second.set("a", b"3", None).unwrap();
        second.delete("a");
        assert!(second.claim("b", Some(1_000)).unwrap());
        second.take_back();
        assert_eq!(call(&bucket, 3).get("a").as_deref(), Some(&b"1"[..]));
        assert_eq!(call(&bucket, 3).claim("b", None), Ok(true));
    }

    #[test]
    fn a_swap_asks_for_what_is_there() {
        let bucket = Arc::new(Bucket::new(1 << 20));
        let mut call = call(&bucket, 1);
        assert_eq!(call.compare_and_swap("a", Some(b"1"), b"2", None), Ok(false));
        assert_eq!(call.compare_and_swap("a", None, b"1", None), Ok(true));
        assert_eq!(call.compare_and_swap("a", None, b"2", None), Ok(false));
        assert_eq!(call.compare_and_swap("a", Some(b"1"), b"2", None), Ok(true));
        assert_eq!(call.get("a").as_deref(), Some(&b"2"[..]));
    }
}
