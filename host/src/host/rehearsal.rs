//! A settings document that somebody sent: checked, and held against what is in force. Nothing of it comes into force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::candidate::Workshop;
use super::swap::{Swapper, with_default_route};
use super::trial::{Trial, Trials};
use crate::config::{self, Known, Reported, Settings};
use crate::journal::Record;
use crate::plugins::Engine;

/// Differences that are shown, of those that are counted.
const SHOWN: usize = 20;

/// Whether a document is in order.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Rehearsal {
    /// Whether it could come into force.
    pub valid: bool,
    /// What is wrong with it: everything at once.
    pub faults: Vec<Reported>,
    /// What is no fault, and still worth saying.
    pub warnings: Vec<String>,
}

/// What a document would change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Rehearsed {
    /// Whether it is in order; where it is not, nothing else is said.
    #[serde(flatten)]
    pub rehearsal: Rehearsal,
    /// Routes that come, go or change.
    pub routes: Changes,
    /// Backends that come, go or change; those that change are connected anew.
    pub backends: Changes,
    /// Whether something under `host:` differs, which comes into force with a restart only.
    pub restart: bool,
    /// Events of the journal that were tried on both.
    pub tried: usize,
    /// Of those, how many would come out otherwise.
    pub differing: usize,
    /// The first of them.
    pub differences: Vec<Otherwise>,
}

/// Names that come, go or change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Changes {
    /// New.
    pub added: Vec<String>,
    /// Gone.
    pub removed: Vec<String>,
    /// There before and after, and not the same.
    pub changed: Vec<String>,
}

/// An event that would come out otherwise. Without its data.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Otherwise {
    /// Its offset in the journal.
    pub offset: u64,
    /// `id`
    pub id: String,
    /// `type`
    #[serde(rename = "type")]
    pub kind: String,
    /// What the rules in force make of it, a line for each route that takes it.
    pub now: Vec<String>,
    /// What those of the document would.
    pub then: Vec<String>,
}

impl Changes {
    fn between<T: PartialEq>(now: &BTreeMap<String, T>, then: &BTreeMap<String, T>) -> Self {
        let names: BTreeSet<_> = now.keys().chain(then.keys()).collect();
        let mut changes = Self::default();
        for name in names {
            match (now.get(name), then.get(name)) {
                (None, _) => changes.added.push(name.clone()),
                (_, None) => changes.removed.push(name.clone()),
                (now, then) if now != then => changes.changed.push(name.clone()),
                _ => {}
            }
        }
        changes
    }
}

impl Rehearsal {
    fn refused(faults: Vec<Reported>) -> Self {
        Self { valid: false, faults, warnings: Vec::new() }
    }
}

impl Swapper {
    /// Checks a document as a reload would: the settings, and that each plugin starts with its settings. Blocks.
    pub fn check(&self, document: &str) -> Rehearsal {
        self.prepared(document).map_or_else(|refused| refused, |(_, _, rehearsal)| rehearsal)
    }

    /// Holds a document against what is in force, and tries events on both. Blocks.
    pub fn rehearse(&self, document: &str, events: impl Iterator<Item = Record>) -> Rehearsed {
        let (engine, then, rehearsal) = match self.prepared(document) {
            Ok(prepared) => prepared,
            Err(rehearsal) => return Rehearsed::nothing(rehearsal),
        };
        let now = self.in_force(|_, settings| settings.clone());
        let routes = |settings: &Settings| -> BTreeMap<_, _> {
            let routes = settings.routes.iter();
            routes.map(|route| (route.name.to_string(), serde_json::to_value(route).ok())).collect()
        };
        let backends = |settings: &Settings| -> BTreeMap<_, _> {
            let specs = config::backends(settings).into_iter();
            specs.map(|spec| (spec.name.to_string(), spec)).collect()
        };
        let mut rehearsed = Rehearsed {
            routes: Changes::between(&routes(&now), &routes(&then)),
            backends: Changes::between(&backends(&now), &backends(&then)),
            restart: now.host != then.host,
            ..Rehearsed::nothing(rehearsal)
        };
        if let Err(problems) = rehearsed.compare(&engine, &now, &then, events) {
            rehearsed.rehearsal.warnings.extend(problems);
        }
        rehearsed
    }

