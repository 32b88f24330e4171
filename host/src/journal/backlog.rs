//! A durable queue: a segment log with a cursor of its own. Lanes overflow into it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::keeper::{read_cursor, write_cursor};
use super::ledger::{Ledger, Owed};
use super::log::{Unwritten, io_at};
use super::{LogError, LogOptions, SegmentLog, SegmentReader};

/// Records wait here until they are settled, also over restarts.
pub struct Backlog {
    dir: PathBuf,
    log: SegmentLog,
    ledger: Arc<Ledger>,
    reader: Option<SegmentReader>,
    taken: u64,
    written: u64,
}

impl Backlog {
    /// Opens or creates the queue, of at most so many bytes; what was not settled is taken again.
    ///
    /// # Errors
    /// [`LogError`]
    pub fn open(dir: &Path, most_bytes: u64) -> Result<Self, LogError> {
        // Settled bytes are let go of by whole segments: eight make the whole.
        let segment_bytes = (most_bytes / 8).clamp(64 << 10, LogOptions::default().segment_bytes);
        let options = LogOptions { segment_bytes, max_bytes: Some(most_bytes) };
        let mut log = SegmentLog::open(dir, options)?;
        let cursor = read_cursor(dir).unwrap_or(0).max(log.first_offset());
        log.skip_to(cursor).map_err(io_at(dir))?;
        let ledger = Arc::new(Ledger::new(cursor, 0));
        Ok(Self { dir: dir.to_owned(), log, ledger, reader: None, taken: cursor, written: cursor })
    }

    /// Appends records as a whole, each in parts. They can be taken from then on, and outlive a crash of the machine once
    /// [`Self::syncing`] was synced.
    ///
    /// # Errors
    /// What the disk says; nothing of them is kept then.
    pub fn append(&mut self, records: &[&[&[u8]]]) -> std::io::Result<()> {
        self.log.append(records).map(|_| ())
    }

    /// A handle by which another thread makes durable what was appended by now.
    ///
    /// # Errors
    /// What the system says: too many open files.
    pub fn syncing(&self) -> std::io::Result<File> {
        self.log.syncing()
    }

    /// What was appended since this was last asked, for another thread to begin to write.
    ///
    /// # Errors
    /// What the system says: too many open files.
    pub fn unwritten(&mut self) -> std::io::Result<Option<Unwritten>> {
        self.log.unwritten()
    }

    /// Takes up to so many records that were not taken yet, each with its token.
    ///
    /// # Errors
    /// [`LogError`]
    pub fn take(&mut self, most: usize) -> Result<Vec<(Bytes, Owed)>, LogError> {
        let (mut records, group) = (Vec::new(), self.ledger.group());
        while records.len() < most && self.taken < self.log.next_offset() && self.ledger.has_room(self.taken)
        {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => self.reader.insert(SegmentReader::open(&self.dir, self.taken)?),
            };
            let Some(record) = reader.next() else { break };
            let (offset, record) = record?;
            self.taken = offset + 1;
            records.push((record, Owed::new(&group, offset, 0)));
        }
        Ok(records)
    }

    /// How many records have not been taken.
    pub fn waiting(&self) -> u64 {
        self.log.next_offset().saturating_sub(self.taken)
    }

    /// Whether everything has been taken.
    pub fn is_exhausted(&self) -> bool {
        self.taken >= self.log.next_offset()
    }

    /// Bytes of what is not settled, in whole segments; 0 where there is nothing.
    pub fn bytes(&self) -> u64 {
        if self.ledger.cursor() == self.log.next_offset() {
            0
        } else {
            self.log.bytes_from(self.ledger.cursor())
        }
    }

    /// Moves the cursor over what is settled, writes it down and removes what lies behind it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tidy(&mut self) -> std::io::Result<()> {
        let cursor = self.ledger.advance(self.log.next_offset());
        if cursor == self.written {
            return Ok(());
        }
        write_cursor(&self.dir, cursor)?;
        self.written = cursor;
        if cursor == self.log.next_offset() && self.log.bytes() > 0 {
            // Nothing is owed: also the segment that is written may go, so that all of the bound is free again.
            self.log.begin_segment()?;
        }
        self.log.trim_before(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_settled_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        {
            let mut backlog = Backlog::open(dir.path(), 1 << 30).unwrap();
            backlog.append(&[&[b"a"], &[b"b", b"b"], &[b"c"]]).unwrap();
            let mut taken = backlog.take(2).unwrap().into_iter();
            taken.next().unwrap().1.settle();
            assert!(!backlog.is_exhausted());
            backlog.tidy().unwrap();
        }
        let mut backlog = Backlog::open(dir.path(), 1 << 30).unwrap();
        let taken = backlog.take(10).unwrap();
        assert_eq!(taken.iter().map(|(record, _)| &record[..]).collect::<Vec<_>>(), [&b"bb"[..], b"c"]);
        assert!(backlog.is_exhausted() && backlog.bytes() > 0);
        taken.into_iter().for_each(|(_, owed)| owed.settle());
        backlog.tidy().unwrap();
        assert_eq!(backlog.bytes(), 0);
    }
}
