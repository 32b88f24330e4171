//! A candidate in the shadow of a step: it gets the same live events, on a thread of its own and without effect, and what it
//! would have done otherwise is counted and sampled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use flume::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use serde::Serialize;

use super::error::PluginError;
use super::step::{Outcome, Passage, Step};
use crate::event::Event;

/// Events that may wait for the candidate, and bytes that they and what came of them may have; more are left out, and counted.
const WAITING: usize = 4_096;
const BYTES: u64 = 64 << 20;
/// Differences that are remembered, the latest.
const SAMPLES: usize = 100;

/// The candidate's thread, and what it has found.
pub(super) struct Shadow {
    events: Option<Sender<Seen>>,
    thread: Option<JoinHandle<()>>,
    found: Arc<Found>,
}

/// An event, and what the step made of it.
struct Seen {
    event: Event,
    passage: Passage,
    outcome: Outcome,
}

impl Seen {
    fn size(&self) -> u64 {
        let of = |event: &Event| event.record().len() as u64;
        let out = match &self.outcome {
            Outcome::Out(events) => events.iter().map(of).sum(),
            _ => 0,
        };
        of(&self.event) + out
    }
}

#[derive(Default)]
struct Found {
    compared: AtomicU64,
    differed: AtomicU64,
    left_out: AtomicU64,
    waiting: AtomicU64,
    samples: Mutex<VecDeque<Difference>>,
}

/// What a candidate has been found to do otherwise.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct ShadowStatus {
    /// The candidate's name.
    pub plugin: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// Events that both have seen.
    pub compared: u64,
    /// Of those, how many came out otherwise.
    pub differed: u64,
    /// Events that the candidate was too slow for.
    pub left_out: u64,
    /// The latest differences.
    pub differences: Vec<Difference>,
}

/// One event that came out otherwise. Without its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// `id` of the event.
    pub id: String,
    /// `source` of the event.
    pub source: String,
    /// What the step did.
    pub current: String,
    /// What the candidate would have done.
    pub candidate: String,
}

impl Shadow {
    pub(super) fn start(candidate: Arc<Step>) -> Result<Self, PluginError> {
        let (events, inbox) = bounded(WAITING);
        let found = Arc::new(Found::default());
        let finds = Arc::clone(&found);
        let thread = std::thread::Builder::new()
            .name("plugin-shadow".into())
            .spawn(move || follow(&candidate, &inbox, &finds))
            .map_err(PluginError::engine)?;
        Ok(Self { events: Some(events), thread: Some(thread), found })
    }

    /// Shows the candidate an event. Waits for nothing.
    pub(super) fn show(&self, event: &Event, passage: Passage, outcome: &Outcome) {
        let seen = Seen { event: event.clone(), passage, outcome: outcome.clone() };
        let (size, found) = (seen.size(), &self.found);
        let waiting = found.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        let room = waiting <= BYTES || waiting == size;
        let taken = room && self.events.as_ref().is_some_and(|events| events.try_send(seen).is_ok());
        if !taken {
            found.waiting.fetch_sub(size, Ordering::Relaxed);
            found.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that came out otherwise.
    pub(super) fn differed(&self) -> u64 {
        self.found.differed.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self, candidate: &Step) -> ShadowStatus {
        let plugin = &candidate.spec().plugin;
        ShadowStatus {
            plugin: plugin.name.to_string(),
            digest: plugin.digest.to_string(),
            compared: self.found.compared.load(Ordering::Relaxed),
            differed: self.found.differed.load(Ordering::Relaxed),
            left_out: self.found.left_out.load(Ordering::Relaxed),
            differences: self.found.samples.lock().iter().cloned().collect(),
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        drop(self.events.take());
        if let Some(thread) = self.thread.take() {
            // A candidate that panics has nothing more to say.
            let _ = thread.join();
        }
    }
}

fn follow(candidate: &Step, inbox: &Receiver<Seen>, found: &Found) {
    while let Ok(seen) = inbox.recv() {
        found.waiting.fetch_sub(seen.size(), Ordering::Relaxed);
        let Seen { event, passage, outcome } = seen;
        // Nobody waits for the rest once the step is gone.
        if inbox.is_disconnected() {
            break;
        }
        let other = candidate.run(0, &event, passage);
        found.compared.fetch_add(1, Ordering::Relaxed);
        if agree(&outcome, &other) {
            continue;
        }
        found.differed.fetch_add(1, Ordering::Relaxed);
        let mut samples = found.samples.lock();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Difference {
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            current: told(&outcome, &event),
            candidate: told(&other, &event),
        });
    }
}

/// Reasons may be worded otherwise; verdicts and events may not.
fn agree(one: &Outcome, other: &Outcome) -> bool {
    match (one, other) {
        (Outcome::Keep, Outcome::Keep)
        | (Outcome::Drop(_), Outcome::Drop(_))
        | (Outcome::Failed(_), Outcome::Failed(_)) => true,
        (Outcome::Out(one), Outcome::Out(other)) => one == other,
        _ => false,
    }
}

/// An outcome in words, with the names of what changed and none of the data.
fn told(outcome: &Outcome, event: &Event) -> String {
    match outcome {
        Outcome::Keep => "keep".into(),
        Outcome::Drop(reason) => format!("drop: {reason}"),
        Outcome::Failed(failed) => format!("fail: {}", failed.reason),
        Outcome::Out(events) => match events.as_slice() {
            [one] => format!("change {}", changed(event, one)),
            several => format!("{} events", several.len()),
        },
    }
}

fn changed(before: &Event, after: &Event) -> String {
    let mut names = Vec::new();
    before.changed_in(after, |name| names.push(name));
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_slow_candidate_is_bounded_in_bytes() {
        // A candidate that takes nothing at all.
        let (events, inbox) = bounded(WAITING);
        let shadow = Shadow { events: Some(events), thread: None, found: Arc::default() };
        let large = Event::builder("1", "/test", "t").json(vec![b' '; 1 << 20]).build().unwrap();
        let doubled = Outcome::Out(vec![large.clone()]);
        (0..WAITING).for_each(|_| shadow.show(&large, Passage::default(), &doubled));
        assert!((20..=32).contains(&inbox.len()), "{} wait", inbox.len());
        assert_eq!(shadow.found.left_out.load(Ordering::Relaxed), (WAITING - inbox.len()) as u64);
        // One that is larger than all that may wait does, where nothing else does.
        inbox.drain().for_each(|seen| _ = shadow.found.waiting.fetch_sub(seen.size(), Ordering::Relaxed));
        let huge = Event::builder("1", "/test", "t").json(vec![b' '; 70 << 20]).build().unwrap();
        shadow.show(&huge, Passage::default(), &Outcome::Keep);
        shadow.show(&huge, Passage::default(), &Outcome::Keep);
        assert_eq!(inbox.len(), 1);
    }
}
