//! The instances of a step that workers call, one for each. Where calls take too long for that, the worker has them made apart,
//! on a thread that gives way to those on the way of events, and goes on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::engine::Pool;
use super::instance::Instance;
use super::step::{Core, Cost, Failed, NotReady, Outcome, Passage, Returned, Step};
use crate::clock::thread_cpu;
use crate::event::Event;

/// A call that computes for longer is a slow one: it delays what comes behind it on the worker by more than anything else does, and
/// to be made apart costs it little.
pub const SLOW: Duration = Duration::from_micros(200);
/// So many calls after the last slow one a step is called by the workers again. At first: where slow ones were among the calls
/// that were made apart, and it comes back, it is twice as many.
const FEWEST: u32 = 64;
const MOST: u32 = 65_536;

pub(super) struct Slots {
    each: Box<[Slot]>,
    /// Whether calls are made apart, or were lately.
    apart: AtomicBool,
    stay: Mutex<Stay>,
}

/// How long calls are made apart.
struct Stay {
    calls: u32,
    left: u32,
    /// Whether one of them was slow.
    convicted: bool,
}

impl Stay {
    fn begin(&mut self) {
        let calls = if self.convicted { self.calls.saturating_mul(2).min(MOST) } else { FEWEST };
        *self = Self { calls, left: calls, convicted: false };
    }

    /// A call was made apart.
    fn count(&mut self, slow: bool) {
        self.convicted |= slow;
        self.left = if slow { self.calls } else { self.left.saturating_sub(1) };
    }
}

struct Slot {
    /// Only its worker locks it, or a call apart whose turn it is.
    instance: Mutex<Option<Instance>>,
    /// Calls apart, one after another.
    turn: Semaphore,
}

impl Slots {
    /// Instantiates and configures the plugin for each of the workers.
    pub(super) fn start(core: &Core, workers: usize) -> Result<Self, NotReady> {
        let slot = |_| {
            let instance = Mutex::new(Some(core.start()?));
            Ok(Slot { instance, turn: Semaphore::new(1) })
        };
        let each = (0..workers.max(1)).map(slot).collect::<Result<_, _>>()?;
        Ok(Self {
            each,
            apart: AtomicBool::new(false),
            stay: Mutex::new(Stay { calls: FEWEST, left: 0, convicted: false }),
        })
    }

    fn of(&self, worker: usize) -> &Slot {
        &self.each[worker % self.each.len()]
    }

    /// Passes one event through the worker's instance.
    pub(super) fn run(&self, core: &Core, worker: usize, event: &mut Event, passage: Passage) -> Outcome {
        core.process(&self.of(worker).instance, event, passage)
    }

    /// From now on calls are made apart, until none was slow for a while. Whether that is new.
    pub(super) fn move_apart(&self) -> bool {
        let mut stay = self.stay.lock();
        let is_new = !self.apart.swap(true, Ordering::Relaxed) || stay.left == 0;
        if is_new {
            stay.begin();
        }
        is_new
    }

    /// Whether calls are made apart.
    pub(super) fn are_apart(&self) -> bool {
        self.apart.load(Ordering::Relaxed) && self.stay.lock().left > 0
    }

    /// Whether that worker has its calls made apart; also where the last of those is not over yet.
    pub(super) fn is_apart(&self, worker: usize) -> bool {
        if !self.apart.load(Ordering::Relaxed) {
            return false;
        }
        if self.are_apart() || self.of(worker).instance.is_locked() {
            return true;
        }
        if self.each.iter().all(|slot| slot.turn.available_permits() > 0) {
            self.apart.store(false, Ordering::Relaxed);
        }
        false
    }

    /// Bytes that each instance has. Blocks for the length of a call at most.
    pub(super) fn memories(&self) -> Vec<u64> {
        let memory = |slot: &Slot| slot.instance.lock().as_ref().map(Instance::memory);
        self.each.iter().filter_map(memory).collect()
    }
}

/// Passes one event through the worker's instance of the step, apart from the worker.
pub(super) async fn run_apart(
    step: &Arc<Step>,
    pool: &Pool,
    worker: usize,
    event: &Event,
    passage: Passage,
) -> Returned {
    let _turn = match step.slots() {
        // It is never closed.
        Some(slots) => slots.of(worker).turn.acquire().await.ok(),
        None => None,
    };
    let (called, mut event) = (Arc::clone(step), event.clone());
    let call = move || {
        let (slots, core) = (called.slots()?, called.core());
        let (begun, replaced) = (thread_cpu(), called.replaced());
        let outcome = slots.run(core, worker, &mut event, passage);
        let time = thread_cpu().saturating_sub(begun);
        slots.stay.lock().count(time > SLOW);
        Some(Returned { outcome, cost: Some(Cost { time, broke: called.replaced() != replaced }) })
    };
    pool.compute(call).await.flatten().unwrap_or_else(|| Outcome::Failed(Failed::by_host()).into())
}
