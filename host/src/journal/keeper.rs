//! The thread that keeps house: moves the cursor, writes it down, and removes what retention no longer wants.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::log::{step, sync_dir};
use super::{Outline, Shared, segment};

const BEAT: Duration = Duration::from_millis(20);
const PERSIST: Duration = Duration::from_millis(100);
const TRIM: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    written: u64,
    persisted: Instant,
    trimmed: Instant,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let written = shared.ledger.cursor();
        Self { shared, written, persisted: Instant::now(), trimmed: Instant::now() }
    }

    /// Keeps house until the journal closes, then writes the cursor a last time.
    pub(super) fn run(mut self) {
        while !self.shared.wait_for_close(BEAT) {
            self.beat();
        }
        self.beat();
        self.persist();
    }

    fn beat(&mut self) {
        let next = self.shared.next.load(Ordering::Acquire);
        if self.shared.ledger.advance(next) == next {
            self.shared.ledger.nothing_owed();
        }
        if self.persisted.elapsed() >= PERSIST {
            self.persist();
        }
        if self.trimmed.elapsed() >= TRIM {
            self.trimmed = Instant::now();
            self.trim();
            self.probe();
        }
    }

    fn persist(&mut self) -> bool {
        self.persisted = Instant::now();
        let cursor = self.shared.ledger.cursor();
        if cursor == self.written {
            return true;
        }
        match write_cursor(&self.shared.dir, cursor) {
            Ok(()) => self.written = cursor,
            Err(error) => {
                tracing::warn!(%error, "cannot write the journal's cursor; more is handed out again after a crash");
            }
        }
        cursor == self.written
    }

    /// Cursor, fsync, then unlink: whatever happens between, no unsettled event is removed.
    fn trim(&mut self) {
        let unwanted = self.unwanted();
        if unwanted == 0 || !self.persist() {
            return;
        }
        step("trim: cursor written");
        let mut log = self.shared.log.lock();
        if let Err(error) = log.trim_before(unwanted) {
            tracing::warn!(%error, "cannot remove old journal segments");
        }
        *self.shared.outline.lock() = Outline::of(&log);
    }

    /// The end of the segments that are settled and too old or too many.
    fn unwanted(&self) -> u64 {
        let options = &self.shared.options;
        let log = self.shared.log.lock();
        let settled: Vec<_> = log.closed_before(self.shared.ledger.cursor()).collect();
        let mut kept: u64 = settled.iter().map(|(_, _, bytes)| bytes).sum();
        let mut unwanted = 0;
        for (base, end, bytes) in settled {
            let old =
                age(&segment::path(&self.shared.dir, base)).is_some_and(|age| age > options.retention_age);
            if !old && kept <= options.retention_bytes {
                break;
            }
            kept -= bytes;
            unwanted = end;
        }
        unwanted
    }

    /// While the disk refuses, tries a little file, so that the host becomes ready again without a sender's help.
    fn probe(&self) {
        if self.shared.writable().is_ok() {
            return;
        }
        let file = self.shared.dir.join("probe");
        let tried = std::fs::write(&file, vec![0; 65_536]);
        let removed = std::fs::remove_file(&file);
        if tried.and(removed).is_ok() {
            self.shared.note_writable(None);
        }
    }
}

fn age(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(std::fs::metadata(path).ok()?.modified().ok()?).ok()
}

/// Writes the cursor durably: a new file, fsync, rename, fsync of the directory.
pub(super) fn write_cursor(dir: &Path, cursor: u64) -> std::io::Result<()> {
    let fresh = dir.join("cursor.new");
    let mut file = std::fs::File::create(&fresh)?;
    let text = cursor.to_string();
    writeln!(file, "{text} {:08x}", crc32c::crc32c(text.as_bytes()))?;
    file.sync_all()?;
    step("cursor: new file synced");
    std::fs::rename(&fresh, dir.join("cursor"))?;
    step("cursor: renamed");
    sync_dir(dir)
}

/// Reads the cursor; `None` where there is none or it is damaged, and then everything is handed out again.
pub(super) fn read_cursor(dir: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(dir.join("cursor")).ok()?;
    let (cursor, crc) = text.trim_end().split_once(' ')?;
    let intact = u32::from_str_radix(crc, 16).ok()? == crc32c::crc32c(cursor.as_bytes());
    if intact { cursor.parse().ok() } else { None }
}
