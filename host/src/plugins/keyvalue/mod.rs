//! The state of steps: small values by key, in memory, bounded, and written to disk behind.
//!
//! A [`Bucket`] belongs to one step and outlives its instances, its swaps and the host. [`Buckets`] is all of them, with the
//! thread that writes what changed. A crash of the machine may take what changed in the last 200 ms, so a step that asks "have
//! I seen this?" may say no once too often, and never yes by mistake: events are delivered at least once.

mod bucket;
mod call;
mod disk;

pub use bucket::Bucket;
pub(super) use call::Call;
pub use disk::Buckets;

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The bucket holds as much as it may.
    Full,
    /// The key or the value is too large.
    TooLarge,
}
