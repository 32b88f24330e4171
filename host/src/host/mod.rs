//! A running host: its rooms opened in order, its swaps, and its end.

mod ages;
mod candidate;
mod cases;
mod check;
mod gate;
mod health;
mod history;
mod lanes;
mod privacy;
mod problems;
mod recent;
mod rehearsal;
mod retry;
mod sources;
mod swap;
mod trial;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use candidate::{Candidate, Workshop};
pub use cases::{RouteCase, RouteCases, TriedCase, milliseconds};
pub use check::check;
pub use gate::Gate;
pub use health::{Check, Condition, Health};
pub use history::Version;
pub use problems::{Problem, Severity};
pub use recent::Rates;
pub use rehearsal::{Rehearsal, Rehearsed};
pub use retry::{Done, Selection, Stays};
pub use sources::{Sources, cases_file};
pub use swap::{InForce, Refused, RouteStatus, SwapStatus, Swapper, with_default_route};
pub use trial::{Change, Deed, Delivery, StepTrial, Trial, Trials};
pub use versions::PluginInForce;

use crate::admin::{self, AdminServer};
use crate::config::{Settings, settings};
use crate::delivery::LaneStatus;
use crate::ingress::http::{self, HttpIngress};
use crate::journal::{DeadLetters, Journal, Options};
use crate::pipeline::{Peers, Snapshot, Worker};
use crate::plugins::{Buckets, Engine, StepStatus};
use crate::provenance::{self, Provenance};
use crate::telemetry::history::{INTERVAL, Value};
use crate::telemetry::metrics::set;
use crate::telemetry::{History, Metrics, logs};
use crate::trace::{self, Exporting, Tracer};
use ages::Ages;
use recent::{Recent, Totals};

/// Batches that wait for a worker before the journal's reader takes over. Small: events in it are also in memory.
const INBOX: usize = 64;

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings, rules or plugins are not in order.
    #[error(transparent)]
    Settings(#[from] Refused),
    /// A room could not be opened.
    #[error("{0}")]
    Room(String),
}

/// As a number, which logs show as one.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes that are free on the disk of that directory, and bytes that it has; none where the system does not say.
fn room_on(directory: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

fn room(error: impl std::fmt::Display) -> StartError {
    StartError::Room(error.to_string())
}

/// A host that accepts and delivers until it is stopped.
pub struct Host {
    view: Arc<View>,
    ingress: HttpIngress,
    admin: AdminServer,
    workers: Vec<JoinHandle<()>>,
    buckets: Buckets,
    /// End with the host, also where that does not start to its end.
    sampling: [AbortOnDropHandle<()>; 2],
    /// Hands spans to the collector.
    exporting: Option<Exporting>,
    stop_ingress: CancellationToken,
    stop_admin: CancellationToken,
}

/// What others may see and steer of a running host.
pub struct View {
    /// Swaps what is on disk in.
    pub swapper: Arc<Swapper>,
    /// The durable log.
    pub journal: Journal,
    /// The dead letters.
    pub dead_letters: DeadLetters,
    /// What became of each event, where that is kept.
    pub provenance: Option<Provenance>,
    /// The last hour, for charts.
    pub history: History,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    gate: Arc<Gate>,
    ages: Ages,
    recent: Recent,
    data: PathBuf,
    started: Instant,
}

/// What `status` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct HostStatus {
    /// The version of the host.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Whether events are published (`events.enabled`).
    pub enabled: bool,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
    /// What flows.
    pub rates: Rates,
    /// Rules and plugins.
    #[serde(flatten)]
    pub swap: SwapStatus,
    /// The steps of the snapshot in force.
    pub steps: Vec<StepStatus>,
    /// The journal.
    pub journal: crate::journal::Stats,
    /// The lanes.
    pub lanes: Vec<LaneStatus>,
    /// Dead letters that wait for someone to act.
    pub dead_letters: usize,
}

