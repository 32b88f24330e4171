//! One lane: the handle that workers push to, and the task that publishes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pending::{Pending, Pendings};
use super::queue::Queue;
use super::{GivenUp, LaneStatus, Outgoing, Policy, State, pause};
use crate::backends::{Failure, Item, Outcomes, Target};
use crate::journal::{DeadLetter, DeadLetters, LogError, Owed, Place, now_ms};
use crate::names::BackendName;
use crate::telemetry::LaneMetrics;

/// How often settled overflow is let go of.
const TIDY: Duration = Duration::from_millis(200);
/// The longest a close may take.
const CLOSE: Duration = Duration::from_secs(2);

/// A handle to one lane. The lane ends with [`Lane::drain`].
#[derive(Clone)]
pub struct Lane {
    shared: Arc<Shared>,
}

/// What a lane keeps on disk while its backend is down.
pub struct Overflow(Queue);

impl Overflow {
    /// Opens what is there; nothing is created before it is needed.
    ///
    /// # Errors
    /// A log that is damaged or cannot be read.
    pub fn open(dir: PathBuf) -> Result<Self, LogError> {
        Queue::open(dir).map(Self)
    }
}

struct Shared {
    name: BackendName,
    queue: Mutex<Queue>,
    pushed: Notify,
    policy: RwLock<Policy>,
    /// A target to go over to.
    next_target: Mutex<Option<Target>>,
    view: Mutex<View>,
    delivered: AtomicU64,
    pending: AtomicU64,
    metrics: LaneMetrics,
    draining: CancellationToken,
    abandoned: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct View {
    address: String,
    state: State,
    error: Option<String>,
    since_ms: u64,
}

impl Lane {
    /// Starts publishing; what waited in the overflow goes first.
    pub fn start(
        target: Target,
        policy: Policy,
        dead_letters: DeadLetters,
        overflow: Overflow,
        metrics: LaneMetrics,
        runtime: &Handle,
    ) -> Self {
        let view = View {
            address: target.address.clone(),
            state: State::Connecting,
            error: None,
            since_ms: now_ms(),
        };
        let shared = Arc::new(Shared {
            name: target.name.clone(),
            queue: Mutex::new(overflow.0),
            pushed: Notify::new(),
            policy: RwLock::new(policy),
            next_target: Mutex::new(None),
            view: Mutex::new(view),
            delivered: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            metrics,
            draining: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            task: Mutex::new(None),
        });
        let publisher = Publisher {
            shared: Arc::clone(&shared),
            target,
            dead_letters,
            connected: false,
            failures: 0,
            not_before: None,
            pendings: Pendings::default(),
            tidied: Instant::now(),
        };
        *shared.task.lock() = Some(runtime.spawn(publisher.run()));
        Self { shared }
    }

    /// The lane's name.
    pub fn name(&self) -> &BackendName {
        &self.shared.name
    }

    /// Takes a group over. Never waits for the backend; while that is down the group may go to disk.
    pub fn push(&self, group: Vec<Outgoing>) {
        let bound = self.shared.policy.read().queue;
        let pushed = self.shared.queue.lock().push(group, bound);
        match pushed {
            Ok(spilled) => {
                self.shared.metrics.overflowed.inc_by(spilled as u64);
            }
            Err((group, error)) => {
                let count = group.len();
                tracing::error!(backend = %self.shared.name, count, error, "cannot write the overflow; the events stay in the journal until the next start");
            }
        }
        self.shared.pushed.notify_one();
    }

    /// Works by that policy from the next batch on.
    pub fn set_policy(&self, policy: Policy) {
        *self.shared.policy.write() = policy;
    }

    /// Goes over to another connection from the next batch on; what waits is kept.
    pub fn retarget(&self, target: Target, policy: Policy) {
        self.set_policy(policy);
        *self.shared.next_target.lock() = Some(target);
        self.shared.pushed.notify_one();
    }

