//! The use of a plugin in a route: one configured instance per worker, or several apart from them, replaced when they break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::apart::{Apart, Errand};
use super::error::PluginError;
use super::grants::Granted;
use super::instance::Instance;
use super::keyvalue::Bucket;
use super::limits::{Limits, why};
use super::plugin::Plugin;
use super::shadow::{Shadow, ShadowStatus};
use super::slots::Slots;
use super::voice::Voice;
use crate::clock::now_ms;
use crate::config::settings::OnError;
use crate::event::Event;
use crate::names::{PluginName, RouteName};
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
    /// What the plugin may reach.
    pub granted: Granted,
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

impl Failed {
    /// A call that ended by a panic, or not at all.
    pub fn by_host() -> Self {
        Self { reason: "the host broke in the call".into(), transient: false }
    }
}

/// What a call that was made apart has come to.
#[derive(Debug)]
pub struct Returned {
    /// What the step made of the event.
    pub outcome: Outcome,
    /// What it took, where it computed all the time.
    pub cost: Option<Cost>,
}

impl From<Outcome> for Returned {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, cost: None }
    }
}

/// What a call took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How long it computed.
    pub time: Duration,
    /// Whether it cost an instance.
    pub broke: bool,
}

/// One event passing a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passage {
    /// What tells the event from any other, each time that it passes; none where nobody would pass again.
    pub identity: Option<u64>,
    /// The hash of its ordering key.
    pub key: u64,
}

/// How a step is doing.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct StepStatus {
    /// The route.
    pub route: String,
    /// Its place in the route, from 0.
    pub step: usize,
    /// The plugin.
    pub plugin: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// What one call may take.
    pub limits: Limits,
    /// What it is granted beside the host's own functions.
    pub grants: Vec<String>,
    /// Whether it runs apart from the workers: because what it is granted may make it wait, or because its calls take long.
    pub apart: bool,
    /// What becomes of an event that it fails on.
    pub on_error: OnError,
    /// What it made of events since the host's start.
    #[serde(flatten)]
    pub counts: StepCounts,
    /// Why it failed last.
    pub last_failure: Option<Said>,
    /// Why it dropped one lately: one drop in 64 is kept.
    pub last_drop: Option<Said>,
    /// Instances that were thrown away after a trap, a time-out or a broken limit.
    pub replaced: u64,
    /// Bytes that its largest instance has.
    pub memory: u64,
    /// Bytes of its state, where it has one.
    pub state: Option<u64>,
    /// Whether an operator has suspended its plugin: events go the way of `on_error`.
    pub suspended: bool,
    /// What a candidate in its shadow would do otherwise.
    pub shadow: Option<ShadowStatus>,
    /// The candidate that gets a share of the keys.
    pub canary: Option<CanaryStatus>,
}

/// What a step made of events.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, schemars::JsonSchema)]
pub struct StepCounts {
    /// Handed on.
    pub kept: u64,
    /// Dropped.
    pub dropped: u64,
    /// Failed on.
    pub failed: u64,
    /// Traps, time-outs and broken limits.
    pub traps: u64,
}

impl StepCounts {
    /// What was done since then.
    #[must_use]
    pub fn since(self, then: &Self) -> Self {
        Self {
            kept: self.kept.saturating_sub(then.kept),
            dropped: self.dropped.saturating_sub(then.dropped),
            failed: self.failed.saturating_sub(then.failed),
            traps: self.traps.saturating_sub(then.traps),
        }
    }

    /// What both have in common, one by one.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            kept: self.kept.min(other.kept),
            dropped: self.dropped.min(other.dropped),
            failed: self.failed.min(other.failed),
            traps: self.traps.min(other.traps),
        }
    }
}

/// A reason in a plugin's words.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Said {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The reason, cut to what people read.
    pub reason: String,
}

impl Said {
    fn now(reason: &str) -> Self {
        Self { at_ms: now_ms(), reason: reason[..reason.floor_char_boundary(LONGEST_REASON)].to_owned() }
    }
}

/// What a step said last.
#[derive(Default)]
struct Voiced {
    failure: Option<Said>,
    drop: Option<Said>,
}

/// A candidate that gets a share of the keys.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct CanaryStatus {
    /// Its name.
    pub plugin: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The share of the keys.
    pub percent: f64,
    /// Events that it has got.
    pub events: u64,
}

