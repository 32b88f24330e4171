//! What is noted and settled for each event that was confirmed. Where a batch was confirmed as a whole, that is done while
//! the backend is busy with the next: by itself it would be idle meanwhile.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::lane::Shared;
use super::pending::{Pending, Rest};
use super::{Outgoing, Policy};
use crate::Event;
use crate::backends::{Item, Outcomes, Receipt};
use crate::journal::now_ms;
use crate::provenance::Recorder;
use crate::trace::Tries;

/// A batch that was confirmed as a whole.
pub(super) struct Confirmed {
    items: Vec<Item>,
    rests: Vec<Rest>,
    outcomes: Outcomes,
    tries: Tries,
    at_ms: u64,
}

impl Confirmed {
    /// A batch with these outcomes, each of which is a receipt.
    pub(super) fn new(items: Vec<Item>, rests: Vec<Rest>, outcomes: Outcomes, tries: Tries) -> Self {
        Self { items, rests, outcomes, tries, at_ms: now_ms() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

pub(super) struct Accounts {
    shared: Arc<Shared>,
    pub(super) recorder: Recorder,
    /// The receipt of the event at hand, as text.
    receipt: String,
    /// How old the events of a batch are, in seconds.
    ages: Vec<f64>,
    open: Option<Confirmed>,
}

impl Accounts {
    pub(super) fn new(shared: Arc<Shared>, recorder: Recorder) -> Self {
        Self { shared, recorder, receipt: String::new(), ages: Vec::new(), open: None }
    }

    /// To be closed when the next batch is under way, or there is none.
    pub(super) fn leave_open(&mut self, batch: Confirmed) {
        self.open = Some(batch);
    }

    /// Notes and settles what was left open.
    pub(super) fn close(&mut self, policy: &Policy) {
        let Some(Confirmed { items, rests, outcomes, tries, at_ms }) = self.open.take() else { return };
        self.age(items.iter().map(|item| &item.event), at_ms, policy);
        for (place, (pending, outcome)) in items.into_iter().zip(rests).zip(outcomes).enumerate() {
            if let Ok(receipt) = outcome {
                let trace = tries.recorded(place);
                self.confirmed(Pending::of(pending), &receipt, (at_ms, trace), policy);
            }
        }
        self.recorder.flush();
    }

    /// Counts how old events are, of a batch all at once: by now other caches have them, and many are fetched at a time where
    /// nothing else is done between two.
    pub(super) fn age<'a>(&mut self, events: impl Iterator<Item = &'a Event>, at_ms: u64, policy: &Policy) {
        if policy.track_latency {
            self.ages.extend(events.filter_map(|event| age(event, at_ms)));
            self.ages.drain(..).for_each(|age| self.shared.metrics.age.observe(age));
        }
    }

    /// Notes and settles one event.
    pub(super) fn confirmed(
        &mut self,
        pending: Pending,
        receipt: &Receipt,
        (at_ms, trace): (u64, Option<u128>),
        policy: &Policy,
    ) {
        let Pending { outgoing: Outgoing { event, at_ms: accepted, route, identity, owed, .. }, tries } =
            pending;
        owed.settle();
        let latency_ms = at_ms.saturating_sub(accepted);
        if self.recorder.is_on() {
            self.receipt.clear();
            // Writing to a string cannot fail.
            let _ = write!(self.receipt, "{receipt}");
            let place = (route.as_str(), self.shared.name.as_str());
            self.recorder.delivered(identity, place, tries + 1, (at_ms, latency_ms), &self.receipt);
        }
        if policy.track_latency {
            self.shared.metrics.confirmed(Duration::from_millis(latency_ms).as_secs_f64(), trace);
        }
        if policy.log_events && tracing::enabled!(tracing::Level::INFO) {
            let document_id =
                event.subject().and_then(|subject| subject.strip_prefix("document/")).unwrap_or_default();
            tracing::info!(
                event_id = event.id(),
                event_type = event.kind(),
                document_id,
                backend = %self.shared.name,
                latency_ms,
                "event published"
            );
        }
    }
}

/// Seconds since the event's own `time`, where it has one that is past.
fn age(event: &Event, at_ms: u64) -> Option<f64> {
    let time = event.time_ms()?;
    let age = i64::try_from(at_ms).ok()?.checked_sub(time)?;
    (age >= 0).then(|| age as f64 / 1_000.0)
}