    fn prepared(&self, document: &str) -> Result<(Arc<Engine>, Settings, Rehearsal), Rehearsal> {
        let rules: Vec<PathBuf> = self.files().borrow().iter().map(|file| file.path.clone()).collect();
        let (engine, plugins) =
            self.in_force(|workshop, settings| (Arc::clone(workshop.engine()), settings.plugins.clone()));
        let keys = plugins.registries.values().filter_map(|registry| registry.public_key.clone());
        let keys: Vec<PathBuf> = keys.chain(plugins.public_key.clone()).collect();
        let environment = |name: &str| std::env::var(name).ok();
        let known = Known { rules: &rules, plugins: &plugins.directory, keys: &keys };
        let loaded = config::load_sent(document, &environment, known)
            .map_err(|faults| Rehearsal::refused(faults.reported()))?;
        let settings = with_default_route(&loaded.settings);
        let workshop = Workshop::for_trial(Arc::clone(&engine));
        workshop
            .prepare(&settings)
            .map_err(|problems| Rehearsal::refused(problems.into_iter().map(Reported::of).collect()))?;
        let rehearsal = Rehearsal { valid: true, faults: Vec::new(), warnings: loaded.unread };
        Ok((engine, settings, rehearsal))
    }
}

impl Rehearsed {
    fn nothing(rehearsal: Rehearsal) -> Self {
        Self {
            rehearsal,
            routes: Changes::default(),
            backends: Changes::default(),
            restart: false,
            tried: 0,
            differing: 0,
            differences: Vec::new(),
        }
    }

    fn compare(
        &mut self,
        engine: &Arc<Engine>,
        now: &Settings,
        then: &Settings,
        events: impl Iterator<Item = Record>,
    ) -> Result<(), Vec<String>> {
        let mut events = events.peekable();
        if events.peek().is_none() {
            return Ok(());
        }
        let (before, after) = (Trials::new(engine, now)?, Trials::new(engine, then)?);
        for Record { offset, event, at_ms } in events {
            let of = |trials: &Trials| trials.of(&event, at_ms).map_err(|problem| vec![problem]);
            let (before, after) = (of(&before)?, of(&after)?);
            self.tried += 1;
            let (now, then) = (outcome(&before), outcome(&after));
            let same = now == then && content(&before) == content(&after);
            if same {
                continue;
            }
            self.differing += 1;
            if self.differences.len() < SHOWN {
                let (id, kind) = (event.id().to_owned(), event.kind().to_owned());
                self.differences.push(Otherwise { offset, id, kind, now, then });
            }
        }
        Ok(())
    }
}

/// A line for each route that takes the event.
fn outcome(trials: &[Trial]) -> Vec<String> {
    let taken = trials.iter().filter(|trial| trial.matched);
    taken
        .map(|trial| {
            let steps = trial.steps.iter().map(|step| format!("{}: {}", step.plugin, step.verdict));
            let deliver = if trial.deliver.is_empty() { "nowhere".into() } else { trial.deliver.join(", ") };
            let end = format!("{} event(s) to {deliver}", trial.events.len());
            let way = [trial.route.clone()].into_iter().chain(steps).chain([end]);
            way.collect::<Vec<_>>().join(" → ")
        })
        .collect()
}

/// What would be delivered, and where.
fn content(trials: &[Trial]) -> Vec<(&[String], Vec<&str>)> {
    let delivered = trials.iter().filter(|trial| !trial.events.is_empty());
    delivered
        .map(|trial| (&trial.deliver[..], trial.events.iter().map(|event| event.get()).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_and_changes_is_told_apart() {
        let of = |pairs: &[(&str, u8)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let changes =
            Changes::between(&of(&[("a", 1), ("b", 1), ("c", 1)]), &of(&[("b", 2), ("c", 1), ("d", 1)]));
        assert_eq!(changes.added, ["d"]);
        assert_eq!(changes.removed, ["a"]);
        assert_eq!(changes.changed, ["b"]);
    }
}
