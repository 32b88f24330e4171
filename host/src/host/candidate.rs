//! A set of routes with their plugins loaded, instantiated and configured, that may become the next snapshot.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Settings;
use crate::config::settings::{self, Limits};
use crate::names::{Digest, PluginName, RouteName};
use crate::plugins::{Engine, Plugin, Step, StepSpec};
use crate::telemetry::Metrics;

/// Loads plugins and prepares steps; what did not change since the last time is taken over, with its instances.
pub struct Workshop {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    workers: usize,
    plugins: HashMap<PluginName, Arc<Plugin>>,
    steps: HashMap<StepKey, Arc<Step>>,
}

#[derive(PartialEq, Eq, Hash)]
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
    plugins: HashMap<PluginName, Arc<Plugin>>,
    keys: HashMap<StepKey, Arc<Step>>,
}

impl Workshop {
    /// A workshop whose steps have one instance for each of so many workers.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, workers: usize) -> Self {
        Self { engine, metrics, workers, plugins: HashMap::new(), steps: HashMap::new() }
    }

    /// Loads, instantiates and configures everything that the routes name.
    ///
    /// # Errors
    /// Every problem at once, each a sentence that names the route, the plugin and the mend.
    pub fn prepare(&self, settings: &Settings) -> Result<Candidate, Vec<String>> {
        let mut problems = Vec::new();
        let plugins = self.load(settings, &mut problems);
        let mut candidate = Candidate { steps: Vec::new(), plugins, keys: HashMap::new() };
        for route in &settings.routes {
            let steps = route.steps.iter().enumerate();
            let steps = steps.filter_map(|(index, step)| {
                let plugin = candidate.plugins.get(&step.plugin)?;
                let made = self.step(settings, route, index, step, plugin);
                made.map_err(|problem| problems.push(problem)).ok()
            });
            let (keys, steps): (Vec<_>, Vec<_>) = steps.map(|(key, step)| ((key, Arc::clone(&step)), step)).unzip();
            candidate.keys.extend(keys);
            candidate.steps.push(steps);
        }
        if problems.is_empty() { Ok(candidate) } else { Err(problems) }
    }

    /// The candidate is in force: what it is made of will be taken over next time.
    pub fn adopt(&mut self, candidate: &mut Candidate) {
        self.plugins = std::mem::take(&mut candidate.plugins);
        self.steps = std::mem::take(&mut candidate.keys);
    }

    /// The plugins in force.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }

    fn load(&self, settings: &Settings, problems: &mut Vec<String>) -> HashMap<PluginName, Arc<Plugin>> {
        let mut plugins = HashMap::new();
        for step in settings.routes.iter().flat_map(|route| &route.steps) {
            if plugins.contains_key(&step.plugin) {
                continue;
            }
            match self.plugin(&settings.plugins.directory, &step.plugin) {
                Ok(plugin) => {
                    plugins.insert(step.plugin.clone(), plugin);
                }
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
        }
        plugins
    }

    fn plugin(&self, directory: &Path, name: &PluginName) -> Result<Arc<Plugin>, String> {
        let file = plugin_file(directory, name);
        let bytes = std::fs::read(&file)
            .map_err(|error| format!("plugin {name}: cannot read {}: {error}", file.display()))?;
        let digest = Digest::of(&bytes);
        if let Some(known) = self.plugins.get(name).filter(|known| known.digest() == digest) {
            return Ok(Arc::clone(known));
        }
        Plugin::load(&self.engine, name.clone(), &bytes).map_err(|error| error.to_string())
    }

    fn step(
        &self,
        settings: &Settings,
        route: &settings::Route,
        index: usize,
        step: &settings::Step,
        plugin: &Arc<Plugin>,
    ) -> Result<(StepKey, Arc<Step>), String> {
        let limits = merge(step.limits, settings.plugins.limits);
        let as_json = |error| format!("route {}: step {index}: cannot write its settings as JSON: {error}", route.name);
        let text = serde_json::to_string(&step.settings).map_err(as_json)?;
        let spec = serde_json::to_string(&(&step.settings, limits, step.on_error)).map_err(as_json)?;
        let key = StepKey { route: route.name.clone(), index, digest: plugin.digest(), spec };
        if let Some(known) = self.steps.get(&key) {
            return Ok((key, Arc::clone(known)));
        }
        let metrics = self.metrics.step(&route.name, index, &step.plugin);
        let spec = StepSpec {
            route: route.name.clone(),
            index,
            plugin: Arc::clone(plugin),
            settings: text,
            limits,
            on_error: step.on_error,
        };
        let made = Step::prepare(spec, self.workers, metrics).map_err(|error| error.to_string())?;
        Ok((key, Arc::new(made)))
    }
}

/// The file of a plugin.
pub fn plugin_file(directory: &Path, name: &PluginName) -> PathBuf {
    directory.join(format!("{name}.wasm"))
}

/// A step's own limits go before those of `plugins.limits`.
fn merge(step: Limits, general: Limits) -> Limits {
    Limits {
        time: step.time.or(general.time),
        memory: step.memory.or(general.memory),
        output: step.output.or(general.output),
        events: step.events.or(general.events),
    }
}
