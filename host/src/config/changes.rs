//! What a swap would change: the settings in force beside those that may follow them, as they may be shown.
//!
//! Secrets are hidden on both sides and not compared, by digest neither: whoever can ask for a digest can try passwords on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::backends;
use super::secrets::HIDDEN;
use super::settings::{Events, Settings};
use super::show::{hide, show_settings};

/// What under `host` comes into force with a swap; the rest waits for the next start.
const SWAPPED: [&str; 2] = ["host.delivery.", "host.max_hops"];
const NOT_SWAPPED: &str = "host.delivery.overflow";

/// Settings as they may be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Shown {
    /// The effective settings, secrets hidden.
    pub settings: Value,
    /// The backends, by the names that routes call them by.
    pub backends: BTreeMap<String, Value>,
    /// SHA-256 of the plugins that routes use, by their names.
    pub plugins: BTreeMap<String, String>,
}

/// A value that differs; null where there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where it stands: `events.dlq.max_retries`.
    pub key: String,
    /// As it is.
    pub from: Value,
    /// As it would be.
    pub to: Value,
}

/// What becomes of one of several things with names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// These of its values differ.
    Changed(Vec<Difference>),
}

/// What a swap would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Changes {
    /// Routes, by name.
    pub routes: BTreeMap<String, Fate>,
    /// The names of the routes that stay, as they are and as they would be ordered, where that differs.
    pub order: Option<[Vec<String>; 2]>,
    /// Plugins, by name; of one that changes, its digest.
    pub plugins: BTreeMap<String, Fate>,
    /// Backends, by name.
    pub backends: BTreeMap<String, Fate>,
    /// Other settings.
    pub settings: Vec<Difference>,
    /// Settings that come into force at the next start only.
    pub restart: Vec<Difference>,
    /// Where secrets stand, which are not compared.
    pub secrets: BTreeSet<String>,
}

impl Shown {
    /// Of settings, with the digests of the plugins that they use.
    pub fn of(settings: &Settings, plugins: BTreeMap<String, String>) -> Self {
        let backend = |spec: super::BackendSpec| {
            let mut shown =
                serde_json::json!({ "type": spec.kind, "config": spec.config, "delivery": spec.delivery });
            hide(&mut shown, "");
            (spec.name.to_string(), shown)
        };
        Self {
            settings: show_settings(settings),
            backends: backends(settings).into_iter().map(backend).collect(),
            plugins,
        }
    }

    /// The routes by name, and their names in order.
    fn routes(&self) -> (BTreeMap<String, Value>, Vec<String>) {
        let routes = self.settings["routes"].as_array().into_iter().flatten();
        let named: Vec<_> = routes
            .map(|route| (route["name"].as_str().unwrap_or_default().to_owned(), route.clone()))
            .collect();
        let order = named.iter().map(|(name, _)| name.clone()).collect();
        (named.into_iter().collect(), order)
    }

    /// All but routes and backends.
    fn rest(&self) -> Value {
        let mut rest = self.settings.clone();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove("routes");
        }
        if let Some(events) = rest.get_mut("events").and_then(Value::as_object_mut) {
            events.retain(|key, _| {
                !Events::KINDS.contains(&key.as_str()) && key != "backend" && key != "backends"
            });
        }
        rest
    }
}

impl Changes {
    /// What differs.
    pub fn between(now: &Shown, then: &Shown) -> Self {
        let ((routes, order), (next_routes, next_order)) = (now.routes(), then.routes());
        let staying = |order: Vec<String>| -> Vec<String> {
            order
                .into_iter()
                .filter(|name| routes.contains_key(name) && next_routes.contains_key(name))
                .collect()
        };
        let order = [staying(order), staying(next_order)];
        let digests = |plugins: &BTreeMap<String, String>| -> BTreeMap<String, Value> {
            plugins
                .iter()
                .map(|(name, digest)| (name.clone(), serde_json::json!({ "digest": digest })))
                .collect()
        };
        let mut all = Vec::new();
        differences("", &now.rest(), &then.rest(), &mut all);
        let waits = |difference: &Difference| {
            let key = &difference.key;
            key.starts_with("host.")
                && (key == NOT_SWAPPED || !SWAPPED.iter().any(|swapped| key.starts_with(swapped)))
        };
        let (restart, settings) = all.into_iter().partition(waits);
        let mut secrets = BTreeSet::new();
        hidden("", &then.rest(), &mut secrets);
        hidden("routes", &then.settings["routes"], &mut secrets);
        then.backends.iter().for_each(|(name, backend)| hidden(name, &backend["config"], &mut secrets));
        Self {
            routes: fates(&routes, &next_routes),
            order: (order[0] != order[1]).then_some(order),
            plugins: fates(&digests(&now.plugins), &digests(&then.plugins)),
            backends: fates(&now.backends, &then.backends),
            settings,
            restart,
            secrets,
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self { secrets: self.secrets.clone(), ..Self::default() }
    }
}

fn fates(now: &BTreeMap<String, Value>, then: &BTreeMap<String, Value>) -> BTreeMap<String, Fate> {
    let gone = now.keys().filter(|name| !then.contains_key(*name)).map(|name| (name.clone(), Fate::Removed));
    let others = then.iter().filter_map(|(name, value)| {
        let Some(before) = now.get(name) else { return Some((name.clone(), Fate::Added)) };
        let mut found = Vec::new();
        differences("", before, value, &mut found);
        (!found.is_empty()).then(|| (name.clone(), Fate::Changed(found)))
    });
    gone.chain(others).collect()
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn differences(path: &str, from: &Value, to: &Value, found: &mut Vec<Difference>) {
    match (from, to) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let [a, b] = [a, b].map(|map| map.get(key).unwrap_or(&Value::Null));
                differences(&below(path, key), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() && a.iter().all(Value::is_object) => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{index}]"), a, b, found);
            }
        }
        _ if from == to => {}
        _ => found.push(Difference { key: path.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

/// Notes where something hidden stands.
fn hidden(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.contains(HIDDEN) => {
            found.insert(path.to_owned());
        }
        Value::Object(map) => map.iter().for_each(|(key, value)| hidden(&below(path, key), value, found)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| hidden(&format!("{path}[{index}]"), item, found));
        }
        _ => {}
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, from, to } = self;
        write!(f, "{key}: {from} → {to}")
    }
}

