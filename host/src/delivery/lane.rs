//! The handle that workers push to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::publisher::{CLOSE, Publisher};
use super::queue::Queue;
use super::settling::{Settling, settle};
use super::{BreakerState, ConsumerStatus, LaneStatus, Outgoing, Policy, State};
use crate::backends::Target;
use crate::journal::{DeadLetters, LogError, now_ms};
use crate::names::BackendName;
use crate::provenance::Recorder;
use crate::telemetry::LaneMetrics;
use crate::telemetry::metrics::set;

/// A handle to one lane. The lane ends with [`Lane::drain`].
#[derive(Clone)]
pub struct Lane {
    shared: Arc<Shared>,
}

/// What a lane keeps on disk while its backend is down.
pub struct Overflow(Queue);

impl Overflow {
    /// Opens what is there; nothing is created before it is needed. It takes at most so many bytes, and leaves what an
    /// earlier run kept from the journal's offset `again_from` on to the journal, which hands it out again.
    ///
    /// # Errors
    /// A log that is damaged or cannot be read.
    pub fn open(dir: PathBuf, most_bytes: u64, again_from: u64) -> Result<Self, LogError> {
        Queue::open(dir, most_bytes, again_from).map(Self)
    }
}

/// What the handles and the publishing task have in common.
pub(super) struct Shared {
    pub(super) name: BackendName,
    pub(super) queue: Mutex<Queue>,
    pub(super) pushed: Notify,
    pub(super) policy: RwLock<Policy>,
    /// A target to go over to.
    pub(super) next_target: Mutex<Option<Target>>,
    pub(super) view: Mutex<View>,
    pub(super) pace: Mutex<Pace>,
    pub(super) delivered: AtomicU64,
    pub(super) pending: AtomicU64,
    pub(super) metrics: LaneMetrics,
    pub(super) settling: Settling,
    /// An operator has stopped it for a while.
    pub(super) paused: AtomicBool,
    /// An operator lets it deliver what it has and take no more.
    pub(super) emptying: AtomicBool,
    pub(super) draining: CancellationToken,
    pub(super) abandoned: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What people see of it.
pub(super) struct View {
    pub(super) address: String,
    pub(super) state: State,
    pub(super) breaker: BreakerState,
    pub(super) error: Option<String>,
    pub(super) since_ms: u64,
    pub(super) consumers: Vec<ConsumerStatus>,
}

impl Lane {
    /// Starts publishing; what waited in the overflow goes first.
    pub fn start(
        target: Target,
        policy: Policy,
        dead_letters: DeadLetters,
        overflow: Overflow,
        metrics: LaneMetrics,
        recorder: Recorder,
        runtime: &Handle,
    ) -> Self {
        let view = View {
            address: target.address.clone(),
            state: State::Connecting,
            breaker: BreakerState::Closed,
            error: None,
            since_ms: now_ms(),
            consumers: Vec::new(),
        };
        let shared = Arc::new(Shared {
            name: target.name.clone(),
            queue: Mutex::new(overflow.0),
            pushed: Notify::new(),
            policy: RwLock::new(policy),
            next_target: Mutex::new(None),
            view: Mutex::new(view),
            pace: Mutex::default(),
            delivered: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            metrics,
            settling: Settling::new(runtime),
            paused: AtomicBool::new(false),
            emptying: AtomicBool::new(false),
            draining: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            task: Mutex::new(None),
        });
        let publisher = Publisher::new(Arc::clone(&shared), target, dead_letters, recorder);
        *shared.task.lock() = Some(runtime.spawn(publisher.run()));
        Self { shared }
    }

    /// The lane's name.
    pub fn name(&self) -> &BackendName {
        &self.shared.name
    }

