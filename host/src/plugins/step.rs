//! The use of a plugin in a route: one configured instance per worker, replaced when it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::error::PluginError;
use super::instance::Instance;
use super::limits::{Limits, why};
use super::plugin::Plugin;
use super::voice::Voice;
use crate::config::settings::OnError;
use crate::event::Event;
use crate::names::RouteName;
use crate::telemetry::StepMetrics;

/// What a step is made of.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// The route that it belongs to.
    pub route: RouteName,
    /// Its place among the route's steps, from 0.
    pub index: usize,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The step's settings as JSON text.
    pub settings: String,
    /// What one call may take.
    pub limits: Limits,
    /// What the caller does with an event that the step fails on.
    pub on_error: OnError,
}

/// What a step made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event goes on as it is.
    Keep,
    /// The event is dropped, for this reason.
    Drop(String),
    /// These go on in its place; at least one.
    Out(Vec<Event>),
    /// The plugin could not process it.
    Failed(Failed),
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// For people.
    pub reason: String,
    /// Whether a later try may succeed.
    pub transient: bool,
}

/// How often a step had to do something out of the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StepStats {
    /// Instances that were thrown away after a trap, a time-out or a broken limit.
    pub replaced: u64,
}

/// A step that is ready to run.
pub struct Step {
    spec: StepSpec,
    voice: Arc<Voice>,
    metrics: StepMetrics,
    replaced: AtomicU64,
    /// One for each worker, and only that worker locks it.
    slots: Box<[Mutex<Option<Instance>>]>,
}

impl Step {
    /// Instantiates and configures the plugin once for each of `workers`.
    ///
    /// # Errors
    /// [`PluginError::Settings`] in the plugin's words, [`PluginError::Start`] where it breaks.
    pub fn prepare(spec: StepSpec, workers: usize, metrics: StepMetrics) -> Result<Self, PluginError> {
        let voice =
            Voice::new(spec.route.clone(), spec.index, spec.plugin.name.clone(), Some(metrics.clone()));
        let slots = (0..workers.max(1))
            .map(|_| start(&spec, &voice).map(|instance| Mutex::new(Some(instance))))
            .collect::<Result<_, _>>()
            .map_err(|refused| refused.into_error(&spec))?;
        Ok(Self { spec, voice, metrics, replaced: AtomicU64::new(0), slots })
    }

    /// Passes one event through the plugin. Where the guest breaks, the same event is tried once more on a fresh
    /// instance: a trap can be the fault of an earlier event.
    pub fn run(&self, worker: usize, event: &Event) -> Outcome {
        let mut slot = self.slots[worker % self.slots.len()].lock();
        let outcome = match self.attempt(&mut slot, event) {
            Ok(outcome) => outcome,
            Err(_) => self.attempt(&mut slot, event).unwrap_or_else(Outcome::Failed),
        };
        self.count(&outcome);
        outcome
    }

    /// What the step is made of.
    pub fn spec(&self) -> &StepSpec {
        &self.spec
    }

    /// What happened so far.
    pub fn stats(&self) -> StepStats {
        StepStats { replaced: self.replaced.load(Ordering::Relaxed) }
    }

    /// `Err` means that the guest broke, and that the slot is empty.
    fn attempt(&self, slot: &mut Option<Instance>, event: &Event) -> Result<Outcome, Failed> {
        let instance = if let Some(instance) = slot {
            instance
        } else {
            let fresh = start(&self.spec, &self.voice);
            slot.insert(fresh.map_err(|refused| refused.into_failed(&self.spec))?)
        };
        instance.process(event).map_err(|error| {
            *slot = None;
            self.metrics.traps.inc();
            self.replaced.fetch_add(1, Ordering::Relaxed);
            broken(&error, &self.spec)
        })
    }

    fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Keep | Outcome::Out(_) => self.metrics.kept.inc(),
            Outcome::Drop(_) => self.metrics.dropped.inc(),
            Outcome::Failed(_) => self.metrics.failed.inc(),
        };
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("spec", &self.spec).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Why an instance is not ready.
enum NotReady {
    Refused(String),
    Broke(Failed),
}

impl NotReady {
    fn into_error(self, spec: &StepSpec) -> PluginError {
        let (route, index, plugin) = (spec.route.clone(), spec.index, spec.plugin.name.clone());
        match self {
            Self::Refused(reason) => PluginError::Settings { route, index, plugin, reason },
            Self::Broke(Failed { reason, .. }) => PluginError::Start { route, index, reason },
        }
    }

    fn into_failed(self, spec: &StepSpec) -> Failed {
        match self {
            Self::Refused(reason) => {
                let plugin = &spec.plugin.name;
                Failed {
                    reason: format!("plugin {plugin:?} now refuses its settings: {reason}"),
                    transient: false,
                }
            }
            Self::Broke(failed) => failed,
        }
    }
}

fn start(spec: &StepSpec, voice: &Arc<Voice>) -> Result<Instance, NotReady> {
    let broke = |error: wasmtime::Error| NotReady::Broke(broken(&error, spec));
    let mut instance = spec.plugin.instance(spec.limits, Arc::clone(voice)).map_err(broke)?;
    instance.configure(&spec.settings).map_err(broke)?.map_err(NotReady::Refused)?;
    Ok(instance)
}

fn broken(error: &wasmtime::Error, spec: &StepSpec) -> Failed {
    let (reason, transient) = why(error, &spec.limits);
    Failed { reason: format!("plugin {:?} {reason}", spec.plugin.name), transient }
}
