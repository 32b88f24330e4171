//! The open backends. They outlive every swap: one whose settings stay keeps its connection and queue, one whose
//! settings change gets a new connection behind the same queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::backends::{self, Target};
use crate::config::{self, BackendSpec, Settings};
use crate::delivery::{Forwarder, Lane, Overflow, Policy};
use crate::journal::DeadLetters;
use crate::names::BackendName;
use crate::provenance::{Provenance, Recorder};
use crate::telemetry::Metrics;
use crate::trace::Tracer;

/// All lanes, by backend.
pub struct Lanes {
    open: BTreeMap<BackendName, Open>,
    /// Carries dead letters to `events.dlq.backend`.
    forwarder: Option<(BackendSpec, Forwarder)>,
    data: PathBuf,
    /// At the start the journal hands out again what it has from here on; later on, nothing.
    again_from: u64,
    dead_letters: DeadLetters,
    notes: Notes,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

/// Where is noted what became of events.
#[derive(Clone)]
pub struct Notes {
    /// Kept beside the journal.
    pub provenance: Option<Provenance>,
    /// Spans of those that are traced.
    pub tracer: Option<Tracer>,
}

impl Notes {
    /// What one worker or lane notes by.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.provenance.clone(), self.tracer.clone())
    }
}

struct Open {
    spec: BackendSpec,
    lanes: Vec<Lane>,
}

/// What is to be done to the open lanes, checked but not yet done.
pub struct Plan {
    backends: Vec<(BackendSpec, Policy, Change)>,
    /// Where dead letters go; the target is absent where it stays.
    letters: Option<(BackendSpec, Option<Target>)>,
}

enum Change {
    Keep,
    Connect(Vec<(Target, Option<Overflow>)>),
}

