//! Swapping rules, plugins and backends as a whole: load, check, instantiate, configure, then one pointer.
//!
//! Whatever is wrong, the last good snapshot goes on, and the status says why.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio_util::task::TaskTracker;

use super::candidate::{Candidate, Workshop, plugin_file};
use super::gate::Gate;
use super::history::History;
use super::lanes::Lanes;
use super::privacy::Privacy;
use super::recent::{AtSwap, StepKey};
use super::trial::{Trial, try_out};
use super::versions;
use crate::Event;
use crate::config::watch::WatchedFile;
use crate::config::{self, Settings, settings};
use crate::delivery::Lane;
use crate::journal::{Journal, now_ms};
use crate::names::{BackendName, PluginName};
use crate::pipeline::{Retirement, Route, Snapshot};
use crate::plugins::{Step, StepCounts, StepStatus};
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
#[derive(Clone, Debug, Default, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
}

/// A candidate that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedStatus {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Why.
    pub problems: Vec<String>,
}

/// One route in force.
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
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
    files: RwLock<Vec<WatchedFile>>,
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
    /// The settings in force, with the default route.
    settings: Settings,
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
            parts: Mutex::new(Parts { workshop, lanes, generation: 0, settings: settings.clone() }),
            status: RwLock::default(),
            at_swap: ArcSwap::from_pointee(AtSwap::nothing()),
            files: RwLock::default(),
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
        let this = Arc::clone(self);
        // Compiling a plugin takes up to seconds, and reading files blocks.
        let swap = tokio::task::spawn_blocking(move || this.reload_blocking());
        swap.await.unwrap_or_else(|error| {
            Err(Refused { problems: vec![format!("the reload ended early: {error}")] })
        })
    }

    pub(super) fn reload_blocking(&self) -> Result<u64, Refused> {
        let started = Instant::now();
        let environment = |name: &str| std::env::var(name).ok();
        let outcome = match config::load(&self.path, &environment) {
            Ok(loaded) => {
                loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                let swapped = self.swap(&loaded.settings);
                *self.files.write() = self.watched(loaded.files, &loaded.settings);
                swapped
            }
            Err(faults) => Err(Refused { problems: faults.to_strings() }),
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
        parts.workshop.adopt(&mut candidate, &settings.plugins.directory);
        parts.settings.clone_from(&settings);
        parts.generation += 1;
        let snapshot = self.assemble(&settings, candidate, &parts.lanes, parts.generation, superfluous);
        self.note(&snapshot, &parts.workshop);
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

    fn note(&self, snapshot: &Snapshot, workshop: &Workshop) {
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
            .map(|plugin| PluginStatus { name: plugin.name.to_string(), digest: plugin.digest.to_string() })
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
        let parts = self.parts.lock();
        let steps = settings.routes.iter().flat_map(|route| &route.steps);
        for (_, name) in steps.flat_map(settings::Step::plugins) {
            let path = plugin_file(&settings.plugins.directory, name);
            if files.iter().any(|file| file.path == path) {
                continue;
            }
            let in_force = parts.workshop.plugins().find(|plugin| plugin.name == *name);
            files.push(match in_force {
                Some(plugin) => WatchedFile { path, digest: Some(plugin.digest) },
                None => WatchedFile::now(path),
            });
        }
        files
    }

    /// What is in force.
    pub(super) fn in_force<T>(&self, look: impl FnOnce(&Workshop, &Settings) -> T) -> T {
        let parts = self.parts.lock();
        look(&parts.workshop, &parts.settings)
    }

    /// The routes in force.
    pub fn routes(&self) -> Vec<RouteStatus> {
        let settings = self.in_force(|_, settings| settings.clone());
        let matched = |route: &settings::Route| self.metrics.route(&route.name).get();
        settings.routes.iter().map(|route| RouteStatus::of(route, matched(route))).collect()
    }

    /// Tries an event on the routes in force, without a trace. Blocks.
    ///
    /// # Errors
    /// Every plugin that does not start.
    pub fn try_out(&self, event: &Event) -> Result<Vec<Trial>, Refused> {
        let (engine, settings) =
            self.in_force(|workshop, settings| (Arc::clone(workshop.engine()), settings.clone()));
        Ok(try_out(&engine, &settings, event)?)
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

    /// Every file that the rules and plugins in force were read from.
    pub fn files(&self) -> Vec<WatchedFile> {
        self.files.read().clone()
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

    /// The lanes in force.
    pub fn lanes(&self) -> Vec<Lane> {
        self.parts.lock().lanes.all().cloned().collect()
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
