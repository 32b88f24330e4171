//! What one receiver could not take is read again from the log once it has room; until then the cursor waits for it.

use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::{Hold, Ledger, Owed};
use super::reader::SegmentReader;
use super::{Accepted, LogError, decode, key_hash};

/// A receiver's own place in the journal, behind that of all others. However much it has missed, this is all that is
/// kept of it.
pub struct Lag {
    dir: PathBuf,
    ledger: Arc<Ledger>,
    hold: Hold,
    reader: Option<SegmentReader>,
    position: u64,
}

impl Lag {
    /// Begins at an offset whose token is not settled yet.
    pub(super) fn new(dir: PathBuf, journal: &Arc<Ledger>, from: u64) -> Self {
        let hold = journal.hold(from);
        Self { dir, ledger: Arc::new(Ledger::new(from, 0)), hold, reader: None, position: from }
    }

    /// Reads on, up to but not including `end`. Whoever gets an event owes it.
    ///
    /// # Errors
    /// [`LogError`]
    pub fn take(&mut self, most: usize, end: u64) -> Result<Vec<Accepted>, LogError> {
        let (mut taken, group) = (Vec::new(), self.ledger.group());
        while taken.len() < most && self.position < end && self.ledger.has_room(self.position) {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => self.reader.insert(SegmentReader::open(&self.dir, self.position)?),
            };
            let Some(entry) = reader.next() else { break };
            let (offset, record) = entry?;
            self.position = offset + 1;
            let owed = Owed::new(&group, offset, 0);
            match decode(&record) {
                Some((at_ms, event)) => {
                    let key = key_hash(event.ordering_key());
                    taken.push(Accepted::by_all(event, key, at_ms, owed));
                }
                None => owed.settle(),
            }
        }
        Ok(taken)
    }

    /// The offset that is read next.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Lets the journal's cursor follow what is settled.
    pub fn tidy(&self) {
        self.hold.move_to(self.ledger.advance(self.position));
    }

    /// Nobody waits for it any more.
    pub fn abandon(self) {
        self.hold.release();
    }

    /// Ends it, if all that was taken is settled.
    ///
    /// # Errors
    /// Itself, where something is still owed.
    #[expect(clippy::result_large_err, reason = "it is kept or dropped at once, and seldom")]
    pub fn end(self) -> Result<(), Self> {
        if self.ledger.advance(self.position) < self.position {
            return Err(self);
        }
        self.hold.release();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use crate::config::settings;
    use crate::journal::{Journal, Options};

    #[tokio::test]
    async fn the_cursor_waits_for_what_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::from(&settings::Journal::default())).unwrap();
        let (inbox, outlet) = flume::bounded(16);
        journal.start(vec![inbox]);
        let event = |id: u32| Event::builder(id.to_string(), "s", "t").build().unwrap();
        journal.append((0..5).map(event).collect()).await.unwrap();
        let mut tokens = Vec::new();
        while tokens.len() < 5 {
            tokens.extend(outlet.recv().unwrap().events.into_iter().map(|accepted| accepted.owed));
        }
        let mut lag = journal.lag(2);
        tokens.into_iter().for_each(Owed::settle);
        let taken = lag.take(2, 5).unwrap();
        assert_eq!(taken.iter().map(|accepted| accepted.event.id()).collect::<Vec<_>>(), ["2", "3"]);
        taken.into_iter().for_each(|accepted| accepted.owed.settle());
        lag.tidy();
        assert_eq!(journal.shared.ledger.advance(5), 4);
        let rest = lag.take(10, 5).unwrap();
        let lag = lag.end().expect_err("the last is owed");
        rest.into_iter().for_each(|accepted| accepted.owed.settle());
        assert!(lag.end().is_ok());
        assert_eq!(journal.shared.ledger.advance(5), 5);
        journal.close().await;
    }
}
