//! The task that publishes: connect, take a batch, hand it to the backend, act on what it says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::accounts::Accounts;
use super::breaker::{Allowed, Breaker};
use super::burial::Burial;
use super::lane::Shared;
use super::pending::{Pending, Pendings};
use super::rate::Bucket;
use super::watching::Watching;
use super::{BreakerState, Policy, State, pause};
use crate::backends::{Failure, Target};
use crate::journal::{DeadLetters, now_ms};
use crate::provenance::Recorder;
use crate::trace::Destination;

/// How often settled overflow is let go of.
const TIDY: Duration = Duration::from_millis(200);
/// The longest a close may take.
pub(super) const CLOSE: Duration = Duration::from_secs(2);

pub(super) struct Publisher {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Target,
    pub(super) connected: bool,
    /// Connections that were lost or could not be made since an event was last confirmed.
    pub(super) failures: u32,
    /// The receiver, the breaker or the rate asked for a pause.
    pub(super) not_before: Option<Instant>,
    pub(super) pendings: Pendings,
    pub(super) breaker: Breaker,
    pub(super) accounts: Accounts,
    /// The last batch was not confirmed as a whole: until one is, none is begun behind another.
    pub(super) has_failed: bool,
    /// Events that the backend has and did not answer for.
    pub(super) with_backend: usize,
    /// Where spans say that it delivers.
    pub(super) destination: Arc<Destination>,
    /// The look at who reads from the backend; ends with the lane.
    watching: Option<Watching>,
    pub(super) burial: Burial,
    pub(super) bucket: Bucket,
    tidied: Instant,
}

impl Publisher {
    pub(super) fn new(
        shared: Arc<Shared>,
        target: Target,
        dead_letters: DeadLetters,
        recorder: Recorder,
    ) -> Self {
        Self {
            accounts: Accounts::new(Arc::clone(&shared), recorder),
            has_failed: false,
            with_backend: 0,
            destination: Arc::new(destination(&target)),
            watching: None,
            burial: Burial::new(shared.name.clone(), dead_letters, shared.metrics.dead.clone()),
            shared,
            target,
            connected: false,
            failures: 0,
            not_before: None,
            pendings: Pendings::default(),
            breaker: Breaker::default(),
            bucket: Bucket::new(Instant::now()),
            tidied: Instant::now(),
        }
    }

    pub(super) async fn run(mut self) {
        self.watching = Watching::start(&self.shared, &*self.target.backend);
        while !self.shared.abandoned.is_cancelled() {
            self.go_over().await;
            self.tidy();
            if self.shared.paused.load(Ordering::Acquire) {
                self.close_accounts();
                if self.shared.draining.is_cancelled() {
                    break;
                }
                self.wait_paused().await;
                continue;
            }
            if self.emptied() {
                self.close_accounts();
                tracing::info!(backend = %self.shared.name, "all that waited is delivered; paused");
                self.shared.paused.store(true, Ordering::Release);
                continue;
            }
            if !self.ready().await {
                continue;
            }
            let policy = self.shared.policy.read().clone();
            let most = self.most(&policy);
            let batch = self.batch(most, &policy);
            if !batch.is_empty() {
                self.publish(batch, most, &policy).await;
                continue;
            }
            self.accounts.close(&policy);
            if self.finished() {
                break;
            }
            self.rest().await;
        }
        self.close_accounts();
        self.let_go();
        let close = tokio::time::timeout(CLOSE, self.target.backend.close());
        if close.await.is_err() {
            tracing::debug!(backend = %self.shared.name, "the connection did not close in time");
        }
    }

    fn close_accounts(&mut self) {
        let policy = self.shared.policy.read().clone();
        self.accounts.close(&policy);
    }

    /// Until somebody looks at the lane: to go on, to end, or with more events.
    async fn wait_paused(&self) {
        tokio::select! {
            () = self.shared.pushed.notified() => {}
            () = self.shared.draining.cancelled() => {}
            () = tokio::time::sleep(TIDY) => {}
        }
    }

    /// An operator has asked for it, and nothing is left.
    fn emptied(&self) -> bool {
        self.shared.emptying.load(Ordering::Relaxed)
            && self.pendings.is_empty()
            && self.shared.queue.lock().is_exhausted()
    }

    fn finished(&self) -> bool {
        // What is on disk may stay there; a key that waits for its retry is worth waiting for.
        self.shared.draining.is_cancelled() && self.pendings.is_empty() && self.shared.queue.lock().len() == 0
    }

    /// Takes another target over, if one was given.
    async fn go_over(&mut self) {
        let next = self.shared.next_target.lock().take();
        if let Some(target) = next {
            self.close_accounts();
            let mut before = std::mem::replace(&mut self.target, target);
            before.backend.close().await;
            self.destination = Arc::new(destination(&self.target));
            self.watching = Watching::start(&self.shared, &*self.target.backend);
            self.shared.view.lock().address.clone_from(&self.target.address);
            (self.connected, self.failures, self.not_before) = (false, 0, None);
            self.breaker.close();
            self.show_breaker();
            self.show(State::Connecting, None);
        }
    }

    /// Connects if need be. False where that did not work; it has then paused.
    async fn ready(&mut self) -> bool {
        if self.connected {
            return true;
        }
        if self.not_before.is_some_and(|until| until > Instant::now()) && !self.shared.draining.is_cancelled()
        {
            self.rest().await;
            return false;
        }
        if let Err(failure) = self.target.backend.connect().await {
            self.lost(&failure);
            if self.shared.draining.is_cancelled() {
                // Nothing can be delivered: the rest stays where it is.
                self.shared.abandoned.cancel();
                return false;
            }
            self.failures += 1;
            let policy = self.shared.policy.read().clone();
            let pause = match failure {
                Failure::BackOff(pause, _) => pause,
                _ => pause::before(self.failures, None, &policy),
            };
            self.sleep(pause).await;
            return false;
        }
        self.connected = true;
        // A connection that was lost before shows what it is worth by its first confirmation.
        let error = self.shared.view.lock().error.take().filter(|_| self.failures > 0);
        self.show(State::Up, error);
        true
    }

