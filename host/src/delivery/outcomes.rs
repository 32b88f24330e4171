//! What follows from a backend's answers: settled, tried again, or given up.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::accounts::Confirmed;
use super::pending::Pending;
use super::publisher::Publisher;
use super::{Policy, pause};
use crate::backends::{Failure, Outcomes};
use crate::journal::now_ms;
use crate::trace::Tries;

/// Where the events of a batch go, before it is done.
#[derive(Default)]
struct Sorted {
    confirmed: u64,
    failed: u64,
    /// To be tried before all others, after a new connection.
    first: Vec<Pending>,
    /// To be tried again at their time.
    held: Vec<(Pending, Instant)>,
    given_up: Vec<(Pending, String)>,
    lost: Option<Failure>,
    said: Option<String>,
}

impl Publisher {
    /// Settles what is confirmed, gives back what is to be tried again, and returns what is given up.
    pub(super) fn sort(
        &mut self,
        batch: impl Iterator<Item = Pending>,
        outcomes: Outcomes,
        tries: &Tries,
        policy: &Policy,
    ) -> Vec<(Pending, String)> {
        let (now, at_ms) = (Instant::now(), now_ms());
        let mut sorted = Sorted::default();
        let mut waiting: Vec<u64> = Vec::new();
        for (place, (pending, outcome)) in batch.zip(outcomes).enumerate() {
            let failure = match outcome {
                Ok(receipt) => {
                    sorted.confirmed += 1;
                    self.accounts.age(std::iter::once(&pending.outgoing.event), at_ms, policy);
                    self.accounts.confirmed(pending, &receipt, (at_ms, tries.recorded(place)), policy);
                    continue;
                }
                Err(failure) => failure,
            };
            if let Some(class) = failure.class() {
                self.shared.metrics.failed(class);
            }
            let key = pending.outgoing.key;
            if waiting.contains(&key) {
                sorted.held.push((pending, now));
            } else if self.failed(pending, failure, now, policy, &mut sorted) {
                waiting.push(key);
            }
        }
        self.conclude(sorted, now, policy)
    }

    /// Decides on one failure. Whether the rest of its key has to wait behind it.
    fn failed(
        &mut self,
        mut pending: Pending,
        failure: Failure,
        now: Instant,
        policy: &Policy,
        sorted: &mut Sorted,
    ) -> bool {
        let backend_is_well = matches!(failure, Failure::Held | Failure::Reject(_) | Failure::Unroutable(_));
        sorted.failed += u64::from(!backend_is_well);
        match failure {
            Failure::Reconnect(_) => {
                sorted.lost.get_or_insert(failure);
                sorted.first.push(pending);
                return false;
            }
            Failure::Held => sorted.held.push((pending, now)),
            Failure::Reject(reason) => {
                pending.tries += 1;
                sorted.said = Some(reason.clone());
                sorted.given_up.push((pending, reason));
                return false;
            }
            Failure::BackOff(pause, reason) => {
                let until = now + pause;
                self.not_before = Some(self.not_before.map_or(until, |before| before.max(until)));
                sorted.said = Some(reason);
                sorted.held.push((pending, until));
            }
            Failure::Retry(reason) | Failure::Unroutable(reason) => {
                pending.tries += 1;
                sorted.said = Some(reason.clone());
                if pending.tries > self.target.max_retries.unwrap_or(policy.max_retries) {
                    sorted.given_up.push((pending, reason));
                    return false;
                }
                self.shared.metrics.retries.inc();
                let due = now + pause::before(pending.tries, self.target.pause, policy);
                sorted.held.push((pending, due));
            }
        }
        true
    }

    /// A batch that was confirmed as a whole: its accounts stay open until the next is under way.
    pub(super) fn confirmed(&mut self, batch: Confirmed, policy: &Policy) {
        let sorted = Sorted { confirmed: batch.len() as u64, ..Sorted::default() };
        self.accounts.leave_open(batch);
        self.conclude(sorted, Instant::now(), policy);
    }

    fn conclude(&mut self, sorted: Sorted, now: Instant, policy: &Policy) -> Vec<(Pending, String)> {
        let Sorted { confirmed, failed, first, held, given_up, lost, said } = sorted;
        self.pendings.put_first(first);
        self.pendings.hold(held);
        // A receiver that rejects an event is there and answers.
        self.breaker.record(confirmed + given_up.len() as u64, failed, now, &policy.breaker);
        self.show_breaker();
        if confirmed > 0 {
            self.failures = 0;
            self.shared.delivered.fetch_add(confirmed, Ordering::Relaxed);
            self.shared.metrics.published.inc_by(confirmed);
        }
        if let Some(failure) = lost {
            self.connected = false;
            self.lost(&failure);
            // A webhook connects by need: without a pause nobody there would be asked without end.
            let until = now + pause::before(self.failures, None, policy);
            self.not_before = Some(self.not_before.map_or(until, |before| before.max(until)));
            self.failures += 1;
        } else {
            self.shared.view.lock().error = said;
        }
        given_up
    }
}