    /// A picture of the lane.
    pub fn status(&self) -> LaneStatus {
        let shared = &self.shared;
        let (queued, overflow_bytes) = {
            let queue = shared.queue.lock();
            (queue.len(), queue.overflow_bytes())
        };
        let view = shared.view.lock();
        LaneStatus {
            name: shared.name.to_string(),
            address: view.address.clone(),
            state: view.state,
            error: view.error.clone(),
            since_ms: view.since_ms,
            queued: queued + usize::try_from(shared.pending.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            overflow_bytes,
            delivered: shared.delivered.load(Ordering::Relaxed),
            retries: shared.metrics.retries.get(),
            dead: shared.metrics.dead.get(),
        }
    }

    /// Delivers what can be delivered within the limit, then closes. The rest stays in the journal or the overflow.
    pub async fn drain(&self, limit: Duration) {
        self.shared.draining.cancel();
        let task = self.shared.task.lock().take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout(limit, &mut task).await.is_err() {
            self.shared.abandoned.cancel();
            // It ends at its next look; a publish that hangs is cut off.
            if tokio::time::timeout(CLOSE, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.shared.queue.lock().tidy();
    }
}

/// The task that publishes.
struct Publisher {
    shared: Arc<Shared>,
    target: Target,
    dead_letters: DeadLetters,
    connected: bool,
    failures: u32,
    /// The receiver asked for a pause.
    not_before: Option<Instant>,
    pendings: Pendings,
    tidied: Instant,
}

impl Publisher {
    async fn run(mut self) {
        while !self.shared.abandoned.is_cancelled() {
            self.go_over().await;
            self.tidy();
            if !self.ready().await {
                continue;
            }
            let batch = self.batch();
            if !batch.is_empty() {
                self.publish(batch).await;
            } else if self.finished() {
                break;
            } else {
                self.rest().await;
            }
        }
        self.let_go();
        let close = tokio::time::timeout(CLOSE, self.target.backend.close());
        if close.await.is_err() {
            tracing::debug!(backend = %self.shared.name, "the connection did not close in time");
        }
    }

    fn finished(&self) -> bool {
        // What is on disk may stay there; a key that waits for its retry is worth waiting for.
        self.shared.draining.is_cancelled() && self.pendings.is_empty() && self.shared.queue.lock().len() == 0
    }

    /// Takes another target over, if one was given.
    async fn go_over(&mut self) {
        let next = self.shared.next_target.lock().take();
        if let Some(target) = next {
            let mut before = std::mem::replace(&mut self.target, target);
            before.backend.close().await;
            self.shared.view.lock().address.clone_from(&self.target.address);
            (self.connected, self.failures) = (false, 0);
            self.show(State::Connecting, None);
        }
    }

    /// Connects if need be. False where that did not work; it has then paused.
    async fn ready(&mut self) -> bool {
        if self.connected {
            return true;
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
        (self.connected, self.failures) = (true, 0);
        self.show(State::Up, None);
        true
    }

    fn lost(&mut self, failure: &Failure) {
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
            tracing::info!(backend = %self.shared.name, address = %view.address, "{}", format!("{state:?}").to_lowercase());
            view.since_ms = now_ms();
        }
        (view.state, view.error) = (state, error);
    }

    /// The next batch: what was tried before, then what waits.
    fn batch(&mut self) -> Vec<Pending> {
        let now = Instant::now();
        if self.not_before.is_some_and(|until| until > now) {
            return Vec::new();
        }
        self.not_before = None;
        let (most, bound) = {
            let policy = self.shared.policy.read();
            (policy.batch, policy.queue)
        };
        let mut batch = Vec::new();
        self.pendings.take(&mut batch, most, now);
        while batch.len() < most && self.pendings.len() < bound {
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

    fn count_pending(&self, more: usize) {
        let pending = self.pendings.len() + more;
        self.shared.pending.store(pending as u64, Ordering::Relaxed);
        self.shared.metrics.queued.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    async fn publish(&mut self, mut batch: Vec<Pending>) {
        let policy = self.shared.policy.read().clone();
        if !policy.linger.is_zero() && batch.len() < policy.batch && !self.shared.draining.is_cancelled() {
            tokio::time::sleep(policy.linger).await;
            if let Ok(more) = self.shared.queue.lock().pop(policy.batch - batch.len()) {
                self.pendings.admit(&mut batch, more);
            }
        }
        let items: Vec<Item> = batch
            .iter()
            .map(|pending| Item { event: pending.outgoing.event.clone(), key: pending.outgoing.key })
            .collect();
        let outcomes = self.target.backend.publish(&items).await;
        drop(items);
        let given_up = self.sort(batch, outcomes, &policy);
        self.bury(given_up, &policy).await;
        self.count_pending(0);
    }

    /// Settles what is confirmed, gives back what is to be tried again, and returns what is given up.
    fn sort(&mut self, batch: Vec<Pending>, outcomes: Outcomes, policy: &Policy) -> Vec<(Pending, String)> {
        let now = Instant::now();
        let (mut given_up, mut first, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let mut waiting: Vec<u64> = Vec::new();
        let mut lost = None;
        let missing = std::iter::repeat_with(|| {
            Err(Failure::Reconnect("the backend gave no outcome for an event".into()))
        });
        let at_ms = now_ms();
        for (mut pending, outcome) in batch.into_iter().zip(outcomes.into_iter().chain(missing)) {
            let key = pending.outgoing.key;
            let Err(failure) = outcome else {
                self.confirmed(pending, at_ms, policy);
                continue;
            };
            if !matches!(failure, Failure::Held) {
                self.shared.metrics.failures.inc();
            }
            if waiting.contains(&key) {
                held.push((pending, now));
                continue;
            }
            match failure {
                Failure::Reconnect(_) => {
                    lost.get_or_insert(failure);
                    first.push(pending);
                    continue;
                }
                Failure::Held => held.push((pending, now)),
                Failure::Reject(reason) => {
                    pending.tries += 1;
                    given_up.push((pending, reason));
                    continue;
                }
                Failure::BackOff(pause, reason) => {
                    let until = now + pause;
                    self.not_before = Some(self.not_before.map_or(until, |before| before.max(until)));
                    self.shared.view.lock().error = Some(reason);
                    held.push((pending, until));
                }
                Failure::Retry(reason) => {
                    pending.tries += 1;
                    if pending.tries > self.target.max_retries.unwrap_or(policy.max_retries) {
                        given_up.push((pending, reason));
                        continue;
                    }
                    self.shared.metrics.retries.inc();
                    let due = now + pause::before(pending.tries, self.target.pause, policy);
                    held.push((pending, due));
                }
            }
            waiting.push(key);
        }
        self.pendings.put_first(first);
        self.pendings.hold(held);
        if let Some(failure) = lost {
            self.connected = false;
            self.lost(&failure);
        }
        given_up
    }

    fn confirmed(&self, pending: Pending, at_ms: u64, policy: &Policy) {
        let Outgoing { event, at_ms: accepted, owed, .. } = pending.outgoing;
        owed.settle();
        let latency_ms = at_ms.saturating_sub(accepted);
        self.shared.delivered.fetch_add(1, Ordering::Relaxed);
        self.shared.metrics.published.inc();
        if policy.track_latency {
            self.shared.metrics.latency.observe(Duration::from_millis(latency_ms).as_secs_f64());
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

    async fn bury(&self, given_up: Vec<(Pending, String)>, policy: &Policy) {
        if given_up.is_empty() {
            return;
        }
        let count = given_up.len() as u64;
        self.shared.metrics.dead.inc_by(count);
        if policy.given_up == GivenUp::Drop {
            tracing::warn!(backend = %self.shared.name, count, "given up and dropped (events.dlq.enabled is false): {}", given_up[0].1);
            return given_up.into_iter().for_each(|(pending, _)| pending.outgoing.owed.settle());
        }
        tracing::warn!(backend = %self.shared.name, count, "given up, kept as dead letters: {}", given_up[0].1);
        let (letters, owed): (Vec<_>, Vec<Owed>) =
            given_up.into_iter().map(|(pending, reason)| self.letter(pending, reason)).unzip();
        let store = self.dead_letters.clone();
        // The store blocks on an fsync.
        let kept = tokio::task::spawn_blocking(move || store.put(letters)).await;
        match kept.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(()) => owed.into_iter().for_each(Owed::settle),
            Err(error) => {
                tracing::error!(backend = %self.shared.name, error, "dead letters could not be kept; the events stay in the journal");
            }
        }
    }

    fn letter(&self, pending: Pending, reason: String) -> (DeadLetter, Owed) {
        let Pending { outgoing: Outgoing { event, at_ms, route, owed, .. }, tries } = pending;
        let place = Place::Backend(self.shared.name.clone());
        let letter = DeadLetter {
            id: 0,
            event,
            reason,
            route: Some(route),
            place,
            tries,
            first_at_ms: at_ms,
            at_ms: now_ms(),
        };
        (letter, owed)
    }

    /// Waits for something to do.
    async fn rest(&self) {
        let due = self.pendings.next_due().into_iter().chain(self.not_before).min();
        let limit = due.map_or(TIDY * 5, |due| {
            due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
        });
        self.sleep(limit).await;
    }

    /// Sleeps, unless something was pushed to a lane that can take it, or the lane is to end.
    async fn sleep(&self, limit: Duration) {
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

    fn tidy(&mut self) {
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