    pub(super) fn lost(&mut self, failure: &Failure) {
        let message = failure.to_string();
        let known = self.shared.view.lock().error.as_ref() == Some(&message);
        if !known {
            tracing::warn!(backend = %self.shared.name, "{message}");
        }
        self.show(State::Down, Some(message));
    }

    fn show(&self, state: State, error: Option<String>) {
        let mut view = self.shared.view.lock();
        if view.state != state {
            let now = match state {
                State::Connecting => "the backend is being connected to",
                State::Up => "the backend is up",
                State::Down => "the backend is down",
            };
            tracing::info!(backend = %self.shared.name, address = %view.address, "{now}");
            view.since_ms = now_ms();
        }
        (view.state, view.error) = (state, error);
    }

    pub(super) fn show_breaker(&self) {
        let state = self.breaker.state();
        let before = std::mem::replace(&mut self.shared.view.lock().breaker, state);
        if before == state {
            return;
        }
        self.shared.metrics.breaker.set(match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        });
        match state {
            BreakerState::Open if before == BreakerState::Closed => {
                tracing::warn!(backend = %self.shared.name, "too many publishes fail: the breaker is open, probes follow");
            }
            BreakerState::Closed => tracing::info!(backend = %self.shared.name, "the breaker is closed"),
            _ => {}
        }
    }

    /// How many events may be tried now; where none may, until when the lane rests.
    pub(super) fn most(&mut self, policy: &Policy) -> usize {
        let now = Instant::now();
        if self.not_before.is_some_and(|until| until > now) {
            return 0;
        }
        self.not_before = None;
        let allowed = self.breaker.allows(now);
        self.show_breaker();
        let most = match allowed {
            Allowed::All => policy.batch.unwrap_or_else(|| self.target.backend.batch()),
            Allowed::Probe => 1,
            Allowed::NothingUntil(until) => {
                self.not_before = Some(until);
                if self.shared.draining.is_cancelled() {
                    // As good as not connected: the rest stays where it is.
                    self.shared.abandoned.cancel();
                }
                return 0;
            }
        };
        let least = |a: f64, b: f64| a.min(b);
        let Some(rate) = policy.rate.into_iter().chain(self.target.backend.rate()).reduce(least) else {
            return most;
        };
        match self.bucket.available(rate, now) {
            Ok(available) => most.min(available),
            Err(next) => {
                self.not_before = Some(next);
                0
            }
        }
    }

    /// The next batch: what was tried before, then what waits.
    pub(super) fn batch(&mut self, most: usize, policy: &Policy) -> Vec<Pending> {
        let now = Instant::now();
        let mut batch = Vec::new();
        if most == 0 {
            return batch;
        }
        self.pendings.take(&mut batch, most, now);
        while batch.len() < most && self.pendings.len() < policy.queue {
            let popped = self.shared.queue.lock().pop(most - batch.len());
            match popped {
                Ok(more) if more.is_empty() => break,
                Ok(more) => self.pendings.admit(&mut batch, more),
                Err(error) => {
                    self.show(State::Down, Some(error.to_string()));
                    self.not_before = Some(now + Duration::from_secs(1));
                    break;
                }
            }
        }
        self.count_pending(batch.len());
        batch
    }

    /// Shows how many events are here, so many more at hand, and with the backend.
    pub(super) fn count_pending(&self, more: usize) {
        let pending = self.pendings.len() + more + self.with_backend;
        self.shared.pending.store(pending as u64, Ordering::Relaxed);
        self.shared.metrics.queued.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    /// Waits for something to do.
    async fn rest(&self) {
        let due = match self.not_before {
            // Whatever is due before may not be tried before.
            Some(until) => Some(until),
            None => self.pendings.next_due(),
        };
        let limit = due.map_or(TIDY * 5, |due| {
            due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
        });
        self.sleep(limit).await;
    }

    /// Sleeps, unless something was pushed to a lane that can take it, or the lane is to end.
    pub(super) async fn sleep(&self, limit: Duration) {
        let ending = async {
            if self.shared.draining.is_cancelled() {
                self.shared.abandoned.cancelled().await;
            } else {
                self.shared.draining.cancelled().await;
            }
        };
        // A pause that the receiver or a failed connection asked for is not cut short by new events.
        let pushed = async {
            if self.connected && self.not_before.is_none() {
                self.shared.pushed.notified().await;
            } else {
                self.retargeted().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(limit) => {}
            () = pushed => {}
            () = ending => {}
        }
    }

    async fn retargeted(&self) {
        loop {
            self.shared.pushed.notified().await;
            if self.shared.next_target.lock().is_some() {
                return;
            }
        }
    }

    pub(super) fn tidy(&mut self) {
        if self.tidied.elapsed() >= TIDY {
            self.tidied = Instant::now();
            self.shared.queue.lock().tidy();
        }
    }

    /// What is still here at the end stays owed: the journal or the overflow hands it out again.
    fn let_go(&mut self) {
        let left = self.pendings.len() + self.shared.queue.lock().len();
        if left > 0 {
            tracing::warn!(backend = %self.shared.name, left, "not delivered in time; goes on at the next start");
        }
    }
}

fn destination(target: &Target) -> Destination {
    let (system, name) = target.backend.destination();
    let name = if name.is_empty() { target.address.clone() } else { name };
    Destination { system, name, backend: target.name.to_string(), address: target.address.clone() }
}
