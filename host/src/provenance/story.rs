//! What became of an event, told from its notes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::block::{self, Read};
use super::note::{Note, Verdict};
use super::store::Provenance;
use crate::journal::{Journal, Record};

/// The most passages of one id that are told: events that share it, and dead letters tried again.
const MOST: usize = 20;
/// Identities from here on are dead letters that were tried again; below are offsets in the journal.
const LETTERS: u64 = 1 << 63;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Story {
    /// `id`
    pub id: String,
    /// `source`, `type` and `subject`; absent where the journal does not keep the event any more.
    pub source: Option<String>,
    /// As `source`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// As `source`.
    pub subject: Option<String>,
    /// Its offset in the journal; absent for a dead letter that was tried again.
    pub offset: Option<u64>,
    /// The dead letter that was tried again.
    pub letter: Option<u64>,
    /// When it was accepted, Unix milliseconds.
    pub at_ms: u64,
    /// The snapshot that it went through.
    pub generation: u64,
    /// Where it is now.
    pub state: State,
    /// Its way along each route.
    pub journeys: Vec<Journey>,
}

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "StoryState")]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No route took it.
    Unmatched,
    /// A rule or plugin dropped it.
    Dropped,
    /// Every backend that was to get it has confirmed it.
    Delivered,
    /// Something of it is among the dead letters.
    DeadLetter,
    /// Something is still owed.
    Pending,
}

/// The way along one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Journey {
    /// The route.
    pub route: String,
    /// Why the route left it out: `not_sampled`, `duplicate` or `rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// The steps, in the order in which they were taken.
    pub steps: Vec<StepTaken>,
    /// Confirmations.
    pub deliveries: Vec<Delivery>,
    /// Why it became a dead letter.
    pub buried: Vec<Burial>,
    /// Deliveries that are owed at its end.
    pub owed: u32,
    #[serde(skip)]
    ended: bool,
}

/// One step that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StepTaken {
    /// Its place in the route, from 0.
    pub step: u8,
    /// The plugin.
    pub plugin: String,
    /// SHA-256 of the plugin's file.
    pub digest: String,
    /// What it made of the event.
    pub verdict: Verdict,
    /// Why it was dropped, or failed; how many came out of a split.
    pub reason: String,
    /// The names of the attributes that it changed, `data` among them; no values are kept.
    pub changed: Vec<String>,
}

/// One confirmation.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Delivery {
    /// The backend.
    pub backend: String,
    /// Tries, the last included.
    pub tries: u16,
    /// Where it is there, in the backend's own terms.
    pub receipt: String,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Since it was accepted.
    pub latency_ms: u32,
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Burial {
    /// The plugin or the backend that gave it up.
    pub place: String,
    /// Why.
    pub reason: String,
    /// When, Unix milliseconds.
    pub at_ms: u64,
}

impl Provenance {
    /// What became of the events with that id, the latest first. Blocks.
    pub fn stories(&self, id: &str, journal: &Journal) -> Vec<Story> {
        let hash = super::recorder::id_hash(id);
        let mut found: BTreeMap<u64, Story> = BTreeMap::new();
        self.blocks(
            |summary| summary.may_have_id(hash),
            |block| {
                let notes = block::chunks(block).flat_map(|chunk| chunk.notes().collect::<Vec<_>>());
                for (identity, note) in notes {
                    if let Note::Routed { id_hash, at_ms, generation, routes } = note
                        && id_hash == hash
                    {
                        found.insert(identity, Story::begin(id, identity, at_ms, generation, routes));
                    }
                }
            },
        );
        // Letters have the highest numbers.
        while found.len() > MOST {
            found.pop_first();
        }
        self.tell(&mut found);
        let with_record = |story: Story| {
            let record = story.offset.and_then(|offset| journal.record(offset));
            story.end(record.as_ref())
        };
        let mut stories: Vec<_> = found.into_values().filter_map(with_record).collect();
        stories.sort_by_key(|story| std::cmp::Reverse(story.at_ms));
        stories
    }

    /// What became of these events of the journal, by their offsets. Blocks.
    pub fn stories_of(&self, records: &[Record]) -> BTreeMap<u64, Story> {
        let begin = |record: &Record| {
            let Record { offset, at_ms, event } = record;
            (*offset, Story::begin(event.id(), *offset, *at_ms, 0, 1))
        };
        let mut found: BTreeMap<u64, Story> = records.iter().map(begin).collect();
        self.tell(&mut found);
        let end = |record: &Record| Some((record.offset, found.remove(&record.offset)?.end(Some(record))?));
        records.iter().filter_map(end).collect()
    }

