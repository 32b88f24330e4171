//! State of the step's own: small values by key, kept through swaps and restarts. The step needs the grant `keyvalue`.
//!
//! What a call writes is kept when the call ends well; one that fails leaves nothing behind. Natively, the state lies in memory,
//! one for each thread, and [`test`] tells which event it is and what time.
//!
//! ```
//! use std::time::Duration;
//! use stagewire_plugin::state;
//!
//! assert!(state::claim("evt_1", Some(Duration::from_secs(600))).unwrap(), "nobody had it");
//! state::test::next_event();
//! assert!(!state::claim("evt_1", None).unwrap(), "another event has it");
//! state::test::wait(Duration::from_secs(600));
//! assert!(state::claim("evt_1", None).unwrap(), "it has expired");
//! ```

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::state::stagewire::plugin::keyvalue as host;
#[cfg(not(target_arch = "wasm32"))]
use test as host;

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The step's state is as large as it may be (`limits.state`).
    Full,
    /// A key is at most 1 KiB, a value at most 64 KiB.
    TooLarge,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "the step's state is full; raise limits.state, or let keys expire sooner",
            Self::TooLarge => "a key may have 1 KiB, and a value 64 KiB",
        })
    }
}

/// A full state may have room later.
impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Full => Self::Transient(error.to_string()),
            Error::TooLarge => Self::Permanent(error.to_string()),
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::Full => Self::Full,
            host::Error::TooLarge => Self::TooLarge,
        }
    }
}

/// The value under a key; none where there is none, or it has expired.
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Puts a value under a key, for so long.
pub fn set(key: &str, value: &[u8], expires_after: Option<Duration>) -> Result<(), Error> {
    Ok(host::set(key, value, milliseconds(expires_after))?)
}

/// Removes a key.
pub fn delete(key: &str) {
    host::delete(key);
}

/// Puts a value under a key if what is there is still `expected`. Whether it did.
pub fn compare_and_swap(
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
    expires_after: Option<Duration>,
) -> Result<bool, Error> {
    Ok(host::compare_and_swap(key, expected, value, milliseconds(expires_after))?)
}

/// Claims a key for the event of this call. True where nobody holds it, or this very event does: an event that passes the
/// step again, after a crash or for a backend that was behind, gets the same answer.
pub fn claim(key: &str, expires_after: Option<Duration>) -> Result<bool, Error> {
    Ok(host::claim(key, milliseconds(expires_after))?)
}

fn milliseconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The host's part in native tests: one state, one clock and one event for each thread.
#[cfg(not(target_arch = "wasm32"))]
pub mod test {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::time::Duration;

    use super::Error;

    #[derive(Default)]
    struct Host {
        /// Value, expiry in nanoseconds, and who claimed it.
        values: HashMap<String, (Vec<u8>, Option<u64>, Option<u64>)>,
        now: u64,
        event: u64,
    }

    thread_local! {
        static HOST: RefCell<Host> = RefCell::default();
    }

    /// What is called from now on is about another event.
    pub fn next_event() {
        HOST.with_borrow_mut(|host| host.event += 1);
    }

    /// Lets time pass.
    pub fn wait(time: Duration) {
        let passed = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        HOST.with_borrow_mut(|host| host.now = host.now.saturating_add(passed));
    }

    pub(crate) fn now() -> u64 {
        HOST.with_borrow(|host| host.now)
    }

    impl Host {
        fn live(&self, key: &str) -> Option<&(Vec<u8>, Option<u64>, Option<u64>)> {
            self.values.get(key).filter(|(_, expires, _)| expires.is_none_or(|at| at > self.now))
        }

        fn put(&mut self, key: &str, value: &[u8], after: Option<u64>, by: Option<u64>) -> Result<(), Error> {
            if key.len() > 1 << 10 || value.len() > 64 << 10 {
                return Err(Error::TooLarge);
            }
            let expires = after.map(|after| self.now.saturating_add(after.saturating_mul(1_000_000)));
            self.values.insert(key.to_owned(), (value.to_owned(), expires, by));
            Ok(())
        }
    }

    pub(super) fn get(key: &str) -> Option<Vec<u8>> {
        HOST.with_borrow(|host| host.live(key).map(|(value, ..)| value.clone()))
    }

    pub(super) fn set(key: &str, value: &[u8], after: Option<u64>) -> Result<(), Error> {
        HOST.with_borrow_mut(|host| host.put(key, value, after, None))
    }

    pub(super) fn delete(key: &str) {
        HOST.with_borrow_mut(|host| host.values.remove(key));
    }

    pub(super) fn compare_and_swap(
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        after: Option<u64>,
    ) -> Result<bool, Error> {
        HOST.with_borrow_mut(|host| {
            let same = host.live(key).map(|(value, ..)| value.as_slice()) == expected;
            if same { host.put(key, value, after, None).map(|()| true) } else { Ok(false) }
        })
    }

    pub(super) fn claim(key: &str, after: Option<u64>) -> Result<bool, Error> {
        HOST.with_borrow_mut(|host| match host.live(key) {
            Some((.., by)) => Ok(*by == Some(host.event)),
            None => host.put(key, &[], after, Some(host.event)).map(|()| true),
        })
    }
}
