//! Swapping rules, plugins and backends as a whole: load, check, instantiate, configure, then one pointer.
//!
//! Whatever is wrong, the last good snapshot goes on, and the status says why.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::candidate::{Candidate, Workshop, digests};
use super::gate::Gate;
use super::history::History;
use super::lanes::Lanes;
use super::privacy::Privacy;
use super::recent::{AtSwap, StepKey};
use super::sources::Sources;
use super::trial::{Trial, Trials};
use super::versions;
use crate::Event;
use crate::config::watch::WatchedFile;
use crate::config::{self, Settings, Shown, settings};
use crate::delivery::Lane;
use crate::journal::{Journal, now_ms};
use crate::names::{BackendName, PluginName};
use crate::pipeline::{Retirement, Route, Snapshot};
use crate::plugins::{Step, StepCounts, StepStatus};
use crate::registry;
use crate::router::{Condition, Rule, Table};
use crate::telemetry::metrics::set;
use crate::telemetry::{Metrics, logs};

/// Why a candidate was refused: sentences, already rendered for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct Refused {
    /// Every problem at once.
    pub problems: Vec<String>,
}

impl From<Vec<String>> for Refused {
    fn from(problems: Vec<String>) -> Self {
        Self { problems }
    }
}

/// What is in force, and what was refused last.
#[derive(Clone, Debug, Default, Serialize, schemars::JsonSchema)]
pub struct SwapStatus {
    /// The generation in force.
    pub generation: u64,
    /// When it came into force, Unix milliseconds.
    pub since_ms: u64,
    /// Routes in force.
    pub routes: Vec<String>,
    /// Plugins in force.
    pub plugins: Vec<PluginStatus>,
    /// The last candidate, if it was refused.
    pub refused: Option<RefusedStatus>,
}

/// One plugin in force.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The reference that it was pulled by, if it is none of the directory's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A candidate that was refused.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct RefusedStatus {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Why.
    pub problems: Vec<String>,
}

/// One route in force.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Which events it takes.
    #[serde(rename = "match")]
    pub matches: String,
    /// Whether what it takes is not offered to those after it.
    pub stop: bool,
    /// Whether it takes only what no other takes.
    pub otherwise: bool,
    /// Its plugins, in order.
    pub steps: Vec<RouteStep>,
    /// Its backends.
    pub deliver: Vec<BackendName>,
    /// Events that took it since the start.
    pub matched: u64,
}

/// One step of a route in force.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct RouteStep {
    /// The plugin.
    pub plugin: PluginName,
    /// What becomes of an event that it fails on.
    pub on_error: settings::OnError,
}

impl RouteStatus {
    fn of(route: &settings::Route, matched: u64) -> Self {
        let step = |step: &settings::Step| RouteStep { plugin: step.plugin.clone(), on_error: step.on_error };
        Self {
            name: route.name.to_string(),
            matches: Condition::all_of(&route.matches).to_string(),
            stop: route.stop,
            otherwise: route.otherwise,
            steps: route.steps.iter().map(step).collect(),
            deliver: route.deliver.clone(),
            matched,
        }
    }
}

/// The settings in force, as they may be shown.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InForce {
    /// The generation in force.
    pub generation: u64,
    /// The settings.
    #[serde(flatten)]
    pub shown: Shown,
    /// The types of the events that came in since the start; nothing where there were too many to note.
    pub types: Option<BTreeSet<String>>,
}

/// Owns the snapshot in force and all that the next one is made of.
pub struct Swapper {
    path: PathBuf,
    started_with: settings::Host,
    snapshot: Arc<ArcSwap<Snapshot>>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    journal: Journal,
    parts: Mutex<Parts>,
    status: RwLock<SwapStatus>,
    at_swap: ArcSwap<AtSwap>,
    /// The lanes in force, for who looks at them while a swap is made.
    open: ArcSwap<Vec<Lane>>,
    /// One reload at a time: who is second finds what the first has read.
    reloading: Mutex<()>,
    files: watch::Sender<Vec<WatchedFile>>,
    retiring: TaskTracker,
    drain_limit: Duration,
    runtime: tokio::runtime::Handle,
}

/// What a swap reaches into.
pub struct Rooms {
    /// Gets the new admission rules.
    pub gate: Arc<Gate>,
    /// Is asked whether anything is under way.
    pub journal: Journal,
    /// Counts swaps; hands out handles to routes, steps and lanes.
    pub metrics: Arc<Metrics>,
}