    /// Takes a group over. Never waits for the backend; while that is down the group may go to disk.
    ///
    /// # Errors
    /// The group, where there is no room on disk for it: the caller still owes it.
    pub fn push(&self, group: Vec<Outgoing>) -> Result<(), Vec<Outgoing>> {
        if self.shared.emptying.load(Ordering::Relaxed) {
            self.shared.metrics.refused.inc_by(group.len() as u64);
            return Err(group);
        }
        let bound = self.shared.policy.read().queue;
        let pushed = self.shared.queue.lock().push(group, bound);
        self.shared.pushed.notify_one();
        match pushed {
            Ok(0) => Ok(()),
            Ok(spilled) => {
                self.shared.metrics.overflowed.inc_by(spilled as u64);
                Settling::begin(&self.shared);
                Ok(())
            }
            Err((group, error)) => {
                self.shared.metrics.refused.inc_by(group.len() as u64);
                tracing::debug!(backend = %self.shared.name, count = group.len(), error, "no room for more");
                Err(group)
            }
        }
    }

    /// Whether a lane that has refused a group may be asked again.
    pub fn has_room(&self) -> bool {
        if self.shared.emptying.load(Ordering::Relaxed) {
            return false;
        }
        let bound = self.shared.policy.read().queue;
        self.shared.queue.lock().has_room(bound)
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

    /// Stops publishing, or goes on with it; what comes meanwhile waits in the queue and the overflow. A lane that drains
    /// stays paused: what it has is kept for the next start.
    pub fn pause(&self, paused: bool) {
        self.shared.emptying.store(false, Ordering::Relaxed);
        self.shared.paused.store(paused, Ordering::Release);
        self.shared.pushed.notify_one();
    }

    /// Delivers what is here, the overflow too, and takes no more: that waits in the journal. Paused once nothing is left;
    /// [`Lane::pause`] ends it.
    pub fn empty(&self) {
        self.shared.emptying.store(true, Ordering::Relaxed);
        self.shared.paused.store(false, Ordering::Release);
        self.shared.pushed.notify_one();
    }

    /// A picture of the lane.
    pub fn status(&self) -> LaneStatus {
        let shared = &self.shared;
        let (queued, overflow_bytes, full, front) = {
            let queue = shared.queue.lock();
            (queue.len(), queue.overflow_bytes(), queue.is_full(), queue.oldest())
        };
        let (publish, under_way) = {
            let pace = shared.pace.lock();
            (pace.publish(), pace.oldest())
        };
        let oldest = front.into_iter().chain(under_way).min();
        let view = shared.view.lock();
        LaneStatus {
            name: shared.name.to_string(),
            address: view.address.clone(),
            state: view.state,
            paused: shared.paused.load(Ordering::Relaxed),
            emptying: shared.emptying.load(Ordering::Relaxed),
            breaker: view.breaker,
            error: view.error.clone(),
            since_ms: view.since_ms,
            queued: queued + usize::try_from(shared.pending.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            overflow_bytes,
            full,
            waits_ms: oldest.map(|at_ms| now_ms().saturating_sub(at_ms)),
            publish_ms: publish.map(|took| took.as_secs_f64() * 1_000.0),
            failures: shared.metrics.failures_in_all.get(),
            delivered: shared.delivered.load(Ordering::Relaxed),
            retries: shared.metrics.retries.get(),
            dead: shared.metrics.dead.get(),
            consumers: view.consumers.clone(),
        }
    }

    /// Shows in its metrics what changes without an event.
    pub fn measure(&self) {
        let shared = &self.shared;
        set(&shared.metrics.overflow_bytes, shared.queue.lock().overflow_bytes());
        set(&shared.metrics.up, u64::from(shared.view.lock().state == State::Up));
        set(&shared.metrics.paused, u64::from(shared.paused.load(Ordering::Relaxed)));
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
        let shared = Arc::clone(&self.shared);
        // Left undone by a panic alone; the journal then has it.
        let _ = tokio::task::spawn_blocking(move || settle(&shared)).await;
        self.shared.queue.lock().tidy();
    }
}
