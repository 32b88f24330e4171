//! The segment log: append-only, checked, whole groups only. The journal, lanes' overflow and local streams are each one.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::segment::{self, Found, GroupReader};

/// How a log is cut.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// The size at which a segment is closed and the next begun, in bytes.
    pub segment_bytes: u64,
    /// The size of the whole log beyond which appends fail; `None` for none.
    pub max_bytes: Option<u64>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_bytes: None }
    }
}

/// Why a log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Not a torn tail, which is mended silently.
    #[error("{} is damaged at byte {at} (offset {offset}): {problem}; `stagewire journal repair` keeps what can be read", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The byte in it.
        at: u64,
        /// The offset that should stand there.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

pub(super) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> LogError + use<'_> {
    |source| LogError::Io { path: path.to_owned(), source }
}

/// Where a commit lies in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The first offset of its segment.
    pub(super) base: u64,
    /// The byte in that.
    pub(super) at: u64,
}

impl Spot {
    /// The first offset of its segment.
    pub fn segment(&self) -> u64 {
        self.base
    }

    /// Whether it lies before the segment that holds `offset`.
    pub fn is_before(&self, offset: u64) -> bool {
        self.base < offset
    }
}

#[derive(Debug)]
struct Segment {
    base: u64,
    bytes: u64,
}

/// An append-only log in a directory of its own. One process writes it; others may read with [`super::SegmentReader`].
#[derive(Debug)]
pub struct SegmentLog {
    dir: PathBuf,
    options: LogOptions,
    segments: VecDeque<Segment>,
    active: File,
    next: u64,
    staged: Vec<u8>,
    staged_records: u64,
    /// Bytes of the last commit.
    committed: u64,
    /// Up to here the system was asked to write the active segment.
    begun: u64,
}

/// What was committed and is perhaps not on the disk yet.
pub struct Unwritten {
    file: File,
    from: u64,
    bytes: std::num::NonZeroU64,
}

impl Unwritten {
    /// Lets the system begin to write it, and does not wait: so much less is left for the next sync to do at once.
    pub fn begin(self) {
        #[cfg(target_os = "linux")]
        {
            let Self { file, from, bytes } = self;
            // Nothing is lost where this is refused.
            let _ = rustix::fs::fadvise(&file, from, Some(bytes), rustix::fs::Advice::DontNeed);
        }
    }
}

impl SegmentLog {
    /// Opens or creates the log, and cuts a torn tail off.
    ///
    /// # Errors
    /// [`LogError`]; damage before intact groups is never cut off.
    pub fn open(dir: &Path, options: LogOptions) -> Result<Self, LogError> {
        std::fs::create_dir_all(dir).map_err(io_at(dir))?;
        let mut bases = segment::bases(dir).map_err(io_at(dir))?;
        if bases.is_empty() {
            create(dir, 0).map_err(io_at(dir))?;
            bases.push(0);
        }
        let last = bases.last().copied().unwrap_or_default();
        let path = segment::path(dir, last);
        let next = mend_tail(&path, last)?;
        let size = |base: u64| {
            std::fs::metadata(segment::path(dir, base)).map(|meta| Segment { base, bytes: meta.len() })
        };
        let segments = bases.into_iter().map(size).collect::<io::Result<_>>().map_err(io_at(dir))?;
        let active = OpenOptions::new().append(true).open(&path).map_err(io_at(&path))?;
        Ok(Self {
            dir: dir.to_owned(),
            options,
            segments,
            active,
            next,
            staged: Vec::new(),
            staged_records: 0,
            committed: 0,
            begun: 0,
        })
    }

    /// The offset that the next record will get.
    pub fn next_offset(&self) -> u64 {
        self.next
    }

    /// The oldest offset that is still there.
    pub fn first_offset(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.base)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Bytes of the segments from the one that holds `offset`.
    pub fn bytes_from(&self, offset: u64) -> u64 {
        let whole = self.segments.iter().rev();
        let mut sum = 0;
        for segment in whole {
            sum += segment.bytes;
            if segment.base <= offset {
                break;
            }
        }
        sum
    }

    /// Appends one group, each record in parts, and writes it. Not yet durable: see [`Self::sync`].
    ///
    /// # Errors
    /// What the disk says; nothing of the group is there then.
    pub fn append(&mut self, records: &[&[&[u8]]]) -> io::Result<u64> {
        self.stage(records)?;
        self.commit()
    }