struct Parts {
    workshop: Workshop,
    lanes: Lanes,
    generation: u64,
    /// The settings in force, with the default route; without events and routes where those are off and nothing is under way.
    settings: Settings,
    /// The settings as they were read, with the default route.
    given: Settings,
    /// Plugins that an operator has suspended, until they are let go on or the host ends.
    suspended: BTreeSet<PluginName>,
}

impl Swapper {
    /// A swapper with nothing in force yet.
    pub fn new(
        path: PathBuf,
        settings: &Settings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        rooms: Rooms,
        workshop: Workshop,
        lanes: Lanes,
    ) -> Self {
        let Rooms { gate, journal, metrics } = rooms;
        Self {
            path,
            started_with: settings.host.clone(),
            snapshot,
            gate,
            metrics,
            journal,
            parts: Mutex::new(Parts {
                workshop,
                lanes,
                generation: 0,
                settings: settings.clone(),
                given: settings.clone(),
                suspended: BTreeSet::new(),
            }),
            status: RwLock::default(),
            at_swap: ArcSwap::from_pointee(AtSwap::nothing()),
            open: ArcSwap::default(),
            reloading: Mutex::default(),
            files: watch::Sender::default(),
            retiring: TaskTracker::new(),
            drain_limit: settings.host.drain_timeout.0,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Reads what is on disk and swaps it in. Answers with the generation in force.
    ///
    /// # Errors
    /// [`Refused`]; the last good snapshot then stays in force.
    pub async fn reload(self: &Arc<Self>) -> Result<u64, Refused> {
        self.apart(Self::reload_blocking).await
    }

    /// The same where files have changed, unless somebody else has read them since.
    ///
    /// # Errors
    /// [`Refused`]; the last good snapshot then stays in force.
    pub async fn reload_changed(self: &Arc<Self>) -> Result<u64, Refused> {
        self.apart(|this| {
            let reloading = this.reloading.lock();
            let in_force = this.in_force_as_on_disk();
            drop(reloading);
            in_force.map_or_else(|| this.reload_blocking(), Ok)
        })
        .await
    }

    /// The generation in force, where it is what the files say.
    fn in_force_as_on_disk(&self) -> Option<u64> {
        let status = self.status.read();
        if status.refused.is_some() {
            return None;
        }
        let generation = status.generation;
        drop(status);
        let read = self.files.borrow().clone();
        read.iter().all(|file| WatchedFile::now(file.path.clone()) == *file).then_some(generation)
    }

    /// Compiling a plugin takes up to seconds, and reading files blocks.
    async fn apart(
        self: &Arc<Self>,
        reload: impl FnOnce(&Self) -> Result<u64, Refused> + Send + 'static,
    ) -> Result<u64, Refused> {
        let this = Arc::clone(self);
        let swap = tokio::task::spawn_blocking(move || reload(&this));
        swap.await.unwrap_or_else(|error| {
            Err(Refused { problems: vec![format!("the reload ended early: {error}")] })
        })
    }

    /// What is most likely not meant in the settings that are on disk. Blocks.
    pub fn warnings(&self) -> Vec<String> {
        let environment = |name: &str| std::env::var(name).ok();
        let loaded = config::load(&self.path, &environment);
        let warnings = loaded.map(|loaded| loaded.warnings(self.metrics.types().as_ref()).to_strings());
        // Faults are the reload's own matter.
        warnings.unwrap_or_default()
    }

    pub(super) fn reload_blocking(&self) -> Result<u64, Refused> {
        let _one_at_a_time = self.reloading.lock();
        let started = Instant::now();
        let environment = |name: &str| std::env::var(name).ok();
        let outcome = match config::load(&self.path, &environment) {
            Ok(loaded) => {
                // Before the lock of what is in force is taken: a registry may be slow.
                let pulled = registry::fetch(&loaded.settings).map_err(Refused::from);
                let swapped = pulled.and_then(|()| self.swap(&loaded.settings));
                self.files.send_replace(self.watched(loaded.files, &loaded.settings));
                swapped
            }
            Err(mut faults) => {
                // A change of what was read now may mend it; what was read before may be read again then.
                let mut files = std::mem::take(&mut faults.files);
                let before = self.files.borrow().clone();
                files.extend(before);
                self.files.send_replace(unique(files));
                Err(Refused { problems: faults.to_strings() })
            }
        };
        match &outcome {
            Ok(generation) => {
                let took_ms = super::millis(started.elapsed());
                tracing::info!(generation, took_ms, "snapshot in force");
            }
            Err(refused) => self.refuse(refused),
        }
        outcome
    }

    fn refuse(&self, refused: &Refused) {
        self.metrics.swaps_refused.inc();
        let mut status = self.status.write();
        for problem in &refused.problems {
            tracing::error!(
                generation = status.generation,
                "candidate refused, the last good snapshot goes on: {problem}"
            );
        }
        status.refused = Some(RefusedStatus { at_ms: now_ms(), problems: refused.problems.clone() });
    }

    /// Swaps the settings in.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn swap(&self, settings: &Settings) -> Result<u64, Refused> {
        let mut parts = self.parts.lock();
        let mut settings = with_default_route(settings);
        let mut candidate = parts.workshop.prepare(&settings)?;
        let given = settings.clone();
        if self.idle(&settings) {
            settings = Settings { host: settings.host, ..Settings::default() };
        }
        let plan = parts.lanes.plan(&settings)?;
        let privacy =
            Privacy::new(&settings.privacy).map_err(|problem| vec![format!("privacy: {problem}")])?;
        if settings.host != self.started_with {
            tracing::warn!("host: settings under `host` changed; they come into force at the next start");
        }
        let superfluous = parts.lanes.apply(plan);
        self.open.store(Arc::new(parts.lanes.all().cloned().collect()));
        parts.workshop.adopt(&mut candidate, &settings);
        parts.settings.clone_from(&settings);
        parts.given = given;
        parts.generation += 1;
        let snapshot = self.assemble(&settings, candidate, &parts.lanes, parts.generation, superfluous);
        suspend(&snapshot, &parts.suspended);
        self.note(&snapshot, &parts.workshop, &settings);
        self.snapshot.store(Arc::new(snapshot));
        self.gate.swap(&settings, privacy);
        logs::set_level(settings.events.as_ref().map(|events| events.monitoring.log_level));
        Ok(parts.generation)
    }

    /// Disabled, and nothing is under way: no backend is opened then.
    fn idle(&self, settings: &Settings) -> bool {
        let enabled = settings.events.as_ref().is_some_and(|events| events.enabled);
        !enabled && self.snapshot.load().lanes.is_empty() && self.journal.stats().unsettled == 0
    }

    fn assemble(
        &self,
        settings: &Settings,
        candidate: Candidate,
        lanes: &Lanes,
        generation: u64,
        superfluous: Vec<Lane>,
    ) -> Snapshot {
        let mut used: Vec<Lane> = Vec::new();
        let mut index_of = |lane: &Lane| {
            used.iter().position(|other| other.name() == lane.name()).unwrap_or_else(|| {
                used.push(lane.clone());
                used.len() - 1
            })
        };
        let prepared = candidate.steps.into_iter().zip(candidate.thinning);
        let routes = settings.routes.iter().zip(prepared).map(|(route, (steps, thinning))| Route {
            name: route.name.clone(),
            steps,
            lanes: route.deliver.iter().flat_map(|name| lanes.of(name)).map(&mut index_of).collect(),
            order_by: route.order_by.clone(),
            thinning,
            matched: self.metrics.route(&route.name),
            left_out: self.metrics.left_out(&route.name),
        });
        let routes = routes.collect();
        let rules = settings
            .routes
            .iter()
            .map(|route| Rule { errors: self.metrics.condition_errors(&route.name), ..Rule::from(route) });
        let table = Table::new(rules, self.metrics.payloads_parsed.clone());
        let letters = settings.events.as_ref().map(|events| events.dlq.clone()).unwrap_or_default();
        self.retire(superfluous);
        Snapshot {
            generation,
            table,
            routes,
            lanes: used,
            max_retries: letters.max_retries,
            dead_letters: letters.enabled,
            retirement: Retirement::default(),
        }
    }

    /// Lanes go once the last event of the snapshot that delivered to them is through.
    fn retire(&self, lanes: Vec<Lane>) {
        if lanes.is_empty() {
            return;
        }
        let replaced = self.snapshot.load().retirement.token();
        let limit = self.drain_limit;
        let wait = async move {
            replaced.cancelled().await;
            for lane in lanes {
                tracing::info!(backend = %lane.name(), "no route delivers here any more; draining");
                lane.drain(limit).await;
            }
        };
        self.retiring.spawn_on(wait, &self.runtime);
    }

    fn note(&self, snapshot: &Snapshot, workshop: &Workshop, settings: &Settings) {
        set(&self.metrics.generation, snapshot.generation);
        self.metrics.swaps.inc();
        self.at_swap.store(Arc::new(AtSwap {
            at: Instant::now(),
            received: self.metrics.received.get(),
            unmatched: self.metrics.unmatched.get(),
            steps: counts_of(snapshot),
        }));
        let mut plugins: Vec<_> = workshop
            .plugins()
            .map(|plugin| PluginStatus {
                name: plugin.name.to_string(),
                digest: plugin.digest.to_string(),
                from: settings.plugins.pull.get(&plugin.name).map(ToString::to_string),
            })
            .collect();
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        *self.status.write() = SwapStatus {
            generation: snapshot.generation,
            since_ms: now_ms(),
            routes: snapshot.routes.iter().map(|route| route.name.to_string()).collect(),
            plugins,
            refused: None,
        };
    }

    /// What is in force, and what was refused last.
    pub fn status(&self) -> SwapStatus {
        self.status.read().clone()
    }

    /// The plugins' files too: those in force as they were read, and others as they are.
    fn watched(&self, mut files: Vec<WatchedFile>, settings: &Settings) -> Vec<WatchedFile> {
        let (parts, sources) = (self.parts.lock(), Sources::of(settings));
        let steps = settings.routes.iter().flat_map(|route| &route.steps);
        for (_, name) in steps.flat_map(settings::Step::plugins) {
            files.extend(sources.proofs(name).into_iter().map(WatchedFile::now));
            let path = sources.file(name);
            if files.iter().any(|file| file.path == path) {
                continue;
            }
            let in_force = parts.workshop.plugins().find(|plugin| plugin.name == *name);
            files.push(match in_force {
                Some(plugin) => WatchedFile { path, digest: Some(plugin.digest) },
                None => WatchedFile::now(path),
            });
        }
        unique(files)
    }

    /// What is in force.
    pub(super) fn in_force<T>(&self, look: impl FnOnce(&Workshop, &Settings) -> T) -> T {
        let parts = self.parts.lock();
        look(&parts.workshop, &parts.settings)
    }

    /// Suspends a plugin in all its steps, its later versions too, or lets it go on. Events meanwhile go the way of `on_error`.
    ///
    /// # Errors
    /// That no step in force has it.
    pub fn suspend(&self, name: &PluginName, suspended: bool) -> Result<(), Refused> {
        let mut parts = self.parts.lock();
        if parts.workshop.plugin_in_force(name).is_none() {
            return Err(versions::not_in_force(name));
        }
        if suspended {
            parts.suspended.insert(name.clone());
        } else {
            parts.suspended.remove(name);
        }
        suspend(&self.snapshot.load(), &parts.suspended);
        tracing::info!(plugin = %name, suspended, "an operator has suspended a plugin or let it go on");
        Ok(())
    }

    /// Plugins that an operator has suspended.
    pub fn suspended(&self) -> BTreeSet<PluginName> {
        self.parts.lock().suspended.clone()
    }

    /// The routes in force.
    pub fn routes(&self) -> Vec<RouteStatus> {
        let settings = self.in_force(|_, settings| settings.clone());
        let matched = |route: &settings::Route| self.metrics.route(&route.name).get();
        settings.routes.iter().map(|route| RouteStatus::of(route, matched(route))).collect()
    }

    /// The settings in force, secrets hidden.
    pub fn shown(&self) -> InForce {
        let parts = self.parts.lock();
        InForce {
            generation: parts.generation,
            shown: Shown::of(&parts.given, digests(parts.workshop.plugins())),
            types: self.metrics.types(),
        }
    }

    /// Tries an event on the routes in force, without a trace. Blocks.
    ///
    /// # Errors
    /// Every plugin that does not start.
    pub fn try_out(&self, event: &Event) -> Result<Vec<Trial>, Refused> {
        let (engine, settings) =
            self.in_force(|workshop, settings| (Arc::clone(workshop.engine()), settings.clone()));
        let tried = Trials::new(&engine, &settings)?.of(event, now_ms());
        Ok(tried.map_err(|problem| vec![problem])?)
    }

    pub(super) fn history(&self) -> History {
        versions::history(&self.started_with.data)
    }

    /// How the steps in force are doing.
    pub fn steps(&self) -> Vec<StepStatus> {
        let snapshot = self.snapshot.load();
        snapshot.routes.iter().flat_map(|route| &route.steps).map(|step| step.status()).collect()
    }

    /// Shows what the steps and lanes in force take and how they are. Blocks for the length of a plugin's call at most.
    pub(super) fn measure(&self) {
        let snapshot = self.snapshot.load();
        snapshot.routes.iter().flat_map(|route| &route.steps).for_each(|step| step.measure());
        self.lanes().iter().for_each(Lane::measure);
    }

    /// What each step in force has done. Waits for no plugin.
    pub(super) fn step_counts(&self) -> HashMap<StepKey, StepCounts> {
        counts_of(&self.snapshot.load())
    }

    /// What had been counted when the snapshot in force came into it.
    pub(super) fn at_swap(&self) -> Arc<AtSwap> {
        self.at_swap.load_full()
    }

    /// The matches of each route in force, and events for which its conditions could not be evaluated.
    pub(super) fn route_counts(&self) -> HashMap<String, (u64, u64)> {
        let snapshot = self.snapshot.load();
        let errors = |route: &Route| self.metrics.condition_errors(&route.name).get();
        snapshot
            .routes
            .iter()
            .map(|route| (route.name.to_string(), (route.matched.get(), errors(route))))
            .collect()
    }

    /// Every file that the rules and plugins were read from, those in force and those that were refused last.
    pub fn files(&self) -> watch::Receiver<Vec<WatchedFile>> {
        self.files.subscribe()
    }

    /// The lanes of a backend, or one of them by its own name.
    pub fn lanes_of(&self, name: &str) -> Vec<Lane> {
        let parts = self.parts.lock();
        let of_backend = parts.lanes.of(&BackendName::from(name));
        match of_backend {
            [] => parts.lanes.all().filter(|lane| lane.name().as_str() == name).cloned().collect(),
            lanes => lanes.to_vec(),
        }
    }

    /// The lanes in force. Waits for no swap.
    pub fn lanes(&self) -> Arc<Vec<Lane>> {
        self.open.load_full()
    }

    /// How long an ending host may take to deliver what it has.
    pub fn drain_limit(&self) -> Duration {
        self.drain_limit
    }

    /// Drains every lane, all at once, until then at most.
    pub async fn drain(&self, deadline: Instant) {
        // The last snapshot must not hold its lanes' retirement up.
        self.snapshot.store(Arc::new(Snapshot::empty()));
        let lanes = self.lanes();
        let limit = deadline.saturating_duration_since(Instant::now());
        let drains = lanes.iter().map(|lane| lane.drain(limit));
        futures_util::future::join_all(drains).await;
        let forwarder = self.parts.lock().lanes.take_forwarder();
        if let Some(forwarder) = forwarder {
            forwarder.stop().await;
        }
        self.retiring.close();
        self.retiring.wait().await;
    }
}

/// Each once, as it was read first.
fn unique(mut files: Vec<WatchedFile>) -> Vec<WatchedFile> {
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.path.clone()));
    files
}

fn suspend(snapshot: &Snapshot, suspended: &BTreeSet<PluginName>) {
    let steps = snapshot.routes.iter().flat_map(|route| &route.steps);
    steps.for_each(|step| step.suspend(&|name| suspended.contains(name)));
}

fn counts_of(snapshot: &Snapshot) -> HashMap<StepKey, StepCounts> {
    let steps = snapshot.routes.iter().flat_map(|route| &route.steps);
    let counts = |step: &Arc<Step>| {
        let spec = step.spec();
        let plugin = &spec.plugin;
        let key = (spec.route.to_string(), spec.index, plugin.name.to_string(), plugin.digest.to_string());
        (key, step.counts())
    };
    steps.map(counts).collect()
}

/// No routes means the document's behaviour: every event goes to every backend.
pub fn with_default_route(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    let backends: Vec<BackendName> = config::backends(&settings).into_iter().map(|spec| spec.name).collect();
    if settings.routes.is_empty() && !backends.is_empty() {
        settings.routes.push(settings::Route::new("default".into(), backends));
    }
    settings
}