/// One use of a plugin: in a step, or beside one.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct PluginUse {
    /// The route.
    pub route: String,
    /// The step's place in the route, from 0.
    pub step: usize,
    /// What the plugin is to the step.
    pub role: Role,
    /// What it may reach beside the host's own functions.
    pub granted: Vec<String>,
    /// What it made of events since the host's start.
    #[serde(flatten)]
    pub counts: StepCounts,
    /// Its instances.
    pub instances: usize,
    /// Bytes that they have together.
    pub memory: u64,
    /// Of a shadow: events that it came to something else on than its step.
    pub differed: Option<u64>,
    /// Of a canary: its share of the keys.
    pub percent: Option<f64>,
}

/// What a plugin is to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The step's own.
    Step,
    /// It sees what the step sees, without effect.
    Shadow,
    /// It takes the step's place for a share of the keys.
    Canary,
}

/// A candidate for the place of a step.
pub enum Beside {
    /// On all events, without effect.
    Shadow(Arc<Step>),
    /// In earnest, for that percentage of the keys.
    Canary(Arc<Step>, f64),
}

struct Canary {
    step: Arc<Step>,
    percent: f64,
    events: AtomicU64,
}

impl Canary {
    /// Whether events of that key are its own. Another part of the hash than the one that chooses the worker.
    fn takes(&self, key: u64) -> bool {
        let share = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 / f64::from(u32::MAX);
        share * 100.0 < self.percent
    }
}

/// One call in so many is measured.
const MEASURED: u64 = 16;
/// The reason of one drop in so many is kept: a filter drops at the full rate.
const KEPT_DROPS: u64 = 64;
const LONGEST_REASON: usize = 300;

/// A step that is ready to run.
pub struct Step {
    core: Arc<Core>,
    place: Place,
    shadow: Option<(Arc<Step>, Shadow)>,
    canary: Option<Canary>,
}

/// Where the instances of a step are.
enum Place {
    Workers(Slots),
    Apart(Apart),
}

/// What a step is, wherever its instances are.
pub(super) struct Core {
    spec: StepSpec,
    label: String,
    voice: Arc<Voice>,
    metrics: StepMetrics,
    replaced: AtomicU64,
    seen: AtomicU64,
    suspended: AtomicBool,
    voiced: Mutex<Voiced>,
}

impl Step {
    /// Instantiates and configures the plugin, once for each of `workers` or once apart from them. Blocks.
    ///
    /// # Errors
    /// [`PluginError::Ungranted`], [`PluginError::Settings`] in the plugin's words, [`PluginError::Start`] where it breaks.
    pub fn prepare(spec: StepSpec, workers: usize, metrics: StepMetrics) -> Result<Self, PluginError> {
        if let Some(grant) = spec.granted.lacks(&spec.plugin.needs) {
            let (route, index, plugin) = (spec.route.clone(), spec.index, spec.plugin.name.clone());
            return Err(PluginError::Ungranted { route, index, plugin, grant });
        }
        let (route, plugin, lines) = (spec.route.clone(), spec.plugin.name.clone(), spec.limits.log);
        let voice = Voice::new(route, spec.index, plugin, lines, Some(metrics.clone()));
        let core = Arc::new(Core {
            label: format!("{} {}", spec.plugin.name, spec.plugin.digest),
            spec,
            voice,
            metrics,
            replaced: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            suspended: AtomicBool::new(false),
            voiced: Mutex::default(),
        });
        let place = if core.spec.plugin.waits(&core.spec.granted) {
            Place::Apart(Apart::start(&core, core.spec.plugin.pool()?)?)
        } else {
            let slots = Slots::start(&core, workers);
            Place::Workers(slots.map_err(|refused| refused.into_error(&core.spec))?)
        };
        Ok(Self { core, place, shadow: None, canary: None })
    }

    /// A step outside of a host, to try a plugin out: one instance that has every grant that it needs and reaches nothing by
    /// them, state in memory, and metrics that nobody shows. `route` is what errors call its route.
    ///
    /// # Errors
    /// As [`Step::prepare`].
    pub fn alone(
        route: &str,
        plugin: &Arc<Plugin>,
        settings: String,
        limits: Limits,
    ) -> Result<Self, PluginError> {
        let spec = StepSpec {
            route: route.into(),
            index: 0,
            plugin: Arc::clone(plugin),
            settings,
            limits,
            granted: Granted::for_trial(Arc::new(Bucket::new(limits.state))),
            on_error: OnError::default(),
        };
        Self::prepare(spec, 1, StepMetrics::detached())
    }