    /// Puts a group into the buffer of the next [`Self::commit`].
    ///
    /// # Errors
    /// A group over 1 GiB; what was staged before it is forgotten too.
    pub fn stage(&mut self, records: &[&[&[u8]]]) -> io::Result<()> {
        let first = self.next + self.staged_records;
        let encoded = segment::encode(&mut self.staged, first, records);
        self.staged_records += records.len() as u64;
        encoded.inspect_err(|_| {
            self.staged.clear();
            self.staged_records = 0;
        })
    }

    /// Writes what was staged in one go. Returns the offset of its first record.
    ///
    /// # Errors
    /// What the disk says; nothing of it is there then.
    pub fn commit(&mut self) -> io::Result<u64> {
        let written = self.write();
        let (staged, records) = (self.staged.len() as u64, self.staged_records);
        self.staged.clear();
        self.staged_records = 0;
        if self.staged.capacity() > 16 << 20 {
            self.staged.shrink_to(1 << 20);
        }
        written?;
        let first = self.next;
        self.next += records;
        self.committed = staged;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += staged;
        }
        Ok(first)
    }

    /// Writes what was staged and makes it durable. Returns the offset of its first record.
    ///
    /// # Errors
    /// What the disk says; nothing of it is there then.
    pub fn commit_durably(&mut self) -> io::Result<u64> {
        let first = self.commit()?;
        // After a failed fsync nobody knows what is on the disk: all of it is taken back.
        self.sync().inspect_err(|_| self.retract(first))?;
        Ok(first)
    }

    fn write(&mut self) -> io::Result<()> {
        let staged = self.staged.len() as u64;
        if self.options.max_bytes.is_some_and(|most| self.bytes() + staged > most) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the log has reached its largest size"));
        }
        let used = self.segments.back().map_or(0, |segment| segment.bytes);
        if used > 0 && used + staged > self.options.segment_bytes {
            self.rotate()?;
        }
        self.active.write_all(&self.staged).inspect_err(|_| self.take_back())
    }

    /// Cuts off what a failed write or sync may have left.
    fn take_back(&self) {
        let length = self.segments.back().map_or(0, |segment| segment.bytes);
        if let Err(error) = self.active.set_len(length) {
            // The group is torn, and will be cut off at the next opening or write.
            tracing::error!(dir = %self.dir.display(), %error, "cannot take back a failed write");
        }
    }

    /// Where the last commit lies.
    pub fn last_commit(&self) -> Spot {
        let segment = self.segments.back();
        Spot {
            base: segment.map_or(0, |segment| segment.base),
            at: segment.map_or(0, |segment| segment.bytes.saturating_sub(self.committed)),
        }
    }

    /// Makes what was committed durable.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&self) -> io::Result<()> {
        self.active.sync_data()
    }

    /// A handle by which another thread makes durable what was committed by now.
    ///
    /// # Errors
    /// What the system says: too many open files.
    pub fn syncing(&self) -> io::Result<File> {
        // What lies in earlier segments was synced when they were closed.
        self.active.try_clone()
    }

    /// What was committed since this was last asked, as far as it is in the active segment.
    ///
    /// # Errors
    /// What the system says: too many open files.
    pub fn unwritten(&mut self) -> io::Result<Option<Unwritten>> {
        let end = self.segments.back().map_or(0, |segment| segment.bytes);
        let from = if self.begun <= end { self.begun } else { 0 };
        let Some(bytes) = std::num::NonZeroU64::new(end - from) else { return Ok(None) };
        let file = self.active.try_clone()?;
        self.begun = end;
        Ok(Some(Unwritten { file, from, bytes }))
    }

    /// Forgets the last commit, whose first record was `first`.
    fn retract(&mut self, first: u64) {
        self.next = first;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes -= self.committed;
        }
        self.committed = 0;
        self.take_back();
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.active.sync_data()?;
        step("rotate: old segment synced");
        self.active = create(&self.dir, self.next)?;
        step("rotate: new segment created");
        self.segments.push_back(Segment { base: self.next, bytes: 0 });
        Ok(())
    }

    /// Closes the segment that is written, if anything is in it, and begins the next.
    pub(super) fn begin_segment(&mut self) -> io::Result<()> {
        let empty = self.segments.back().is_none_or(|segment| segment.bytes == 0);
        if empty { Ok(()) } else { self.rotate() }
    }

    /// Begins again at `offset`, which must not be below the next one; where the tail was lost.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        if offset > self.next {
            self.next = offset;
            self.rotate()?;
        }
        Ok(())
    }

    /// The segments that lie wholly before `offset`, oldest first: base, end and bytes.
    pub(super) fn closed_before(&self, offset: u64) -> impl Iterator<Item = (u64, u64, u64)> {
        let ends = self.segments.iter().skip(1).map(|segment| segment.base);
        self.segments
            .iter()
            .zip(ends)
            .map(|(segment, end)| (segment.base, end, segment.bytes))
            .take_while(move |(_, end, _)| *end <= offset)
    }

    /// Removes the oldest segments until the log is at most so large; the one that is written stays.
    ///
    /// # Errors
    /// What the disk says.
    pub fn shrink_to(&mut self, bytes: u64) -> io::Result<()> {
        let mut superfluous = self.bytes().saturating_sub(bytes);
        let mut end = self.first_offset();
        for (_, segment_end, size) in self.closed_before(u64::MAX) {
            if superfluous == 0 {
                break;
            }
            superfluous = superfluous.saturating_sub(size);
            end = segment_end;
        }
        self.trim_before(end)
    }

    /// Removes the segments that lie wholly before `offset`. The caller has made durable that nobody needs them.
    ///
    /// # Errors
    /// What the disk says; what was removed by then is gone.
    pub fn trim_before(&mut self, offset: u64) -> io::Result<()> {
        let count = self.closed_before(offset).count();
        for _ in 0..count {
            let Some(base) = self.segments.front().map(|segment| segment.base) else { break };
            std::fs::remove_file(segment::path(&self.dir, base))?;
            step("trim: segment removed");
            self.segments.pop_front();
        }
        if count > 0 { sync_dir(&self.dir) } else { Ok(()) }
    }
}