    /// Adds what is noted of each.
    fn tell(&self, found: &mut BTreeMap<u64, Story>) {
        let identities: Vec<u64> = found.keys().copied().collect();
        self.blocks(
            |summary| {
                let first = identities.partition_point(|identity| *identity < summary.least);
                identities.get(first).is_some_and(|identity| *identity <= summary.greatest)
            },
            |block| {
                for chunk in block::chunks(block) {
                    for (identity, note) in chunk.notes() {
                        if let Some(story) = found.get_mut(&identity) {
                            story.add(&chunk, note);
                        }
                    }
                }
            },
        );
    }
}

impl Story {
    fn begin(id: &str, identity: u64, at_ms: u64, generation: u64, routes: u16) -> Self {
        let letter = identity.checked_sub(LETTERS);
        Self {
            id: id.to_owned(),
            source: None,
            kind: None,
            subject: None,
            offset: letter.is_none().then_some(identity),
            letter,
            at_ms,
            generation,
            state: if routes == 0 { State::Unmatched } else { State::Pending },
            journeys: Vec::new(),
        }
    }

    fn add(&mut self, chunk: &Read<'_>, note: Note<'_>) {
        match note {
            Note::Routed { at_ms, generation, routes, .. } => {
                (self.at_ms, self.generation) = (at_ms, generation);
                self.state = if routes == 0 { State::Unmatched } else { State::Pending };
            }
            Note::Step { route, step, plugin, verdict, text } => {
                let (plugin, digest) = chunk.name(plugin).split_once(' ').unwrap_or_default();
                let (plugin, digest) = (plugin.into(), digest.into());
                let (reason, changed) = match verdict {
                    Verdict::Change => ("", text.split_terminator(',').map(Into::into).collect()),
                    _ => (text, Vec::new()),
                };
                let journey = self.journey(chunk.name(route));
                journey.ended |= verdict == Verdict::Drop;
                let reason = reason.into();
                journey.steps.push(StepTaken { step, plugin, digest, verdict, reason, changed });
            }
            Note::LeftOut { route, reason } => {
                let journey = self.journey(chunk.name(route));
                journey.ended = true;
                journey.left_out = Some(reason.into());
            }
            Note::Sent { route, lanes } => {
                let journey = self.journey(chunk.name(route));
                journey.ended = true;
                journey.owed += u32::from(lanes);
            }
            Note::Delivered { route, backend, tries, at_ms, latency_ms, receipt } => {
                let (backend, receipt) = (chunk.name(backend).into(), receipt.into());
                let delivery = Delivery { backend, tries, receipt, at_ms, latency_ms };
                self.journey(chunk.name(route)).deliveries.push(delivery);
            }
            Note::Buried { route, place, at_ms, reason } => {
                let burial = Burial { place: chunk.name(place).into(), reason: reason.into(), at_ms };
                let journey = self.journey(chunk.name(route));
                journey.ended = true;
                journey.buried.push(burial);
            }
        }
    }

    fn journey(&mut self, route: &str) -> &mut Journey {
        let index = self.journeys.iter().position(|journey| journey.route == route).unwrap_or_else(|| {
            self.journeys.push(Journey { route: route.into(), ..Journey::default() });
            self.journeys.len() - 1
        });
        &mut self.journeys[index]
    }

    /// Adds what the journal says of it; none where two ids only share a hash.
    fn end(mut self, record: Option<&Record>) -> Option<Self> {
        if let Some(record) = record {
            if record.event.id() != self.id {
                return None;
            }
            self.source = Some(record.event.source().to_owned());
            self.kind = Some(record.event.kind().to_owned());
            self.subject = record.event.subject().map(Into::into);
        }
        if self.state != State::Unmatched {
            self.state = self.outcome();
        }
        Some(self)
    }

    fn outcome(&self) -> State {
        let journeys = || self.journeys.iter();
        let settled = |journey: &Journey| {
            let got = journey.deliveries.len() + journey.buried.len();
            journey.ended && got >= journey.owed as usize
        };
        if journeys().any(|journey| !journey.buried.is_empty()) {
            State::DeadLetter
        } else if self.journeys.is_empty() || !journeys().all(settled) {
            State::Pending
        } else if journeys().all(|journey| journey.deliveries.is_empty()) {
            State::Dropped
        } else {
            State::Delivered
        }
    }
}
