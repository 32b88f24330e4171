//! A set of routes with their plugins loaded, instantiated and configured, that may become the next snapshot.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::history::History;
use super::sources::Sources;
use crate::config::Settings;
use crate::config::settings;
use crate::config::units::Size;
use crate::names::{Digest, PluginName, RouteName};
use crate::pipeline::{Rate, Thinning};
use crate::plugins::{self, Beside, Bucket, Buckets, Cases, Engine, Granted, Limits, Plugin, Step, StepSpec};
use crate::telemetry::Metrics;

/// Loads plugins and prepares steps; what did not change since the last time is taken over, with its instances. A clone makes the
/// next candidate while the original is asked for what is in force.
#[derive(Clone)]
pub struct Workshop {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    buckets: Buckets,
    history: Option<History>,
    workers: usize,
    /// Whether its steps are for trial: they ask nobody.
    on_trial: bool,
    plugins: HashMap<PluginName, Arc<Plugin>>,
    steps: HashMap<StepKey, Arc<Step>>,
    rates: HashMap<RouteName, Arc<Rate>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct StepKey {
    route: RouteName,
    index: usize,
    digest: Digest,
    /// Settings, limits and `on_error` as JSON: all that makes one step differ from another.
    spec: String,
}

/// Routes whose steps are ready to run, and the files they were made from.
pub struct Candidate {
    /// The steps of each route, in the order of the settings.
    pub steps: Vec<Vec<Arc<Step>>>,
    /// What each route leaves out.
    pub thinning: Vec<Thinning>,
    rates: HashMap<RouteName, Arc<Rate>>,
    plugins: HashMap<PluginName, Arc<Plugin>>,
    keys: HashMap<StepKey, Arc<Step>>,
}

impl Candidate {
    /// SHA-256 of the plugins' files, by their names.
    pub fn digests(&self) -> BTreeMap<String, String> {
        digests(self.plugins.values())
    }
}

/// SHA-256 of the plugins' files, by their names.
pub(super) fn digests<'a>(plugins: impl Iterator<Item = &'a Arc<Plugin>>) -> BTreeMap<String, String> {
    plugins.map(|plugin| (plugin.name.to_string(), plugin.digest.to_string())).collect()
}

