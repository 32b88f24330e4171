//! What waits for a lane: in memory up to a bound, then on disk, first in, first out.

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;

use super::Outgoing;
use crate::Event;
use crate::journal::{Backlog, LogError, Owed};

/// Head of an overflow record: `u64 at_ms · u64 key · u16 length of the route's name`, then name and event record.
const HEAD: usize = 18;

pub(super) struct Queue {
    memory: VecDeque<Outgoing>,
    overflow: Option<Backlog>,
    dir: PathBuf,
    /// While anything waits on disk, whatever comes goes behind it.
    spilling: bool,
}

impl Queue {
    /// A queue that goes on with what waited on disk.
    pub(super) fn open(dir: PathBuf) -> Result<Self, LogError> {
        let mut queue = Self { memory: VecDeque::new(), overflow: None, dir, spilling: false };
        if queue.dir.exists() {
            let overflow = Backlog::open(&queue.dir)?;
            queue.spilling = !overflow.is_exhausted();
            queue.overflow = Some(overflow);
        }
        Ok(queue)
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }

    pub(super) fn overflow_bytes(&self) -> u64 {
        self.overflow.as_ref().map_or(0, Backlog::bytes)
    }

    /// Takes a group over. Returns how many went to disk, and then were settled there.
    ///
    /// # Errors
    /// The group, and what the disk said: it is kept nowhere.
    pub(super) fn push(
        &mut self,
        group: Vec<Outgoing>,
        bound: usize,
    ) -> Result<usize, (Vec<Outgoing>, String)> {
        if !self.spilling && self.memory.len() + group.len() <= bound.max(group.len()) {
            self.memory.extend(group);
            return Ok(0);
        }
        self.spill(group)
    }

    fn spill(&mut self, group: Vec<Outgoing>) -> Result<usize, (Vec<Outgoing>, String)> {
        if self.overflow.is_none() {
            match Backlog::open(&self.dir) {
                Ok(overflow) => self.overflow = Some(overflow),
                Err(error) => return Err((group, error.to_string())),
            }
        }
        let Some(overflow) = &mut self.overflow else { return Err((group, "no overflow".into())) };
        let heads: Vec<[u8; HEAD]> = group.iter().map(head).collect();
        let parts: Vec<[&[u8]; 3]> = group
            .iter()
            .zip(&heads)
            .map(|(out, head)| [&head[..], out.route.as_str().as_bytes(), out.event.record()])
            .collect();
        let records: Vec<&[&[u8]]> = parts.iter().map(|parts| &parts[..]).collect();
        if let Err(error) = overflow.append(&records) {
            return Err((group, error.to_string()));
        }
        self.spilling = true;
        let count = group.len();
        group.into_iter().for_each(|outgoing| outgoing.owed.settle());
        Ok(count)
    }

    /// Takes the next events out.
    ///
    /// # Errors
    /// Where the overflow cannot be read.
    pub(super) fn pop(&mut self, most: usize) -> Result<Vec<Outgoing>, LogError> {
        if self.memory.is_empty() && self.spilling {
            self.refill(most)?;
        }
        let count = most.min(self.memory.len());
        Ok(self.memory.drain(..count).collect())
    }

    fn refill(&mut self, most: usize) -> Result<(), LogError> {
        let Some(overflow) = &mut self.overflow else { return Ok(()) };
        self.memory.extend(overflow.take(most)?.into_iter().filter_map(|(record, owed)| read(&record, owed)));
        self.spilling = !overflow.is_exhausted();
        Ok(())
    }

    /// Lets go of what is settled on disk.
    pub(super) fn tidy(&mut self) {
        if let Some(Err(error)) = self.overflow.as_mut().map(Backlog::tidy) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot tidy the overflow");
        }
    }
}

fn head(outgoing: &Outgoing) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&outgoing.at_ms.to_le_bytes());
    head[8..16].copy_from_slice(&outgoing.key.to_le_bytes());
    // A longer name is cut; it is for people.
    let length = u16::try_from(outgoing.route.as_str().len()).unwrap_or(u16::MAX);
    head[16..].copy_from_slice(&length.to_le_bytes());
    head
}

fn read(record: &Bytes, owed: Owed) -> Option<Outgoing> {
    let head = record.get(..HEAD)?;
    let word = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    let name = usize::from(u16::from_le_bytes([head[16], head[17]]));
    let route = std::str::from_utf8(record.get(HEAD..HEAD + name)?).ok()?.into();
    let event = Event::from_record(record.slice(HEAD + name..)).ok()?;
    Some(Outgoing { event, key: word(8), at_ms: word(0), route, owed })
}
