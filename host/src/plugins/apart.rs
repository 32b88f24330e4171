//! A step that runs apart: because it may wait for others, then its calls are tasks of the engine's pool, so many at a time, each
//! with an instance of its own; or because its calls take long. No worker is held up by them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::engine::Pool;
use super::error::PluginError;
use super::slots;
use super::step::{Core, Failed, NotReady, Outcome, Passage, Returned, Step};
use super::waiting::Waiting;
use crate::event::Event;

/// The instances of a step that runs apart.
pub(super) struct Apart {
    pool: Pool,
    crew: Arc<Crew>,
}

struct Crew {
    /// Instances that have nothing to do.
    idle: Mutex<Vec<Waiting>>,
    /// As many calls as `limits.calls`; whoever comes first is next.
    places: Semaphore,
}

/// A call that is under way. Whoever drops it has given it up.
#[derive(Debug)]
pub struct Underway(#[expect(dead_code, reason = "it is dropped")] AbortOnDropHandle<()>);

/// One step that is to be called apart.
pub struct Errand<'a> {
    step: &'a Arc<Step>,
    pool: Pool,
    by: By,
}

/// Whose instance is called.
enum By {
    Crew(Arc<Crew>),
    Worker(usize),
}

impl<'a> Errand<'a> {
    /// To the step's own crew.
    pub(super) fn to_crew(step: &'a Arc<Step>, apart: &Apart) -> Self {
        Self { step, pool: apart.pool.clone(), by: By::Crew(Arc::clone(&apart.crew)) }
    }

    /// To the worker's instance.
    pub(super) fn to_instance(step: &'a Arc<Step>, pool: Pool, worker: usize) -> Self {
        Self { step, pool, by: By::Worker(worker) }
    }

    /// Begins to pass an event through the plugin. What comes of it is told on a thread of the pool; nothing is told where it
    /// was given up.
    pub fn begin(
        self,
        event: &Event,
        passage: Passage,
        tell: impl FnOnce(Returned) + Send + 'static,
    ) -> Underway {
        let (step, event, pool, by) = (Arc::clone(self.step), event.clone(), self.pool.clone(), self.by);
        let task = self.pool.spawn(async move {
            let returned = match by {
                By::Crew(crew) => crew.process(step.core(), &event, passage).await.into(),
                By::Worker(worker) => slots::run_apart(&step, &pool, worker, &event, passage).await,
            };
            step.show(&event, passage, &returned.outcome);
            tell(returned);
        });
        Underway(AbortOnDropHandle::new(task))
    }
}

impl Apart {
    /// Instantiates and configures the plugin once. Blocks.
    pub(super) fn start(core: &Arc<Core>, pool: Pool) -> Result<Self, PluginError> {
        let first = Arc::clone(core);
        let first = pool.wait(async move { start(&first).await });
        let first = first?.map_err(|refused| refused.into_error(core.spec()))?;
        let places = Semaphore::new(core.spec().limits.calls);
        Ok(Self { pool, crew: Arc::new(Crew { idle: Mutex::new(vec![first]), places }) })
    }

    /// Passes one event through the plugin. Blocks.
    pub(super) fn run(&self, core: &Arc<Core>, event: &Event, passage: Passage) -> Outcome {
        let (core, event, crew) = (Arc::clone(core), event.clone(), Arc::clone(&self.crew));
        let outcome = self.pool.wait(async move { crew.process(&core, &event, passage).await });
        outcome.unwrap_or_else(|error| Outcome::Failed(Failed { reason: error.to_string(), transient: true }))
    }

    /// Bytes that each instance has which is not in a call.
    pub(super) fn memories(&self) -> Vec<u64> {
        self.crew.idle.lock().iter().map(Waiting::memory).collect()
    }
}

impl Crew {
    /// Where the guest breaks, the same event is tried once more on another instance, as on a worker. Not where it took too
    /// long: that may be another's fault, and what it asked of others is done.
    async fn process(&self, core: &Arc<Core>, event: &Event, passage: Passage) -> Outcome {
        // It is never closed.
        let _place = self.places.acquire().await;
        if let Some(suspended) = core.suspended() {
            return suspended;
        }
        let begin = core.measured();
        let outcome = match self.attempt(core, event, passage).await {
            Err(failed) if !failed.transient => {
                self.attempt(core, event, passage).await.unwrap_or_else(Outcome::Failed)
            }
            outcome => outcome.unwrap_or_else(Outcome::Failed),
        };
        core.count(begin, &outcome);
        outcome
    }

    /// `Err` means that the guest broke, and its instance is gone.
    async fn attempt(&self, core: &Arc<Core>, event: &Event, passage: Passage) -> Result<Outcome, Failed> {
        let idle = self.idle.lock().pop();
        let mut instance = match idle.filter(|instance| !instance.is_spent()) {
            Some(instance) => instance,
            None => start(core).await.map_err(|refused| refused.into_failed(core.spec()))?,
        };
        let outcome = instance.process(event, passage.identity).await.map_err(|error| core.broke(&error))?;
        self.idle.lock().push(instance);
        Ok(outcome)
    }
}

async fn start(core: &Arc<Core>) -> Result<Waiting, NotReady> {
    let spec = core.spec();
    let instance = spec.plugin.waiting(spec.limits, Arc::clone(core.voice()), &spec.granted).await;
    let mut instance = instance.map_err(|error| NotReady::broke(&error, spec))?;
    let configured =
        instance.configure(&spec.settings).await.map_err(|error| NotReady::broke(&error, spec))?;
    configured.map_err(NotReady::Refused)?;
    Ok(instance)
}
