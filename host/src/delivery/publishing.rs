//! Batches on their way: handed over one after the other has been confirmed or, where a backend keeps the order of all of
//! them, one behind the other.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;

use foldhash::fast::FixedState;

use super::accounts::Confirmed;
use super::pending::{Pending, Rest};
use super::publisher::Publisher;
use super::{BreakerState, Outgoing, Policy};
use crate::backends::{Failure, Item, Outcomes};
use crate::trace::{Context, Publish, Tries};

/// Batches under way at once: one is confirmed while the next is filled.
const DEPTH: usize = 2;

/// A batch that is with the backend.
pub(super) struct UnderWay {
    items: Vec<Item>,
    rests: Vec<Rest>,
    tries: Tries,
    begun: Option<Publish>,
}

impl Publisher {
    /// Publishes a batch, and where that is allowed what comes meanwhile.
    pub(super) async fn publish(&mut self, mut batch: Vec<Pending>, most: usize, policy: &Policy) {
        if !policy.linger.is_zero() && batch.len() < most && !self.shared.draining.is_cancelled() {
            self.accounts.close(policy);
            tokio::time::sleep(policy.linger).await;
            if let Ok(more) = self.shared.queue.lock().pop(most - batch.len()) {
                self.pendings.admit(&mut batch, more);
            }
        }
        let batch = self.hand_over(batch);
        // A probe is one event.
        let alone = self.has_failed || self.breaker.state() != BreakerState::Closed;
        if alone || !self.begin(&batch) {
            self.alone(batch, policy).await;
        } else {
            self.one_behind_the_other(batch).await;
        }
        self.count_pending(0);
    }

    /// Whether the backend takes batches one behind the other, and has this one.
    fn begin(&mut self, batch: &UnderWay) -> bool {
        self.target.backend.pipeline().map(|pipeline| pipeline.begin(&batch.items)).is_some()
    }

    /// One batch, and nothing else until it is decided.
    async fn alone(&mut self, batch: UnderWay, policy: &Policy) {
        let outcomes = {
            let mut publishing = self.target.backend.publish(&batch.items);
            // It is sent before anything is said of the batch before.
            let at_once = poll_fn(|context| Poll::Ready(publishing.as_mut().poll(context))).await;
            self.accounts.close(policy);
            match at_once {
                Poll::Ready(outcomes) => outcomes,
                Poll::Pending => publishing.await,
            }
        };
        let outcomes = self.decided(&batch, outcomes);
        self.has_failed = !outcomes.iter().all(Result::is_ok);
        if self.has_failed {
            self.sort_out(vec![(batch, outcomes)], policy).await;
        } else {
            self.settle(batch, outcomes, policy);
        }
    }

    /// That batch, which has begun, and what comes while it is under way, until there is nothing more or something fails.
    async fn one_behind_the_other(&mut self, first: UnderWay) {
        let mut under_way = VecDeque::from([first]);
        loop {
            let policy = self.shared.policy.read().clone();
            while under_way.len() < DEPTH && self.goes_on() {
                let most = self.most(&policy);
                let batch = self.batch(most, &policy);
                if batch.is_empty() {
                    break;
                }
                let batch = self.hand_over(batch);
                self.begin(&batch);
                under_way.push_back(batch);
            }
            self.accounts.close(&policy);
            self.tidy();
            if under_way.is_empty() {
                return;
            }
            let more = under_way.len() < DEPTH && self.goes_on();
            if let Some(pipeline) = self.target.backend.pipeline() {
                tokio::select! {
                    biased;
                    () = pipeline.decided() => {}
                    () = self.shared.pushed.notified(), if more => {
                        tokio::time::sleep(policy.linger).await;
                        continue;
                    }
                }
            }
            let Some(batch) = under_way.pop_front() else { return };
            let outcomes = self.next_outcomes(&batch).await;
            if outcomes.iter().all(Result::is_ok) {
                self.settle(batch, outcomes, &policy);
                continue;
            }
            self.has_failed = true;
            let mut all = vec![(batch, outcomes)];
            for batch in under_way {
                let outcomes = self.next_outcomes(&batch).await;
                all.push((batch, outcomes));
            }
            hold_behind(&mut all);
            return self.sort_out(all, &policy).await;
        }
    }

    /// Whether nothing asks for a look at the lane as a whole.
    fn goes_on(&self) -> bool {
        !self.shared.paused.load(Ordering::Acquire)
            && !self.shared.abandoned.is_cancelled()
            && self.shared.next_target.lock().is_none()
    }