    /// Puts a candidate beside the step.
    ///
    /// # Errors
    /// [`PluginError::Engine`] where there is no thread to be had.
    pub fn with(mut self, beside: Beside) -> Result<Self, PluginError> {
        match beside {
            Beside::Shadow(step) => self.shadow = Some((Arc::clone(&step), Shadow::start(step)?)),
            Beside::Canary(step, percent) => {
                self.canary = Some(Canary { step, percent, events: AtomicU64::new(0) });
            }
        }
        Ok(self)
    }

    /// The step as it is called apart by that worker, where it is, for events of that key; or that of the candidate that the key
    /// belongs to.
    pub fn errand(self: &Arc<Self>, worker: usize, key: u64) -> Option<Errand<'_>> {
        let candidate = self.candidate(key);
        let step = candidate.map_or(self, |canary| &canary.step);
        let errand = match &step.place {
            Place::Workers(slots) if !slots.is_apart(worker) => return None,
            Place::Workers(_) => Errand::to_instance(step, step.core.spec.plugin.pool().ok()?, worker),
            Place::Apart(apart) => Errand::to_crew(step, apart),
        };
        if let Some(canary) = candidate {
            canary.events.fetch_add(1, Ordering::Relaxed);
        }
        Some(errand)
    }

    /// Its canary, where that gets the events of the key.
    fn candidate(&self, key: u64) -> Option<&Canary> {
        self.canary.as_ref().filter(|canary| canary.takes(key))
    }

    /// Its calls, for events of that key, take too long for a worker: from now on they are made apart, until none has been slow
    /// for a while.
    pub fn move_apart(self: &Arc<Self>, key: u64) {
        let step = self.candidate(key).map_or(self, |canary| &canary.step);
        if step.slots().is_some_and(Slots::move_apart) {
            let StepSpec { route, index, plugin, .. } = step.spec();
            tracing::info!(%route, step = index, plugin = %plugin.name, "calls take long: they are made apart from the workers");
        }
    }

    pub(super) fn slots(&self) -> Option<&Slots> {
        match &self.place {
            Place::Workers(slots) => Some(slots),
            Place::Apart(_) => None,
        }
    }

    /// Passes one event through the plugin, or through the candidate that its key belongs to. Where it runs apart, this waits
    /// for it: a worker asks for its [`Errand`] instead.
    pub fn run(&self, worker: usize, event: &Event, passage: Passage) -> Outcome {
        self.pass(worker, &mut event.clone(), passage)
    }

    /// As [`Step::run`], for an event that is nobody else's. It is as it was afterwards.
    pub fn pass(&self, worker: usize, event: &mut Event, passage: Passage) -> Outcome {
        if let Some(canary) = self.candidate(passage.key) {
            canary.events.fetch_add(1, Ordering::Relaxed);
            return canary.step.pass(worker, event, passage);
        }
        let outcome = match &self.place {
            Place::Workers(slots) => slots.run(&self.core, worker, event, passage),
            Place::Apart(apart) => apart.run(&self.core, event, passage),
        };
        self.show(event, passage, &outcome);
        outcome
    }

    /// Shows its shadow what it made of an event.
    pub(super) fn show(&self, event: &Event, passage: Passage, outcome: &Outcome) {
        if let Some((_, shadow)) = &self.shadow {
            shadow.show(event, passage, outcome);
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Suspends its plugin, or that of its canary, or lets it go on, as `suspended` says of each.
    pub fn suspend(&self, suspended: &impl Fn(&PluginName) -> bool) {
        self.core.suspended.store(suspended(&self.core.spec.plugin.name), Ordering::Relaxed);
        if let Some(canary) = &self.canary {
            canary.step.suspend(suspended);
        }
    }

    /// What the step is made of.
    pub fn spec(&self) -> &StepSpec {
        &self.core.spec
    }

    /// Bytes of linear memory and tables that the largest of its instances has.
    pub fn memory(&self) -> u64 {
        self.memories().into_iter().max().unwrap_or(0)
    }

    fn memories(&self) -> Vec<u64> {
        match &self.place {
            Place::Workers(slots) => slots.memories(),
            Place::Apart(apart) => apart.memories(),
        }
    }

    /// The uses of plugins that it is: its own, and those of its candidates, each with the plugin. Blocks for the length of a call at
    /// most.
    pub fn uses(&self) -> Vec<(&Arc<Plugin>, PluginUse)> {
        let mut uses = vec![self.used_as(Role::Step)];
        if let Some((candidate, shadow)) = &self.shadow {
            let (plugin, used) = candidate.used_as(Role::Shadow);
            uses.push((plugin, PluginUse { differed: Some(shadow.differed()), ..used }));
        }
        if let Some(canary) = &self.canary {
            let (plugin, used) = canary.step.used_as(Role::Canary);
            uses.push((plugin, PluginUse { percent: Some(canary.percent), ..used }));
        }
        uses
    }

    fn used_as(&self, role: Role) -> (&Arc<Plugin>, PluginUse) {
        let StepSpec { route, index, plugin, granted, .. } = self.spec();
        let instances = self.memories();
        let used = PluginUse {
            route: route.to_string(),
            step: *index,
            role,
            granted: granted.list(),
            counts: self.counts(),
            instances: instances.len(),
            memory: instances.iter().sum(),
            differed: None,
            percent: None,
        };
        (plugin, used)
    }

    /// Its plugin's name and digest, with a space between.
    pub fn label(&self) -> &str {
        &self.core.label
    }

    /// Instances that were thrown away after a trap, a time-out or a broken limit.
    pub fn replaced(&self) -> u64 {
        self.core.replaced.load(Ordering::Relaxed)
    }

    /// Shows what its instances and its state take, and its candidates'. Blocks for the length of a call at most.
    pub fn measure(&self) {
        let state = self.core.spec.granted.keyvalue.as_ref().map(|bucket| bucket.used());
        self.core.metrics.shows(self.memory(), state);
        let shadow = self.shadow.iter().map(|(step, _)| step);
        shadow.chain(self.canary.iter().map(|canary| &canary.step)).for_each(|step| step.measure());
    }

    /// What it made of events so far.
    pub fn counts(&self) -> StepCounts {
        let StepMetrics { kept, dropped, failed, traps, .. } = &self.core.metrics;
        StepCounts { kept: kept.get(), dropped: dropped.get(), failed: failed.get(), traps: traps.get() }
    }

    /// How it is doing.
    pub fn status(&self) -> StepStatus {
        let StepSpec { route, index, plugin, limits, granted, on_error, .. } = &self.core.spec;
        let Voiced { failure: last_failure, drop: last_drop } = {
            let voiced = self.core.voiced.lock();
            Voiced { failure: voiced.failure.clone(), drop: voiced.drop.clone() }
        };
        StepStatus {
            route: route.to_string(),
            step: *index,
            plugin: plugin.name.to_string(),
            digest: plugin.digest.to_string(),
            limits: *limits,
            grants: granted.list(),
            apart: self.slots().is_none_or(Slots::are_apart),
            on_error: *on_error,
            counts: self.counts(),
            last_failure,
            last_drop,
            replaced: self.replaced(),
            memory: self.memory(),
            state: granted.keyvalue.as_ref().map(|bucket| bucket.used()),
            suspended: self.core.suspended.load(Ordering::Relaxed),
            shadow: self.shadow.as_ref().map(|(candidate, shadow)| shadow.status(candidate)),
            canary: self.canary.as_ref().map(|canary| CanaryStatus {
                plugin: canary.step.core.spec.plugin.name.to_string(),
                digest: canary.step.core.spec.plugin.digest.to_string(),
                percent: canary.percent,
                events: canary.events.load(Ordering::Relaxed),
            }),
        }
    }
}

impl Core {
    pub(super) fn spec(&self) -> &StepSpec {
        &self.spec
    }

    pub(super) fn voice(&self) -> &Arc<Voice> {
        &self.voice
    }

    /// Where the guest breaks, the same event is tried once more on a fresh instance: a trap can be the fault of an
    /// earlier event.
    pub(super) fn process(
        &self,
        slot: &Mutex<Option<Instance>>,
        event: &mut Event,
        passage: Passage,
    ) -> Outcome {
        if let Some(suspended) = self.suspended() {
            return suspended;
        }
        let mut slot = slot.lock();
        let begin = self.measured();
        let outcome = match self.attempt(&mut slot, event, passage) {
            Ok(outcome) => outcome,
            Err(_) => self.attempt(&mut slot, event, passage).unwrap_or_else(Outcome::Failed),
        };
        self.count(begin, &outcome);
        outcome
    }

    /// `Err` means that the guest broke, and that the slot is empty.
    fn attempt(
        &self,
        slot: &mut Option<Instance>,
        event: &mut Event,
        passage: Passage,
    ) -> Result<Outcome, Failed> {
        slot.take_if(|instance| instance.is_spent());
        let instance = if let Some(instance) = slot {
            instance
        } else {
            slot.insert(self.start().map_err(|refused| refused.into_failed(&self.spec))?)
        };
        instance.process(event, passage.identity).map_err(|error| {
            *slot = None;
            self.broke(&error)
        })
    }

    pub(super) fn start(&self) -> Result<Instance, NotReady> {
        let Self { spec, voice, .. } = self;
        let broke = |error: wasmtime::Error| NotReady::broke(&error, spec);
        let instance = spec.plugin.instance(spec.limits, Arc::clone(voice), &spec.granted);
        let mut instance = instance.map_err(broke)?;
        instance.configure(&spec.settings).map_err(broke)?.map_err(NotReady::Refused)?;
        Ok(instance)
    }

    /// What comes of an event while an operator has suspended the plugin.
    pub(super) fn suspended(&self) -> Option<Outcome> {
        self.suspended.load(Ordering::Relaxed).then(|| {
            self.metrics.failed.inc();
            let reason = format!("plugin {:?} is suspended by an operator", self.spec.plugin.name);
            Outcome::Failed(Failed { reason, transient: false })
        })
    }

    /// When a call begins that is to be measured: two looks at the clock and a histogram's lock take a fifth of what a small
    /// filter does.
    pub(super) fn measured(&self) -> Option<Instant> {
        self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(MEASURED).then(Instant::now)
    }

    /// The guest broke: its instance is gone.
    pub(super) fn broke(&self, error: &wasmtime::Error) -> Failed {
        self.metrics.traps.inc();
        self.replaced.fetch_add(1, Ordering::Relaxed);
        broken(error, &self.spec)
    }

    /// A call has ended so.
    pub(super) fn count(&self, begin: Option<Instant>, outcome: &Outcome) {
        if let Some(begin) = begin {
            self.metrics.time.observe(begin.elapsed().as_secs_f64());
        }
        match outcome {
            Outcome::Keep | Outcome::Out(_) => {
                self.metrics.kept.inc();
            }
            Outcome::Drop(reason) => {
                if self.metrics.dropped.inc().is_multiple_of(KEPT_DROPS) {
                    self.voiced.lock().drop = Some(Said::now(reason));
                }
            }
            Outcome::Failed(failed) => {
                self.metrics.failed.inc();
                self.voiced.lock().failure = Some(Said::now(&failed.reason));
            }
        }
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("spec", self.spec())
            .field("replaced", &self.replaced())
            .finish_non_exhaustive()
    }
}

/// Why an instance is not ready.
pub(super) enum NotReady {
    Refused(String),
    Broke(Failed),
}

impl NotReady {
    pub(super) fn broke(error: &wasmtime::Error, spec: &StepSpec) -> Self {
        Self::Broke(broken(error, spec))
    }

    pub(super) fn into_error(self, spec: &StepSpec) -> PluginError {
        let (route, index, plugin) = (spec.route.clone(), spec.index, spec.plugin.name.clone());
        match self {
            Self::Refused(reason) => PluginError::Settings { route, index, plugin, reason },
            Self::Broke(Failed { reason, .. }) => PluginError::Start { route, index, reason },
        }
    }

    pub(super) fn into_failed(self, spec: &StepSpec) -> Failed {
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

fn broken(error: &wasmtime::Error, spec: &StepSpec) -> Failed {
    let (reason, transient) = why(error, &spec.limits);
    Failed { reason: format!("plugin {:?} {reason}", spec.plugin.name), transient }
}