impl Lanes {
    /// No lanes yet; overflow goes under `data`.
    pub fn new(
        data: PathBuf,
        again_from: u64,
        dead_letters: DeadLetters,
        notes: Notes,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Self {
        let (open, forwarder) = (BTreeMap::new(), None);
        Self { open, forwarder, data, again_from, dead_letters, notes, metrics, runtime }
    }

    /// Compares the settings with what is open and opens what is new; nothing is in force yet.
    ///
    /// # Errors
    /// Every backend whose settings cannot be opened.
    pub fn plan(&self, settings: &Settings) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        let mut plan = Plan { backends: Vec::new(), letters: None };
        for spec in config::backends(settings) {
            let policy = Policy::new(settings, &spec.delivery);
            if self.open.get(&spec.name).is_some_and(|open| open.spec.same_target(&spec)) {
                plan.backends.push((spec, policy, Change::Keep));
                continue;
            }
            match self.open(&spec, settings.host.delivery.overflow.0) {
                Ok(targets) => plan.backends.push((spec, policy, Change::Connect(targets))),
                Err(problem) => problems.push(problem),
            }
        }
        match self.plan_letters(settings) {
            Ok(letters) => plan.letters = letters,
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    fn plan_letters(&self, settings: &Settings) -> Result<Option<(BackendSpec, Option<Target>)>, String> {
        let Some(spec) = config::dead_letter_backend(settings) else { return Ok(None) };
        if self.forwarder.as_ref().is_some_and(|(open, _)| *open == spec) {
            return Ok(Some((spec, None)));
        }
        let target = open_letters(&spec, &self.data)?;
        Ok(Some((spec, Some(target))))
    }

    /// Starts, keeps or ends the carrying away of dead letters.
    fn forward(&mut self, letters: Option<(BackendSpec, Option<Target>)>) {
        if let Some((_, None)) = letters {
            return;
        }
        if let Some((_, before)) = self.forwarder.take() {
            // A task of its own: what is under way may take until its time-out.
            self.runtime.spawn(before.stop());
        }
        self.forwarder = letters.and_then(|(spec, target)| {
            let letters = self.dead_letters.clone();
            target.map(|target| (spec, Forwarder::start(target, letters, &self.runtime)))
        });
    }

    /// What carries dead letters away, to be stopped at the end.
    pub fn take_forwarder(&mut self) -> Option<Forwarder> {
        self.forwarder.take().map(|(_, forwarder)| forwarder)
    }

    /// Puts a plan into force. Returns the lanes that nothing delivers to any more.
    pub fn apply(&mut self, plan: Plan) -> Vec<Lane> {
        self.forward(plan.letters);
        self.again_from = u64::MAX;
        let mut before = std::mem::take(&mut self.open);
        let mut superfluous = Vec::new();
        for (spec, policy, change) in plan.backends {
            let mut lanes = before.remove(&spec.name).map(|open| open.lanes).unwrap_or_default();
            match change {
                Change::Keep => lanes.iter().for_each(|lane| lane.set_policy(policy.clone())),
                Change::Connect(targets) => {
                    let fresh: Vec<_> = targets
                        .into_iter()
                        .filter_map(|target| self.connect(target, &policy, &mut lanes))
                        .collect();
                    superfluous.append(&mut lanes);
                    lanes = fresh;
                }
            }
            self.open.insert(spec.name.clone(), Open { spec, lanes });
        }
        superfluous.extend(before.into_values().flat_map(|open| open.lanes));
        superfluous
    }

    /// Makes targets, and opens the overflow of those that have no lane yet.
    fn open(&self, spec: &BackendSpec, most_bytes: u64) -> Result<Vec<(Target, Option<Overflow>)>, String> {
        let known = |name: &BackendName| self.all().any(|lane| lane.name() == name);
        let with_overflow = |target: Target| {
            let overflow =
                (!known(&target.name)).then(|| self.overflow(&target.name, most_bytes)).transpose()?;
            Ok((target, overflow))
        };
        open(spec, &self.data)?.into_iter().map(with_overflow).collect()
    }

    fn overflow(&self, lane: &BackendName, most_bytes: u64) -> Result<Overflow, String> {
        let dir = self.data.join("overflow").join(lane.as_str());
        Overflow::open(dir, most_bytes, self.again_from)
            .map_err(|error| format!("backend {lane}: overflow: {error}"))
    }

    /// Hands the target to the lane of its name, or starts one.
    fn connect(
        &self,
        (target, overflow): (Target, Option<Overflow>),
        policy: &Policy,
        before: &mut Vec<Lane>,
    ) -> Option<Lane> {
        if let Some(index) = before.iter().position(|lane| *lane.name() == target.name) {
            let lane = before.swap_remove(index);
            lane.retarget(target, policy.clone());
            return Some(lane);
        }
        let metrics = self.metrics.lane(&target.name);
        let letters = self.dead_letters.clone();
        let recorder = self.notes.recorder();
        Some(Lane::start(target, policy.clone(), letters, overflow?, metrics, recorder, &self.runtime))
    }

    /// The lanes of a backend.
    pub fn of(&self, backend: &BackendName) -> &[Lane] {
        self.open.get(backend).map_or(&[], |open| &open.lanes)
    }

    /// All lanes.
    pub fn all(&self) -> impl Iterator<Item = &Lane> {
        self.open.values().flat_map(|open| &open.lanes)
    }
}

/// Makes the target that dead letters go to; connects to nothing.
pub(super) fn open_letters(spec: &BackendSpec, data: &std::path::Path) -> Result<Target, String> {
    let mut targets = open(spec, data)?;
    match (targets.pop(), targets.is_empty()) {
        (Some(target), true) => Ok(target),
        _ => Err("events.dlq.backend: several urls; dead letters go to one place".into()),
    }
}

/// Makes targets of a backend's settings; connects to nothing.
pub(super) fn open(spec: &BackendSpec, data: &std::path::Path) -> Result<Vec<Target>, String> {
    let kind = backends::find(&spec.kind).ok_or_else(|| {
        let known: Vec<_> = backends::KINDS.iter().map(|kind| kind.name).collect();
        format!("backend {}: unknown type {:?}; known are {}", spec.name, spec.kind, known.join(", "))
    })?;
    (kind.open)(spec.name.clone(), &spec.config, data)
        .map_err(|problem| format!("backend {}: {problem}", spec.name))
}