/// Creates an empty segment, durably.
fn create(dir: &Path, base: u64) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(segment::path(dir, base))?;
    sync_dir(dir)?;
    Ok(file)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads the last segment through and cuts a torn tail off. Returns the next offset.
fn mend_tail(path: &Path, base: u64) -> Result<u64, LogError> {
    let mut reader = GroupReader::open(path).map_err(io_at(path))?;
    let mut next = base;
    loop {
        let at = reader.position;
        let problem = match reader.read().map_err(io_at(path))? {
            Found::Group(group) if group.first == next => {
                next += u64::from(group.count);
                continue;
            }
            Found::End => return Ok(next),
            Found::Group(_) => "offsets do not follow one another",
            Found::Broken(problem) => problem,
        };
        if reader.resynchronise(at + 1).map_err(io_at(path))?.is_some() {
            return Err(LogError::Damaged { path: path.to_owned(), at, offset: next, problem });
        }
        tracing::warn!(file = %path.display(), at, offset = next, problem, "cut a torn tail off; nothing of it was acknowledged");
        let file = OpenOptions::new().write(true).open(path).map_err(io_at(path))?;
        file.set_len(at).and_then(|()| file.sync_all()).map_err(io_at(path))?;
        return Ok(next);
    }
}

/// A place where a test lets the process die; nothing otherwise.
#[inline]
pub(super) fn step(name: &str) {
    let _ = name;
    #[cfg(test)]
    if std::env::var("STAGEWIRE_TEST_DIE_AT").is_ok_and(|at| at == name) {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_made_durable_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = SegmentLog::open(dir.path(), LogOptions::default()).unwrap();
        log.append(&[&[b"kept"]]).unwrap();
        let first = log.append(&[&[b"lost"], &[b"lost"]]).unwrap();
        log.retract(first);
        assert_eq!(log.append(&[&[b"next"]]).unwrap(), first);
        drop(log);
        let log = SegmentLog::open(dir.path(), LogOptions::default()).unwrap();
        assert_eq!(log.next_offset(), 2);
        let read: Vec<_> =
            super::super::SegmentReader::open(dir.path(), 0).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [(0, "kept".into()), (1, "next".into())]);
    }
}
