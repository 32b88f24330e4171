//! Reading a segment log from any process while another writes it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::log::{LogError, Spot, io_at};
use super::segment::{self, Found, GroupReader};

/// Reads records in order. `None` means "nothing more yet": ask again to follow.
pub struct SegmentReader {
    dir: PathBuf,
    next: u64,
    base: u64,
    groups: Option<GroupReader>,
    ready: VecDeque<(u64, Bytes)>,
}

impl SegmentReader {
    /// Reads from that offset, or from the oldest record that is still there.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn open(dir: &Path, from: u64) -> Result<Self, LogError> {
        let mut reader =
            Self { dir: dir.to_owned(), next: from, base: 0, groups: None, ready: VecDeque::new() };
        reader.enter(from)?;
        Ok(reader)
    }

    /// Opens the segment that holds `offset`, or the oldest.
    fn enter(&mut self, offset: u64) -> Result<bool, LogError> {
        let bases = segment::bases(&self.dir).map_err(io_at(&self.dir))?;
        let Some(base) = bases.iter().rev().find(|base| **base <= offset).or(bases.first()).copied() else {
            return Ok(false);
        };
        let path = segment::path(&self.dir, base);
        let mut groups = GroupReader::open(&path).map_err(io_at(&path))?;
        groups.skip_to(offset).map_err(io_at(&path))?;
        self.next = offset.max(base);
        self.base = base;
        self.groups = Some(groups);
        Ok(true)
    }

    /// Whether a later segment exists: then what ends here is complete.
    fn successor(&self) -> Result<bool, LogError> {
        let bases = segment::bases(&self.dir).map_err(io_at(&self.dir))?;
        Ok(bases.iter().any(|base| *base > self.base && *base >= self.next))
    }

    fn read_group(&mut self) -> Result<bool, LogError> {
        let path = segment::path(&self.dir, self.base);
        let Some(groups) = &mut self.groups else {
            return self.enter(self.next);
        };
        let at = groups.position;
        match groups.read().map_err(io_at(&path))? {
            Found::Group(group) => {
                let from = self.next;
                self.ready.extend(group.records().filter(|(offset, _)| *offset >= from));
                Ok(true)
            }
            Found::End => {
                if !self.successor()? {
                    return Ok(false);
                }
                // The writer may have appended here between the two looks, but only before it rotated.
                let groups = self.groups.as_mut().map(GroupReader::read).transpose().map_err(io_at(&path))?;
                match groups {
                    Some(Found::Group(group)) => {
                        let from = self.next;
                        self.ready.extend(group.records().filter(|(offset, _)| *offset >= from));
                        Ok(true)
                    }
                    _ => self.advance(),
                }
            }
            // At the very end it may be half written still.
            Found::Broken(_) if !self.successor()? && !self.intact_after(at)? => Ok(false),
            Found::Broken(problem) => Err(LogError::Damaged { path, at, offset: self.next, problem }),
        }
    }

    fn advance(&mut self) -> Result<bool, LogError> {
        let bases = segment::bases(&self.dir).map_err(io_at(&self.dir))?;
        let Some(base) = bases.into_iter().find(|base| *base > self.base) else { return Ok(false) };
        let path = segment::path(&self.dir, base);
        self.groups = Some(GroupReader::open(&path).map_err(io_at(&path))?);
        self.base = base;
        self.next = self.next.max(base);
        Ok(true)
    }

    fn intact_after(&self, at: u64) -> Result<bool, LogError> {
        let path = segment::path(&self.dir, self.base);
        let mut groups = GroupReader::open(&path).map_err(io_at(&path))?;
        Ok(groups.resynchronise(at + 1).map_err(io_at(&path))?.is_some())
    }
}

/// Reads the commit at a spot: its records.
///
/// # Errors
/// Where nothing can be read there.
pub fn read_at(dir: &Path, spot: Spot) -> Result<Vec<Bytes>, LogError> {
    let path = segment::path(dir, spot.base);
    let mut groups = GroupReader::open(&path).map_err(io_at(&path))?;
    match groups.read_at(spot.at).map_err(io_at(&path))? {
        Found::Group(group) => Ok(group.records().map(|(_, record)| record).collect()),
        Found::End => Ok(Vec::new()),
        Found::Broken(problem) => Err(LogError::Damaged { path, at: spot.at, offset: spot.base, problem }),
    }
}

/// The beginning of the first record of every commit of a log, with its spot, oldest first. Ends a segment at the first that
/// is not whole; what it reads it does not check.
///
/// # Errors
/// Where the directory cannot be read.
pub fn read_beginnings(
    dir: &Path,
    most: usize,
) -> Result<impl Iterator<Item = (Spot, Vec<u8>)> + use<>, LogError> {
    let bases = segment::bases(dir).map_err(io_at(dir))?;
    let dir = dir.to_owned();
    Ok(bases.into_iter().flat_map(move |base| {
        let mut groups = GroupReader::with_buffer(&segment::path(&dir, base), most).ok();
        std::iter::from_fn(move || {
            let groups = groups.as_mut()?;
            let at = groups.position;
            Some((Spot { base, at }, groups.beginning(most).ok()??))
        })
    }))
}

impl Iterator for SegmentReader {
    type Item = Result<(u64, Bytes), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((offset, record)) = self.ready.pop_front() {
                self.next = offset + 1;
                return Some(Ok((offset, record)));
            }
            match self.read_group() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
