//! Who owes what: which events of the journal are settled, and how far the cursor may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::dead_letters::Retried;

/// Events that may be under way at once; a power of two. One bit each.
pub(super) const WINDOW: u64 = 1 << 20;

/// A ledger as the tokens of one group of events hold it: with a count of references of its own. One count for all would be
/// changed by every thread for every event.
pub(super) type Group = Arc<Arc<Ledger>>;

/// One bit for each event under way, set when it is settled. Settling takes no lock.
#[derive(Debug)]
pub(super) struct Ledger {
    words: Box<[AtomicU64]>,
    cursor: AtomicU64,
    unsettled_bytes: AtomicU64,
    lost: AtomicU64,
    /// Offsets that the cursor may not pass, by who holds them.
    holds: Mutex<BTreeMap<u64, u64>>,
    next_hold: AtomicU64,
}

impl Ledger {
    pub(super) fn new(cursor: u64, unsettled_bytes: u64) -> Self {
        let words = (0..WINDOW / 64).map(|_| AtomicU64::new(0)).collect();
        Self {
            words,
            cursor: cursor.into(),
            unsettled_bytes: unsettled_bytes.into(),
            lost: AtomicU64::new(0),
            holds: Mutex::default(),
            next_hold: AtomicU64::new(0),
        }
    }

    /// For the tokens of a group of events.
    pub(super) fn group(self: &Arc<Self>) -> Group {
        Arc::new(Arc::clone(self))
    }

    /// Keeps the cursor from passing an offset whose token is not settled yet.
    pub(super) fn hold(self: &Arc<Self>, offset: u64) -> Hold {
        let number = self.next_hold.fetch_add(1, Ordering::Relaxed);
        self.holds.lock().insert(number, offset);
        Hold { ledger: Arc::clone(self), number }
    }

    /// The lowest offset that is not settled.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    /// Whether that offset may be handed out: its bit is free.
    pub(super) fn has_room(&self, offset: u64) -> bool {
        offset < self.cursor() + WINDOW
    }

