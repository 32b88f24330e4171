//! What one worker or one lane notes, until there is enough of it to be written; and the spans of the events that are
//! traced, which are made at the same places.

use std::collections::HashMap;

use super::block::Chunk;
use super::note::{LONGEST_TEXT, Note, Verdict};
use super::store::Provenance;
use crate::event::Event;
use crate::plugins::Outcome;
use crate::trace::{Spans, Tracer};

/// Bytes at which notes are handed over.
const FULL: usize = 32 << 10;

/// Names that are found again at one look. An event has some five.
const RECENT: usize = 16;

/// Takes notes. Belongs to one thread or task; [`Recorder::flush`] hands them over.
pub struct Recorder {
    to: Option<Provenance>,
    chunk: Chunk,
    /// Names by where they lie in memory: a comparison of text only where that was seen before.
    known: HashMap<usize, u16, foldhash::fast::FixedState>,
    /// The same of a few, each at a place that follows from where it lies.
    recent: [(usize, u16); RECENT],
    /// The spans.
    pub spans: Spans,
}

/// The hash of an event's `id`, by which it is found again.
pub(super) fn id_hash(id: &str) -> u64 {
    crate::journal::key_hash(id)
}

/// The names of the attributes that a step changed, as many as a note holds.
fn changed_names(before: &Event, after: &Event) -> String {
    let mut names = String::new();
    before.changed_in(after, |name| {
        // Only whole names are told.
        if names.len() + 1 + name.len() <= LONGEST_TEXT {
            names.extend([if names.is_empty() { "" } else { "," }, name]);
        }
    });
    names
}

impl Recorder {
    /// One that hands its notes to `to`, and its spans to the tracer; without either it takes none.
    pub fn new(to: Option<Provenance>, tracer: Option<Tracer>) -> Self {
        let (known, recent) = Default::default();
        Self { to, chunk: Chunk::default(), known, recent, spans: Spans::new(tracer) }
    }

    /// The rules were asked.
    pub fn routed(
        &mut self,
        identity: Option<u64>,
        event: &Event,
        at_ms: u64,
        generation: u64,
        routes: usize,
    ) {
        let Some(identity) = self.takes(identity) else { return };
        let id_hash = id_hash(event.id());
        self.chunk.ids.push(id_hash);
        let routes = u16::try_from(routes).unwrap_or(u16::MAX);
        self.note(identity, &Note::Routed { id_hash, at_ms, generation, routes });
    }

    /// A step was passed. `plugin` is its name and digest.
    pub fn step(
        &mut self,
        identity: Option<u64>,
        (route, step): (&str, usize),
        plugin: &str,
        event: &Event,
        outcome: &Outcome,
    ) {
        let Some(identity) = self.takes(identity) else { return };
        let changed;
        let (verdict, text) = match outcome {
            Outcome::Keep => (Verdict::Keep, ""),
            Outcome::Drop(reason) => (Verdict::Drop, reason.as_str()),
            Outcome::Out(events) => match events.as_slice() {
                [one] => {
                    changed = changed_names(event, one);
                    (Verdict::Change, changed.as_str())
                }
                several => {
                    changed = format!("{} events out", several.len());
                    (Verdict::Split, changed.as_str())
                }
            },
            Outcome::Failed(failed) => (Verdict::Fail, failed.reason.as_str()),
        };
        let (route, plugin) = (self.name(route), self.name(plugin));
        let step = u8::try_from(step).unwrap_or(u8::MAX);
        self.note(identity, &Note::Step { route, step, plugin, verdict, text });
    }

    /// Its route left it out, for such a reason.
    pub fn left_out(&mut self, identity: Option<u64>, route: &str, reason: &str) {
        let Some(identity) = self.takes(identity) else { return };
        let route = self.name(route);
        self.note(identity, &Note::LeftOut { route, reason });
    }

    /// A route has come to its end.
    pub fn sent(&mut self, identity: Option<u64>, route: &str, lanes: usize) {
        let Some(identity) = self.takes(identity) else { return };
        let route = self.name(route);
        self.note(identity, &Note::Sent { route, lanes: u8::try_from(lanes).unwrap_or(u8::MAX) });
    }

    /// A backend confirmed it.
    pub fn delivered(
        &mut self,
        identity: Option<u64>,
        (route, backend): (&str, &str),
        tries: u32,
        (at_ms, latency_ms): (u64, u64),
        receipt: &str,
    ) {
        let Some(identity) = self.takes(identity) else { return };
        let (route, backend) = (self.name(route), self.name(backend));
        let tries = u16::try_from(tries).unwrap_or(u16::MAX);
        let latency_ms = u32::try_from(latency_ms).unwrap_or(u32::MAX);
        self.note(identity, &Note::Delivered { route, backend, tries, at_ms, latency_ms, receipt });
    }

    /// It became a dead letter, by a plugin or a backend.
    pub fn buried(&mut self, identity: Option<u64>, (route, place): (&str, &str), at_ms: u64, reason: &str) {
        let Some(identity) = self.takes(identity) else { return };
        let (route, place) = (self.name(route), self.name(place));
        self.note(identity, &Note::Buried { route, place, at_ms, reason });
    }

    /// Whether anything is noted at all: what only a note needs is then not made.
    pub fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// Hands over what was noted.
    pub fn flush(&mut self) {
        self.spans.flush();
        self.hand_over();
    }

    fn hand_over(&mut self) {
        if let Some(to) = self.to.as_ref().filter(|_| !self.chunk.is_empty()) {
            to.take(&mut self.chunk);
            self.recent = Default::default();
            self.known.clear();
        }
    }

    fn takes(&self, identity: Option<u64>) -> Option<u64> {
        identity.filter(|_| self.to.is_some())
    }

    fn note(&mut self, identity: u64, note: &Note<'_>) {
        self.chunk.note(identity, note);
        if self.chunk.bytes() >= FULL {
            self.hand_over();
        }
    }

    fn name(&mut self, name: &str) -> u16 {
        let place = name.as_ptr() as usize;
        let (recent, number) = self.recent[(place >> 4) % RECENT];
        if recent == place && self.chunk.name(number) == Some(name) {
            return number;
        }
        let number = self.known_name(place, name);
        self.recent[(place >> 4) % RECENT] = (place, number);
        number
    }

    fn known_name(&mut self, place: usize, name: &str) -> u16 {
        match self.known.get(&place) {
            // A name that has gone may have left its place to another.
            Some(number) if self.chunk.name(*number) == Some(name) => *number,
            _ => {
                let number = self.chunk.add_name(name);
                self.known.insert(place, number);
                number
            }
        }
    }
}