impl View {
    /// A picture of the host as it is now. Blocks for the length of a plugin's call at most.
    pub fn status(&self) -> HostStatus {
        let totals = self.totals();
        let swap = self.swapper.status();
        let steps = self.swapper.steps();
        let journal = self.journal.stats();
        let lanes: Vec<_> = self.swapper.lanes().iter().map(crate::delivery::Lane::status).collect();
        let (enabled, dead_letters) = (self.gate.enabled(), self.dead_letters.len());
        let problems = problems::find(&problems::Seen {
            enabled,
            swap: &swap,
            steps: &steps,
            lanes: &lanes,
            journal: &journal,
            letters: dead_letters,
            lately: &self.recent.lately(&totals),
            data: &self.data.to_string_lossy(),
            room: room_on(&self.data),
            now_ms: crate::journal::now_ms(),
        });
        HostStatus {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            enabled,
            problems,
            rates: self.recent.rates(&totals),
            swap,
            steps,
            journal,
            lanes,
            dead_letters,
        }
    }

    /// Every counter that rates and problems are made from.
    fn totals(&self) -> Totals {
        let metrics = &self.metrics;
        let lane = |lane: &crate::delivery::Lane| {
            let status = lane.status();
            (status.name, (status.delivered, status.failures))
        };
        Totals {
            at: Instant::now(),
            received: metrics.received.get(),
            refused: metrics.refused_in_all.get(),
            unmatched: metrics.unmatched.get(),
            dropped_by_rule: metrics.dropped_by_rule.get(),
            letters: self.dead_letters.last(),
            left_out: self.provenance.as_ref().map_or(0, Provenance::left_out),
            routes: self.swapper.route_counts(),
            steps: self.swapper.step_counts(),
            at_swap: self.swapper.at_swap(),
            lanes: self.swapper.lanes().iter().map(lane).collect(),
        }
    }

    fn sample(&self) -> BTreeMap<String, Value> {
        let dropped = self.recent.add(self.totals());
        let mut values = BTreeMap::from([
            ("received".to_owned(), Value::Counter(self.metrics.received.get())),
            ("dropped".to_owned(), Value::Counter(dropped)),
            ("unmatched".to_owned(), Value::Counter(self.metrics.unmatched.get())),
            ("unsettled".to_owned(), Value::Gauge(self.journal.stats().unsettled)),
            ("dead_letters".to_owned(), Value::Gauge(self.dead_letters.len() as u64)),
        ]);
        for lane in self.swapper.lanes().iter() {
            let status = lane.status();
            let name = |what: &str| format!("{what}/{}", status.name);
            values.insert(name("published"), Value::Counter(status.delivered));
            values.insert(name("failures"), Value::Counter(status.failures));
            values.insert(name("retries"), Value::Counter(status.retries));
            values.insert(name("dead"), Value::Counter(status.dead));
            values.insert(name("queued"), Value::Gauge(status.queued as u64));
            values.insert(name("overflow_bytes"), Value::Gauge(status.overflow_bytes));
        }
        values
    }

    /// The metrics as OpenMetrics text. Blocks for the length of a plugin's call at most.
    pub fn render_metrics(&self) -> String {
        let stats = self.journal.stats();
        self.measure_journal(&stats);
        self.metrics.dead_letters(self.dead_letters.len() as u64);
        if let Some(provenance) = &self.provenance {
            self.metrics.provenance_left_out.inner().store(provenance.left_out(), Ordering::Relaxed);
        }
        self.swapper.measure();
        self.metrics.render()
    }

    fn measure_journal(&self, stats: &crate::journal::Stats) {
        let gauges = &self.metrics.journal;
        set(&gauges.unsettled, stats.unsettled);
        set(&gauges.unsettled_bytes, stats.unsettled_bytes);
        set(&gauges.oldest, self.oldest_seconds(stats));
        set(&gauges.bytes, stats.bytes);
        set(&gauges.segments, stats.segments as u64);
        set(&gauges.writable, u64::from(stats.writable.is_ok()));
        set(&gauges.lost, stats.lost_tokens);
    }

    /// The age of the oldest event that is not settled; 0 where there is none.
    fn oldest_seconds(&self, stats: &crate::journal::Stats) -> u64 {
        if stats.unsettled == 0 {
            return 0;
        }
        // What an earlier run has left is looked up.
        let came = self.ages.came(stats.cursor);
        let came = came.or_else(|| self.journal.record(stats.cursor).map(|record| record.at_ms));
        came.map_or(0, |came| crate::journal::now_ms().saturating_sub(came) / 1_000)
    }

