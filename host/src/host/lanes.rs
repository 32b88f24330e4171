//! The open backends. They outlive every swap: one whose settings stay keeps its connection and queue, one whose
//! settings change gets a new connection behind the same queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::backends::{self, Target};
use crate::config::{self, BackendSpec, Settings};
use crate::delivery::{Lane, Overflow, Policy};
use crate::journal::DeadLetters;
use crate::names::BackendName;
use crate::telemetry::Metrics;

/// All lanes, by backend.
pub struct Lanes {
    open: BTreeMap<BackendName, Open>,
    data: PathBuf,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

struct Open {
    spec: BackendSpec,
    lanes: Vec<Lane>,
}

/// What is to be done to the open lanes, checked but not yet done.
pub struct Plan {
    policy: Policy,
    backends: Vec<(BackendSpec, Change)>,
}

enum Change {
    Keep,
    Connect(Vec<(Target, Option<Overflow>)>),
}

impl Lanes {
    /// No lanes yet; overflow goes under `data`.
    pub fn new(data: PathBuf, dead_letters: DeadLetters, metrics: Arc<Metrics>, runtime: Handle) -> Self {
        Self { open: BTreeMap::new(), data, dead_letters, metrics, runtime }
    }

    /// Compares the settings with what is open and opens what is new; nothing is in force yet.
    ///
    /// # Errors
    /// Every backend whose settings cannot be opened.
    pub fn plan(&self, settings: &Settings) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        let mut plan = Plan { policy: Policy::new(settings), backends: Vec::new() };
        for spec in config::backends(settings) {
            if self.open.get(&spec.name).is_some_and(|open| open.spec == spec) {
                plan.backends.push((spec, Change::Keep));
                continue;
            }
            match self.open(&spec) {
                Ok(targets) => plan.backends.push((spec, Change::Connect(targets))),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// Puts a plan into force. Returns the lanes that nothing delivers to any more.
    pub fn apply(&mut self, plan: Plan) -> Vec<Lane> {
        let mut before = std::mem::take(&mut self.open);
        let mut superfluous = Vec::new();
        for (spec, change) in plan.backends {
            let mut lanes = before.remove(&spec.name).map(|open| open.lanes).unwrap_or_default();
            match change {
                Change::Keep => lanes.iter().for_each(|lane| lane.set_policy(plan.policy.clone())),
                Change::Connect(targets) => {
                    let fresh: Vec<_> = targets
                        .into_iter()
                        .filter_map(|target| self.connect(target, &plan.policy, &mut lanes))
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
    fn open(&self, spec: &BackendSpec) -> Result<Vec<(Target, Option<Overflow>)>, String> {
        let known = |name: &BackendName| self.all().any(|lane| lane.name() == name);
        let with_overflow = |target: Target| {
            let overflow = (!known(&target.name)).then(|| self.overflow(&target.name)).transpose()?;
            Ok((target, overflow))
        };
        open(spec, &self.data)?.into_iter().map(with_overflow).collect()
    }

    fn overflow(&self, lane: &BackendName) -> Result<Overflow, String> {
        let dir = self.data.join("overflow").join(lane.as_str());
        Overflow::open(dir).map_err(|error| format!("backend {lane}: overflow: {error}"))
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
        Some(Lane::start(target, policy.clone(), letters, overflow?, metrics, &self.runtime))
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

fn open(spec: &BackendSpec, data: &std::path::Path) -> Result<Vec<Target>, String> {
    let kind = backends::find(&spec.kind).ok_or_else(|| {
        let known: Vec<_> = backends::KINDS.iter().map(|kind| kind.name).collect();
        format!("backend {}: unknown type {:?}; known are {}", spec.name, spec.kind, known.join(", "))
    })?;
    (kind.open)(spec.name.clone(), &spec.config, data)
        .map_err(|problem| format!("backend {}: {problem}", spec.name))
}