impl Workshop {
    /// A workshop whose steps have one instance for each of so many workers, and keep their state in `buckets`.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, buckets: Buckets, workers: usize) -> Self {
        Self {
            engine,
            metrics,
            buckets,
            history: None,
            workers,
            on_trial: false,
            plugins: HashMap::new(),
            steps: HashMap::new(),
            rates: HashMap::new(),
        }
    }

    /// A workshop whose steps are tried out: one instance of each, and no effect on anything. State is in memory, metrics are
    /// nobody's, and requests go nowhere.
    pub fn for_trial(engine: Arc<Engine>) -> Self {
        let workshop = Self::new(engine, Arc::new(Metrics::new()), Buckets::in_memory(), 1);
        Self { on_trial: true, ..workshop }
    }

    /// Keeps every version of a plugin that comes into force.
    #[must_use]
    pub fn keeping(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The engine that compiles.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The plugin in force by that name.
    pub fn plugin_in_force(&self, name: &PluginName) -> Option<&Arc<Plugin>> {
        self.plugins.get(name)
    }

    /// Loads, instantiates and configures everything that the routes name.
    ///
    /// # Errors
    /// Every problem at once, each a sentence that names the route, the plugin and the mend.
    pub fn prepare(&self, settings: &Settings) -> Result<Candidate, Vec<String>> {
        let mut problems = Vec::new();
        self.engine.bound(settings.plugins.loading);
        let plugins = self.load(settings, &mut problems);
        let mut candidate = Candidate {
            steps: Vec::new(),
            thinning: Vec::new(),
            rates: HashMap::new(),
            plugins,
            keys: HashMap::new(),
        };
        for route in &settings.routes {
            let steps = route.steps.iter().enumerate();
            let steps = steps.filter_map(|(index, step)| {
                // What is not there has been said already.
                let plugins: Option<Vec<_>> =
                    step.plugins().map(|(_, name)| candidate.plugins.get(name)).collect();
                let made = self.step(settings, route, index, &plugins?);
                made.map_err(|problem| problems.push(problem)).ok()
            });
            let (keys, steps): (Vec<_>, Vec<_>) =
                steps.map(|(key, step)| ((key, Arc::clone(&step)), step)).unzip();
            candidate.keys.extend(keys);
            candidate.steps.push(steps);
            let rate = self.rate(route);
            candidate.rates.extend(rate.clone().map(|rate| (route.name.clone(), rate)));
            candidate.thinning.push(Thinning::new(route, |dedup| self.seen(route, dedup), rate));
        }
        if problems.is_empty() { Ok(candidate) } else { Err(problems) }
    }

    /// The candidate is in force: what it is made of will be taken over next time.
    pub fn adopt(&mut self, candidate: &mut Candidate, settings: &Settings) {
        self.engine.yield_to_events();
        let sources = Sources::of(settings);
        for (name, plugin) in &candidate.plugins {
            let known = self.plugins.get(name).is_some_and(|known| known.digest == plugin.digest);
            // What was pulled is kept by its reference.
            let pulled = sources.image(name).is_some();
            if !known
                && !pulled
                && let Some(history) = &self.history
            {
                // It works all the same; only the way back is missing.
                let kept = history.keep(name, plugin.digest, &sources.file(name));
                kept.unwrap_or_else(|problem| tracing::warn!("{problem}"));
            }
        }
        self.plugins = std::mem::take(&mut candidate.plugins);
        self.steps = std::mem::take(&mut candidate.keys);
        self.rates = std::mem::take(&mut candidate.rates);
    }

    /// The rate of a route; one that has not changed goes on where it was.
    fn rate(&self, route: &settings::Route) -> Option<Arc<Rate>> {
        let known = self.rates.get(&route.name);
        route.rate.map(|rate| match known.filter(|known| known.per_second().to_bits() == rate.to_bits()) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Rate::new(rate)),
        })
    }

    /// What a route with `dedup` has seen. It lies beside the state of its steps, under a name that no plugin's file can have.
    fn seen(&self, route: &settings::Route, dedup: &settings::Dedup) -> Arc<Bucket> {
        self.buckets.of(&route.name, &"/dedup".into(), 0, dedup.memory.0)
    }

    /// The plugins in force.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }

    fn load(&self, settings: &Settings, problems: &mut Vec<String>) -> HashMap<PluginName, Arc<Plugin>> {
        let (sources, mut plugins) = (Sources::of(settings), HashMap::new());
        let steps = settings.routes.iter().flat_map(|route| &route.steps);
        for (_, name) in steps.flat_map(settings::Step::plugins) {
            if plugins.contains_key(name) {
                continue;
            }
            match self.plugin(&sources, name) {
                Ok(plugin) => {
                    plugins.insert(name.clone(), plugin);
                }
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
        }
        plugins
    }

    fn plugin(&self, sources: &Sources<'_>, name: &PluginName) -> Result<Arc<Plugin>, String> {
        let bytes = sources.read(name)?;
        let digest = Digest::of(&bytes);
        if let Some(known) = self.plugins.get(name).filter(|known| known.digest == digest) {
            return Ok(Arc::clone(known));
        }
        let plugin = Plugin::load(&self.engine, name, &bytes).map_err(|error| error.to_string())?;
        try_cases(&plugin, &sources.cases(name), &sources.file(name))?;
        Ok(plugin)
    }

    /// The step of a route, of its plugin and those that stand beside it.
    fn step(
        &self,
        settings: &Settings,
        route: &settings::Route,
        index: usize,
        plugins: &[&Arc<Plugin>],
    ) -> Result<(StepKey, Arc<Step>), String> {
        let step = &route.steps[index];
        let as_json =
            |error| format!("route {}: step {index}: cannot write its settings as JSON: {error}", route.name);
        let of_plugin = settings.plugins.grants.get(&step.plugin);
        let grants = of_plugin.map_or_else(|| step.grants.clone(), |grants| step.grants.clone().or(grants));
        let beside: Vec<_> = plugins[1..].iter().map(|plugin| plugin.digest.to_string()).collect();
        let spec = serde_json::to_string(&(
            step,
            settings.plugins.limits,
            &grants,
            &settings.plugins.deny_networks,
            beside,
        ))
        .map_err(as_json)?;
        let key = StepKey { route: route.name.clone(), index, digest: plugins[0].digest, spec };
        if let Some(known) = self.steps.get(&key) {
            return Ok((key, Arc::clone(known)));
        }
        let granted = self.grant(&grants, settings, route, index)?;
        let limits = limits(settings, step, plugins[0], &granted);
        let spec = StepSpec {
            route: route.name.clone(),
            index,
            plugin: Arc::clone(plugins[0]),
            settings: serde_json::to_string(&step.settings).map_err(as_json)?,
            limits,
            granted,
            on_error: step.on_error,
        };
        let made = self.start(spec.clone(), self.workers)?;
        let made = self.put_beside(made, &spec, (settings, step), &plugins[1..])?;
        Ok((key, Arc::new(made)))
    }

    fn start(&self, spec: StepSpec, workers: usize) -> Result<Step, String> {
        let metrics = self.metrics.step(&spec.route, spec.index, &spec.plugin.name, spec.plugin.digest);
        Step::prepare(spec, workers, metrics).map_err(|error| error.to_string())
    }

    /// The candidates in the order of [`settings::Step::plugins`].
    fn put_beside(
        &self,
        mut made: Step,
        spec: &StepSpec,
        (settings, step): (&Settings, &settings::Step),
        candidates: &[&Arc<Plugin>],
    ) -> Result<Step, String> {
        let mut candidates = candidates.iter();
        let spec_of = |plugin: &Arc<Plugin>, granted: Granted| StepSpec {
            plugin: Arc::clone(plugin),
            limits: limits(settings, step, plugin, &granted),
            granted,
            ..spec.clone()
        };
        if let Some(plugin) = step.shadow.as_ref().and_then(|_| candidates.next()) {
            // What it would do must not show, so its state is its own, and it asks nobody.
            let granted = spec.granted.without_effect(|| Arc::new(Bucket::new(spec.limits.state)));
            let beside = Beside::Shadow(Arc::new(self.start(spec_of(plugin, granted), 1)?));
            made = made.with(beside).map_err(|error| error.to_string())?;
        }
        if let (Some(canary), Some(plugin)) = (&step.canary, candidates.next()) {
            let spec = spec_of(plugin, spec.granted.clone());
            let beside = Beside::Canary(Arc::new(self.start(spec, self.workers)?), canary.percent);
            made = made.with(beside).map_err(|error| error.to_string())?;
        }
        Ok(made)
    }

    fn grant(
        &self,
        grants: &settings::Grants,
        settings: &Settings,
        route: &settings::Route,
        index: usize,
    ) -> Result<Granted, String> {
        let step = &route.steps[index];
        // A route may use a plugin twice; other steps may come and go between.
        let nth = || route.steps[..index].iter().filter(|earlier| earlier.plugin == step.plugin).count();
        let state = Limits::resolve(&step.limits, &settings.plugins.limits).state;
        let bucket = || self.buckets.of(&route.name, &step.plugin, nth(), state);
        let granted = Granted::new(grants, &settings.plugins.deny_networks, bucket)
            .map_err(|problem| format!("route {}: step {}: {problem}", route.name, index + 1))?;
        Ok(if self.on_trial { granted.asking_nobody() } else { granted })
    }
}

fn limits(settings: &Settings, step: &settings::Step, plugin: &Plugin, granted: &Granted) -> Limits {
    let resolve = if plugin.waits(granted) { Limits::waiting } else { Limits::resolve };
    resolve(&step.limits, &settings.plugins.limits)
}

/// The largest file of cases.
const CASES: Size = Size::mib(4);

/// Runs a plugin's cases, if there are any.
fn try_cases(plugin: &Arc<Plugin>, cases: &Path, file: &Path) -> Result<(), String> {
    let of = |problem: String| format!("plugin {}: {}: {problem}", plugin.name, cases.display());
    let yaml = match plugins::read_text(cases, CASES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| of(format!("cannot read it: {error}")))?,
    };
    let tried = Cases::parse(&yaml).and_then(|cases| cases.run(plugin)).map_err(of)?;
    match tried.iter().find(|tried| !tried.passed) {
        None => Ok(()),
        Some(failed) => Err(of(format!(
            "case {:?} fails: expected {}, found {}; `stagewire plugin test {}` shows the difference",
            failed.name,
            failed.expected,
            failed.found,
            file.display()
        ))),
    }
}