    fn look(&self) {
        let stats = self.journal.stats();
        self.ages.look(crate::journal::now_ms(), stats.next, stats.cursor);
    }
}

impl Host {
    /// Opens every room in the order of an event's way, backwards: nothing is accepted before all of it can go on.
    ///
    /// # Errors
    /// [`StartError`], for people.
    pub async fn start(path: PathBuf, settings: Settings) -> Result<Self, StartError> {
        let started = Instant::now();
        let metrics = Arc::new(Metrics::new());
        let data = settings.host.data.clone();
        let journal = Journal::open(&data, Options::from(&settings.host.journal)).map_err(room)?;
        let dead_letters = DeadLetters::open(&data.join("dead-letters")).map_err(room)?;
        let (tracer, exporting) = tracer(&settings, &metrics)?;
        let gate = Gate::new(journal.clone(), &settings, Arc::clone(&metrics), tracer.clone());
        let gate = Arc::new(gate);
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let buckets = Buckets::open(&data.join("plugin-state")).map_err(room)?;
        let provenance = provenance(&settings, &journal)?;
        let notes = lanes::Notes { provenance: provenance.clone(), tracer };
        let rooms =
            swap::Rooms { gate: Arc::clone(&gate), journal: journal.clone(), metrics: Arc::clone(&metrics) };
        let swapper = swapper(path, &settings, &snapshot, &dead_letters, &buckets, notes.clone(), rooms)?;
        swapper.reload().await?;
        let stores = (journal.clone(), dead_letters.clone());
        let workers = start_workers(&settings, &snapshot, stores, &notes, &metrics)?;
        let gate_of_view = Arc::clone(&gate);
        let view = View {
            swapper,
            journal,
            dead_letters,
            provenance,
            history: History::default(),
            metrics,
            gate: gate_of_view,
            ages: Ages::default(),
            recent: Recent::default(),
            data: settings.host.data.clone(),
            started,
        };
        let view = Arc::new(view);
        let sampling = [tokio::spawn(sample(Arc::clone(&view))), tokio::spawn(look(Arc::clone(&view)))];
        let sampling = sampling.map(AbortOnDropHandle::new);
        let traced = exporting.is_some();
        let (stop_ingress, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let ingress = http::serve(&settings.host, gate, traced, stop_ingress.clone()).map_err(room)?;
        let admin = admin::serve(&settings.host, Arc::clone(&view), stop_admin.clone()).map_err(room)?;
        let host =
            Self { view, ingress, admin, workers, buckets, sampling, exporting, stop_ingress, stop_admin };
        host.announce(&settings);
        Ok(host)
    }

    fn announce(&self, settings: &Settings) {
        let took_ms = millis(self.view.started.elapsed());
        tracing::info!(listen = %self.ingress.local_addr, admin = %self.admin.local_addr, took_ms, "ready");
        if settings.events.is_none() {
            tracing::warn!(
                "the settings have no `events` section: events are accepted and dropped; set events.enabled: true and a backend"
            );
        } else if !self.view.gate.enabled() {
            tracing::warn!(
                "events.enabled is false: events are accepted and dropped; set it to true to publish"
            );
        }
    }

    /// What others may see and steer.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Ends in the order of an event's way: no more in, the rest through, lanes drained, cursor written.
    pub async fn stop(self) {
        tracing::info!("draining: no more events are accepted");
        self.view.swapper.give_up();
        drop(self.sampling);
        self.view.gate.stop();
        self.stop_ingress.cancel();
        self.ingress.stopped().await;
        let deadline = Instant::now() + self.view.swapper.drain_limit();
        self.view.journal.handed_out(deadline.into()).await;
        self.view.journal.stop_dispatch();
        let (workers, buckets) = (self.workers, self.buckets);
        let joined = tokio::task::spawn_blocking(move || {
            let well = workers.into_iter().map(JoinHandle::join).all(|end| end.is_ok());
            buckets.close();
            well
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("a worker ended by a panic; its events stay in the journal");
        }
        self.view.swapper.drain(deadline).await;
        if let Some(provenance) = self.view.provenance.clone() {
            // It reports what goes wrong itself.
            let _ = tokio::task::spawn_blocking(move || provenance.close()).await;
        }
        if let Some(exporting) = self.exporting {
            exporting.stop().await;
        }
        self.view.journal.close().await;
        let unsettled = self.view.journal.stats().unsettled;
        self.stop_admin.cancel();
        self.admin.stopped().await;
        logs::beat();
        tracing::info!(unsettled, "stopped; what is unsettled goes on at the next start");
    }
}

fn swapper(
    path: PathBuf,
    settings: &Settings,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    dead_letters: &DeadLetters,
    buckets: &Buckets,
    notes: lanes::Notes,
    rooms: swap::Rooms,
) -> Result<Arc<Swapper>, StartError> {
    let data = settings.host.data.clone();
    let engine = Engine::new(Some(&cache_directory(settings))).map_err(room)?;
    let metrics = Arc::clone(&rooms.metrics);
    let workshop = Workshop::new(engine, Arc::clone(&metrics), buckets.clone(), worker_count(settings))
        .keeping(versions::history(&data));
    let runtime = tokio::runtime::Handle::current();
    let again_from = rooms.journal.stats().cursor;
    let lanes = lanes::Lanes::new(data, again_from, dead_letters.clone(), notes, metrics, runtime);
    Ok(Arc::new(Swapper::new(path, settings, Arc::clone(snapshot), rooms, workshop, lanes)))
}

/// Takes samples for the history, to the end of the host.
async fn sample(view: Arc<View>) {
    let mut beat = tokio::time::interval(INTERVAL);
    loop {
        beat.tick().await;
        view.history.add(crate::journal::now_ms(), view.sample());
        logs::beat();
    }
}

/// Notes the journal's end, to the end of the host.
async fn look(view: Arc<View>) {
    let mut beat = tokio::time::interval(ages::INTERVAL);
    loop {
        beat.tick().await;
        view.look();
    }
}

fn tracer(settings: &Settings, metrics: &Metrics) -> Result<(Option<Tracer>, Option<Exporting>), StartError> {
    let environment = |name: &str| std::env::var(name).ok();
    let plan = trace::Plan::new(&settings.host.tracing, &environment).map_err(room)?;
    let Some(plan) = plan else { return Ok((None, None)) };
    // Several hosts of one machine, and one of the same name elsewhere, are told apart.
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let data = std::path::absolute(&settings.host.data).unwrap_or_else(|_| settings.host.data.clone());
    let place = format!("{} {}", machine.trim(), data.display());
    let (tracer, exporting) = plan.start(&place, metrics.tracing()).map_err(room)?;
    Ok((Some(tracer), Some(exporting)))
}

fn provenance(settings: &Settings, journal: &Journal) -> Result<Option<Provenance>, StartError> {
    let settings::Provenance { enabled, size } = settings.host.provenance;
    let options = provenance::Options { bytes: size.0 };
    let open = || Provenance::open(&settings.host.data, journal.clone(), options);
    enabled.then(open).transpose().map_err(room)
}

/// Where compiled plugins are kept.
pub fn cache_directory(settings: &Settings) -> PathBuf {
    settings.plugins.cache.clone().unwrap_or_else(|| Path::new(&settings.host.data).join("plugin-cache"))
}

fn worker_count(settings: &Settings) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    settings.host.workers.unwrap_or_else(cores).max(1)
}

fn start_workers(
    settings: &Settings,
    snapshot: &Arc<ArcSwap<Snapshot>>,
    (journal, dead_letters): (Journal, DeadLetters),
    notes: &lanes::Notes,
    metrics: &Arc<Metrics>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let count = worker_count(settings);
    let (inboxes, outlets): (Vec<_>, Vec<_>) = (0..count).map(|_| flume::bounded(INBOX)).unzip();
    let peers = Peers::new(count);
    let start = |(index, inbox)| {
        let stores = (journal.clone(), dead_letters.clone());
        let (recorder, snapshot) = (notes.recorder(), Arc::clone(snapshot));
        let place = (index, Arc::clone(&peers));
        let worker = Worker::new(place, inbox, snapshot, stores, recorder, Arc::clone(metrics));
        std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())
    };
    let workers = outlets.into_iter().enumerate().map(start).collect::<Result<_, _>>();
    journal.start(inboxes);
    workers.map_err(|error| StartError::Room(format!("cannot start a worker thread: {error}")))
}