    pub(super) fn unsettled_bytes(&self) -> u64 {
        self.unsettled_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn accepted(&self, bytes: u64) {
        self.unsettled_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nothing is under way: whatever a rough count at the start left over is gone.
    pub(super) fn nothing_owed(&self) {
        self.unsettled_bytes.store(0, Ordering::Relaxed);
    }

    /// Events whose token was dropped without being settled.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn settle(&self, offset: u64, bytes: u64) {
        let (word, bit) = self.place(offset);
        word.fetch_or(bit, Ordering::Release);
        // Rough at the start, so never below zero.
        let less = |sum: u64| Some(sum.saturating_sub(bytes));
        let _ = self.unsettled_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn place(&self, offset: u64) -> (&AtomicU64, u64) {
        let index = usize::try_from((offset % WINDOW) / 64).unwrap_or_default();
        (&self.words[index], 1 << (offset % 64))
    }

    /// Moves the cursor over what is settled. Called by one thread only.
    pub(super) fn advance(&self, next: u64) -> u64 {
        let held = self.holds.lock().values().min().copied();
        let next = held.map_or(next, |held| held.min(next));
        let mut cursor = self.cursor();
        while cursor < next {
            let (word, bit) = self.place(cursor);
            if word.load(Ordering::Acquire) & bit == 0 {
                break;
            }
            word.fetch_and(!bit, Ordering::Relaxed);
            cursor += 1;
        }
        self.cursor.store(cursor, Ordering::Release);
        cursor
    }
}

/// Keeps the cursor of a ledger where it is. One that is dropped without [`Hold::release`] holds it to the end of the
/// process, like a token that is not settled.
#[derive(Debug)]
pub(super) struct Hold {
    ledger: Arc<Ledger>,
    number: u64,
}

impl Hold {
    /// Holds a later offset instead.
    pub(super) fn move_to(&self, offset: u64) {
        self.ledger.holds.lock().insert(self.number, offset);
    }

    pub(super) fn release(self) {
        self.ledger.holds.lock().remove(&self.number);
    }
}

/// To whom something is owed.
#[derive(Debug)]
enum Creditor {
    Log { ledger: Group, offset: u64, bytes: u64 },
    Letter(Retried),
}

impl Creditor {
    fn paid(self) {
        match self {
            Self::Log { ledger, offset, bytes } => ledger.settle(offset, bytes),
            Self::Letter(retried) => retried.settled(),
        }
    }

    fn lost(self) {
        if let Self::Log { ledger, .. } = self {
            ledger.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A debt that several have a share of.
#[derive(Debug)]
struct Debt {
    /// None, where the debt was taken back.
    creditor: Option<Creditor>,
    lost: AtomicBool,
}

impl Drop for Debt {
    fn drop(&mut self) {
        let lost = self.lost.load(Ordering::Acquire);
        self.creditor.take().into_iter().for_each(if lost { Creditor::lost } else { Creditor::paid });
    }
}

/// A share of the debt for one event. The event is settled with the last share.
///
/// A share that is dropped without [`Owed::settle`] leaves the event in the journal: it is handed out again after a
/// restart.
#[derive(Debug)]
#[must_use = "an event that is not settled is handed out again"]
pub struct Owed {
    share: Share,
}

#[derive(Debug)]
enum Share {
    None,
    /// Nearly always: there is no other share, so nothing is counted and no memory taken.
    Whole(Creditor),
    Part(Arc<Debt>),
}

impl Owed {
    pub(super) fn new(ledger: &Group, offset: u64, bytes: u64) -> Self {
        Self { share: Share::Whole(Creditor::Log { ledger: Arc::clone(ledger), offset, bytes }) }
    }

    /// The debt for a dead letter that is tried again.
    pub(super) fn letter(retried: Retried) -> Self {
        Self { share: Share::Whole(Creditor::Letter(retried)) }
    }

    /// A share that nobody waits for: an event that is not from the journal (any more).
    pub fn untracked() -> Self {
        Self { share: Share::None }
    }

    fn take(&mut self) -> Share {
        std::mem::replace(&mut self.share, Share::None)
    }

    /// One more share.
    pub fn share(&mut self) -> Self {
        let share = match self.take() {
            Share::None => Share::None,
            Share::Whole(creditor) => {
                Share::Part(Arc::new(Debt { creditor: Some(creditor), lost: AtomicBool::new(false) }))
            }
            part @ Share::Part(_) => part,
        };
        let other = match &share {
            Share::Part(debt) => Share::Part(Arc::clone(debt)),
            Share::None | Share::Whole(_) => Share::None,
        };
        self.share = share;
        Self { share: other }
    }

    /// Nothing more is owed by the holder.
    pub fn settle(mut self) {
        if let Share::Whole(creditor) = self.take() {
            creditor.paid();
        }
    }

    /// Neither settles nor loses: another token for the same event will be made.
    pub(super) fn forget(mut self) {
        if let Share::Part(debt) = self.take() {
            match Arc::try_unwrap(debt) {
                Ok(mut debt) => debt.creditor = None,
                Err(shared) => shared.lost.store(true, Ordering::Release),
            }
        }
    }

    fn creditor(&self) -> Option<&Creditor> {
        match &self.share {
            Share::None => None,
            Share::Whole(creditor) => Some(creditor),
            Share::Part(debt) => debt.creditor.as_ref(),
        }
    }

    /// What tells the event from any other, each time that it is handed out: its offset, or the number of its letter.
    pub fn identity(&self) -> Option<u64> {
        match self.creditor()? {
            Creditor::Log { offset, .. } => Some(*offset),
            // Offsets do not come that far.
            Creditor::Letter(retried) => Some(1 << 63 | retried.id()),
        }
    }

    /// The event's offset in the journal.
    pub fn offset(&self) -> Option<u64> {
        match self.creditor()? {
            Creditor::Log { offset, .. } => Some(*offset),
            Creditor::Letter(_) => None,
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        match self.take() {
            Share::None => {}
            Share::Whole(creditor) => creditor.lost(),
            Share::Part(debt) => debt.lost.store(true, Ordering::Release),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stops_at_the_first_that_is_not_settled() {
        let ledger = Arc::new(Ledger::new(100, 0));
        let owed: Vec<_> = (100..105).map(|offset| Owed::new(&ledger.group(), offset, 1)).collect();
        let mut owed = owed.into_iter();
        let (first, second) = (owed.next().unwrap(), owed.next().unwrap());
        owed.for_each(Owed::settle);
        assert_eq!(ledger.advance(105), 100);
        first.settle();
        assert_eq!(ledger.advance(105), 101);
        second.settle();
        assert_eq!(ledger.advance(105), 105);
    }

    #[test]
    fn an_event_is_settled_with_its_last_share() {
        let ledger = Arc::new(Ledger::new(0, 0));
        let mut one = Owed::new(&ledger.group(), 0, 1);
        let two = one.share();
        one.settle();
        assert_eq!(ledger.advance(1), 0);
        two.settle();
        assert_eq!(ledger.advance(1), 1);
    }

    #[test]
    fn a_share_that_is_dropped_leaves_the_event_unsettled() {
        let ledger = Arc::new(Ledger::new(0, 0));
        let mut one = Owed::new(&ledger.group(), 0, 1);
        let two = one.share();
        drop(one);
        two.settle();
        assert_eq!((ledger.advance(1), ledger.lost()), (0, 1));
        drop(Owed::new(&ledger.group(), 0, 1));
        assert_eq!((ledger.advance(1), ledger.lost()), (0, 2));
    }

    #[test]
    fn the_cursor_stops_at_what_is_held() {
        let ledger = Arc::new(Ledger::new(0, 0));
        let hold = ledger.hold(2);
        (0..5).for_each(|offset| Owed::new(&ledger.group(), offset, 1).settle());
        assert_eq!(ledger.advance(5), 2);
        hold.move_to(4);
        assert_eq!(ledger.advance(5), 4);
        hold.release();
        assert_eq!(ledger.advance(5), 5);
    }

    #[test]
    fn the_window_is_a_ring() {
        let ledger = Arc::new(Ledger::new(0, 0));
        for offset in 0..3 * WINDOW {
            assert!(ledger.has_room(offset));
            Owed::new(&ledger.group(), offset, 1).settle();
            if offset % 1_000 == 0 {
                ledger.advance(offset + 1);
            }
        }
        assert_eq!(ledger.advance(3 * WINDOW), 3 * WINDOW);
    }
}