    async fn next_outcomes(&mut self, batch: &UnderWay) -> Outcomes {
        let outcomes = match self.target.backend.pipeline() {
            Some(pipeline) => {
                pipeline.decided().await;
                pipeline.outcomes(&batch.items).await
            }
            None => Outcomes::new(),
        };
        self.decided(batch, outcomes)
    }

    /// What was taken for a batch, on its way to the backend.
    fn hand_over(&mut self, batch: Vec<Pending>) -> UnderWay {
        let oldest = batch.iter().map(|pending| pending.outgoing.at_ms).min().unwrap_or_default();
        // Handed over and back: a clone would be two counts of references more for each event.
        let (spans, mut tries) = (&self.accounts.recorder.spans, Tries::default());
        let apart = |(place, pending): (usize, Pending)| {
            let Outgoing { event, identity, route, .. } = &pending.outgoing;
            let trace = tries.add(place, spans.try_out(event, *identity, route));
            pending.apart(trace)
        };
        let (items, rests): (Vec<Item>, Vec<Rest>) = batch.into_iter().enumerate().map(apart).unzip();
        self.bucket.spend(items.len());
        self.with_backend += items.len();
        let begun = self.accounts.recorder.spans.are_on().then(|| Publish::begin(items.len()));
        self.shared.pace.lock().begin(oldest);
        UnderWay { items, rests, tries, begun }
    }

    /// The backend is done with it: one outcome for each of its events.
    fn decided(&mut self, batch: &UnderWay, mut outcomes: Outcomes) -> Outcomes {
        let missing = || Err(Failure::Reconnect("the backend gave no outcome for an event".into()));
        outcomes.resize_with(batch.items.len(), missing);
        self.with_backend -= batch.items.len();
        self.shared.pace.lock().end();
        if let Some(publish) = batch.begun {
            self.trace(batch, &outcomes, publish.end());
        }
        outcomes
    }

    fn settle(
        &mut self,
        UnderWay { items, rests, tries, .. }: UnderWay,
        outcomes: Outcomes,
        policy: &Policy,
    ) {
        self.confirmed(Confirmed::new(items, rests, outcomes, tries), policy);
    }

    /// Decides on each event of batches that were not confirmed as a whole.
    async fn sort_out(&mut self, batches: Vec<(UnderWay, Outcomes)>, policy: &Policy) {
        let mut given_up = Vec::new();
        // What is given back goes before what is here already.
        for (UnderWay { items, rests, tries, .. }, outcomes) in batches.into_iter().rev() {
            let again = items.into_iter().zip(rests).map(Pending::of);
            let mut these = self.sort(again, outcomes, &tries, policy);
            these.append(&mut given_up);
            given_up = these;
        }
        self.burial.bury(given_up, policy.given_up, &mut self.accounts.recorder).await;
        self.accounts.recorder.flush();
    }

    /// Notes what became of the tries, and the publish that several of them were in.
    fn trace(&mut self, batch: &UnderWay, outcomes: &Outcomes, publish: Publish) {
        let mut traced: Vec<Context> = Vec::new();
        for (place, this) in batch.tries.all_recorded() {
            let (item, rest) = (&batch.items[place], &batch.rests[place]);
            let about = (&item.event, &rest.route);
            let outcome = match &outcomes[place] {
                Ok(receipt) => Ok(receipt.to_string()),
                Err(failure) => match failure.class() {
                    Some(class) => Err((class, failure.to_string())),
                    // It was not tried at all.
                    None => continue,
                },
            };
            let tried = (publish, rest.tries + 1);
            self.accounts.recorder.spans.tried(this, about, &self.destination, tried, outcome);
            traced.push(this.context());
        }
        if traced.len() > 1 {
            self.accounts.recorder.spans.published(traced, &self.destination, publish);
        }
    }
}

/// What was begun behind an event that failed, and is of its key, comes again behind it, whatever became of it.
fn hold_behind(batches: &mut [(UnderWay, Outcomes)]) {
    let mut stopped: HashSet<u64, FixedState> = HashSet::default();
    for (batch, outcomes) in batches {
        for (item, outcome) in batch.items.iter().zip(outcomes) {
            if stopped.contains(&item.key) {
                *outcome = Err(Failure::Held);
            } else if outcome.as_ref().is_err_and(Failure::holds_up) {
                stopped.insert(item.key);
            }
        }
    }
}
