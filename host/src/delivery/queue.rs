//! What waits for a lane: in memory up to a bound, then on disk, first in, first out.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::Outgoing;
use crate::Event;
use crate::journal::{Backlog, LogError, Owed, Unwritten};
use crate::names::RouteName;

/// Head of an overflow record: `u64 at_ms · u64 key · u64 offset in the journal, from 1 on · u16 length of the route's name`, then
/// name and event record.
const HEAD: usize = 26;

pub(super) struct Queue {
    memory: VecDeque<Outgoing>,
    overflow: Option<Backlog>,
    /// What is in the overflow, and not known to outlive a crash of the machine: still owed to the journal.
    unsynced: Vec<Owed>,
    dir: PathBuf,
    most_bytes: u64,
    /// While anything waits on disk, whatever comes goes behind it.
    spilling: bool,
    /// The last group was refused.
    full: bool,
    /// The route of the last record read: the next has usually the same.
    route: Option<RouteName>,
    /// Records of an earlier run that are still to be read.
    earlier: u64,
    /// The journal hands out again what it has from this offset on.
    again_from: u64,
}

impl Queue {
    /// A queue that goes on with what waited on disk.
    ///
    /// What the journal hands out again, from `again_from` on, is left to it: what was in memory before must not come
    /// after what was on disk behind it.
    pub(super) fn open(dir: PathBuf, most_bytes: u64, again_from: u64) -> Result<Self, LogError> {
        let mut queue = Self {
            memory: VecDeque::new(),
            overflow: None,
            unsynced: Vec::new(),
            dir,
            most_bytes,
            spilling: false,
            full: false,
            route: None,
            earlier: 0,
            again_from,
        };
        if queue.dir.exists() {
            let overflow = Backlog::open(&queue.dir, most_bytes)?;
            queue.spilling = !overflow.is_exhausted();
            queue.earlier = overflow.waiting();
            queue.overflow = Some(overflow);
        }
        Ok(queue)
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether nothing is left, in memory and on disk.
    pub(super) fn is_exhausted(&self) -> bool {
        self.memory.is_empty() && !self.spilling
    }

    /// When the oldest event in memory was accepted, Unix milliseconds.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.memory.front().map(|outgoing| outgoing.at_ms)
    }

    pub(super) fn overflow_bytes(&self) -> u64 {
        self.overflow.as_ref().map_or(0, Backlog::bytes)
    }

    /// Whether the last group was refused.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether it is worth while to offer a group again: a quarter is free, so that it is not refused at once.
    pub(super) fn has_room(&self, bound: usize) -> bool {
        if self.spilling {
            self.overflow_bytes() <= self.most_bytes / 4 * 3
        } else {
            self.memory.len() <= bound / 4 * 3
        }
    }

    /// Takes a group over. Returns how many went to disk; they are settled once [`Self::unsynced`] was synced.
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
            self.full = false;
            return Ok(0);
        }
        let spilled = self.spill(group);
        self.full = spilled.is_err();
        spilled
    }

    fn spill(&mut self, group: Vec<Outgoing>) -> Result<usize, (Vec<Outgoing>, String)> {
        if self.overflow.is_none() {
            match Backlog::open(&self.dir, self.most_bytes) {
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
        self.unsynced.extend(group.into_iter().map(|outgoing| outgoing.owed));
        Ok(count)
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// What went to disk since the last call, and the handle that is to be synced before it is settled.
    ///
    /// # Errors
    /// What the system says; the next call has it all.
    pub(super) fn unsynced(&mut self) -> io::Result<Option<(File, Vec<Owed>)>> {
        match &self.overflow {
            Some(overflow) if !self.unsynced.is_empty() => {
                let file = overflow.syncing()?;
                Ok(Some((file, std::mem::take(&mut self.unsynced))))
            }
            _ => Ok(None),
        }
    }

    /// What went to disk since the last call, for the system to begin to write.
    pub(super) fn unwritten(&mut self) -> Option<Unwritten> {
        // Without it the next sync has more to do.
        self.overflow.as_mut().and_then(|overflow| overflow.unwritten().ok().flatten())
    }

    /// Takes the next events out.
    ///
    /// # Errors
    /// Where the overflow cannot be read.
    pub(super) fn pop(&mut self, most: usize) -> Result<Vec<Outgoing>, LogError> {
        // A refill may hold nothing but what the journal hands out again.
        while self.memory.is_empty() && self.spilling {
            self.refill(most)?;
        }
        let count = most.min(self.memory.len());
        Ok(self.memory.drain(..count).collect())
    }

    fn refill(&mut self, most: usize) -> Result<(), LogError> {
        let Some(overflow) = &mut self.overflow else { return Ok(()) };
        for (record, owed) in overflow.take(most)? {
            let earlier = self.earlier > 0;
            self.earlier = self.earlier.saturating_sub(1);
            match read(&record, &mut self.route) {
                Some((Some(offset), _)) if earlier && offset >= self.again_from => owed.settle(),
                Some((offset, event)) => self.memory.push_back(event.owed_by(owed, offset)),
                None => {
                    tracing::error!(dir = %self.dir.display(), "an overflow record is no event; skipped");
                    owed.settle();
                }
            }
        }
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
    // From 1 on; what is not from the journal is handed out by nobody else.
    let offset = outgoing.identity.filter(|_| outgoing.owed.offset().is_some());
    head[16..24].copy_from_slice(&offset.map_or(0, |offset| offset + 1).to_le_bytes());
    let length = u16::try_from(outgoing.route.as_str().len()).unwrap_or(u16::MAX);
    head[24..].copy_from_slice(&length.to_le_bytes());
    head
}

/// A record as it was read.
struct Spilled {
    event: Event,
    key: u64,
    at_ms: u64,
    route: RouteName,
}

impl Spilled {
    fn owed_by(self, owed: Owed, identity: Option<u64>) -> Outgoing {
        let Self { event, key, at_ms, route } = self;
        Outgoing { event, key, at_ms, route, identity, owed }
    }
}

/// The offset in the journal, if it was there, and the event.
fn read(record: &Bytes, last: &mut Option<RouteName>) -> Option<(Option<u64>, Spilled)> {
    let head = record.get(..HEAD)?;
    let word = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    let name = usize::from(u16::from_le_bytes([head[24], head[25]]));
    let text = std::str::from_utf8(record.get(HEAD..HEAD + name)?).ok()?;
    let route = match last {
        Some(route) if route.as_str() == text => route.clone(),
        _ => last.insert(text.into()).clone(),
    };
    let event = Event::from_record(record.slice(HEAD + name..)).ok()?;
    Some((word(16).checked_sub(1), Spilled { event, key: word(8), at_ms: word(0), route }))
}