impl fmt::Display for Changes {
    /// As a list for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            f.write_str("a swap would change nothing")?;
        }
        let mut first = true;
        let mut head = |f: &mut fmt::Formatter<'_>, word: &str| {
            f.write_str(if std::mem::take(&mut first) { "" } else { "\n" })?;
            f.write_str(word)
        };
        for (word, fates) in
            [("routes", &self.routes), ("plugins", &self.plugins), ("backends", &self.backends)]
        {
            if !fates.is_empty() {
                head(f, word)?;
            }
            for (name, fate) in fates {
                match fate {
                    Fate::Added => write!(f, "\n  + {name}")?,
                    Fate::Removed => write!(f, "\n  - {name}")?,
                    Fate::Changed(differences) => {
                        write!(f, "\n  ~ {name}")?;
                        differences.iter().try_for_each(|difference| write!(f, "\n      {difference}"))?;
                    }
                }
            }
            if let (Some([from, to]), "routes") = (&self.order, word) {
                head(f, "order of the routes")?;
                write!(f, "\n    {} → {}", from.join(", "), to.join(", "))?;
            }
        }
        for (word, differences) in [("settings", &self.settings), ("at the next start", &self.restart)] {
            if !differences.is_empty() {
                head(f, word)?;
            }
            differences.iter().try_for_each(|difference| write!(f, "\n  ~ {difference}"))?;
        }
        if !self.secrets.is_empty() {
            let secrets: Vec<_> = self.secrets.iter().map(String::as_str).collect();
            write!(f, "\nnot compared, because they are secret: {}", secrets.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;
    use super::*;

    fn shown(text: &str, digest: &str) -> Shown {
        let settings = load_text(text, &[]).unwrap().settings;
        Shown::of(&settings, [("redact".to_owned(), digest.to_owned())].into())
    }

    const NOW: &str = "
events:
  enabled: true
  backends:
    - type: local
    - { type: redis_streams, config: { url: 'redis://u:old@r:6379/1' } }
    - { type: webhook, name: stage3, config: { urls: ['https://a/'], headers: { X-API-Key: old } } }
routes:
  - { name: a, match: [{ exact: { type: x } }], deliver: [local] }
  - { name: b, deliver: [local] }
  - { name: c, deliver: [redis_streams, stage3] }
";

    #[test]
    fn a_swap_of_the_same_changes_nothing() {
        let now = shown(NOW, "sha256:1");
        let changes = Changes::between(&now, &now);
        assert!(changes.is_empty());
        insta::assert_snapshot!(changes, @"
        a swap would change nothing
        not compared, because they are secret: redis_streams.url, stage3.headers.X-API-Key
        ");
    }

    #[test]
    fn what_differs_is_listed_without_secrets() {
        let then = NOW
            .replace("old", "new")
            .replace("exact: { type: x }", "prefix: { type: x }")
            .replace("  - { name: b, deliver: [local] }\n", "")
            .replace("routes:\n", "routes:\n  - { name: d, deliver: [stage3] }\n")
            .replace("https://a/", "https://b/")
            .replace("    - type: local\n", "    - type: stdout\n    - type: local\n")
            .replace("  enabled: true\n", "  enabled: true\n  dlq: { max_retries: 5 }\n")
            + "host: { workers: 3, delivery: { batch: 7 } }\n";
        let changes = Changes::between(&shown(NOW, "sha256:1"), &shown(&then, "sha256:2"));
        insta::assert_snapshot!(changes, @r#"
        routes
          ~ a
              match[0].exact: {"type":"x"} → null
              match[0].prefix: null → {"type":"x"}
          - b
          + d
        plugins
          ~ redact
              digest: "sha256:1" → "sha256:2"
        backends
          ~ stage3
              config.urls: ["https://a/"] → ["https://b/"]
          + stdout
        settings
          ~ events.dlq.max_retries: 3 → 5
          ~ host.delivery.batch: null → 7
        at the next start
          ~ host.workers: null → 3
        not compared, because they are secret: redis_streams.url, stage3.headers.X-API-Key
        "#);
        let reversed =
            NOW.replace("name: a", "name: z").replace("name: b", "name: a").replace("name: z", "name: b");
        let changes = Changes::between(&shown(NOW, ""), &shown(&reversed, ""));
        assert_eq!(changes.order.unwrap()[1], ["b", "a", "c"]);
        assert!(!serde_json::to_string(&shown(&then, "")).unwrap().contains("new"));
    }
}
