//! Reading settings: parse, interpolate, override, check everything, and only then make types of it.

use std::net::SocketAddr;
use std::path::Path;

use super::backends;
use super::check::{Schema, nearest};
use super::fault::{Fault, Faults, Source};
use super::read::{Env, Reading};
use super::schema;
use super::secrets;
use super::settings::{Admin, Events, Settings};
use super::tree::{Key, Node, Place, Value};
use super::watch::WatchedFile;

/// Settings that were read, and what from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every file and directory that was read, as it was then: what a change of makes a reload worth while.
    pub files: Vec<WatchedFile>,
    /// Where each value stands.
    pub(super) tree: Node,
    pub(super) sources: Vec<Source>,
}

/// Reads a settings file and the files it includes. Paths within count from the working directory, but for those of other
/// settings, rules and secrets, which count from the file that names them.
///
/// # Errors
/// Every fault at once, with every file that was looked at.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, Faults> {
    let mut reading = Reading::new(env);
    let mut tree = reading.whole(path).unwrap_or_else(Node::empty);
    reading.overrides(&mut tree);
    let settings = reading.check(&tree);
    let settings = settings.filter(|settings| {
        reading.relations(settings, &tree);
        true
    });
    let Reading { mut faults, watched: files, .. } = reading;
    if let Some(settings) = settings.filter(|_| faults.all.is_empty()) {
        return Ok(Loaded { settings, files, tree, sources: faults.sources });
    }
    faults.keep_secrets(&tree);
    faults.files = files;
    Err(faults)
}

impl Loaded {
    /// Opens every backend that is in force, and connects to none.
    ///
    /// # Errors
    /// What its kind refuses, each in its section.
    pub fn check_backends(&self) -> Result<(), Faults> {
        let enabled = self.settings.events.as_ref().is_some_and(|events| events.enabled);
        let specs = backends(&self.settings).into_iter().enumerate().filter(|_| enabled);
        let mut faults = Faults { sources: self.sources.clone(), ..Faults::default() };
        for (index, spec) in specs {
            let open = |kind: &crate::backends::Kind| {
                (kind.open)(spec.name.clone(), &spec.config, &self.settings.host.data).err()
            };
            let Some(problem) = crate::backends::find(&spec.kind).and_then(open) else { continue };
            let index = index.to_string();
            let single = self
                .tree
                .at(&["events"])
                .get(&spec.kind)
                .filter(|_| self.settings.events.as_ref().is_some_and(|events| events.backend.is_some()));
            let section = single.unwrap_or_else(|| self.tree.at(&["events", "backends", &index, "config"]));
            // Most begin with the key that they are about.
            let key: Vec<&str> = problem.split([':', ' ']).next().unwrap_or_default().split('.').collect();
            let place = section.at(&key).place.clone();
            faults.all.push(Fault::new(place, format!("backend {}: {problem}", spec.name)));
        }
        faults.keep_secrets(&self.tree);
        if faults.all.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Where the host of that settings file has its admin listener, as far as the file can be read: a file with faults
/// elsewhere is no reason not to reach a running host.
pub fn admin_address(path: &Path, env: Env<'_>) -> SocketAddr {
    let tree = Reading::new(env).whole(path);
    let listen = tree.and_then(|tree| match &tree.at(&["host", "admin", "listen"]).value {
        Value::Scalar { text, .. } => text.parse().ok(),
        _ => None,
    });
    listen.unwrap_or(Admin::default().listen)
}

impl Reading<'_> {
    /// `EVENTS_ENABLED`, `EVENTS_BACKEND` and `REDIS_EVENTS_URL` go before the file.
    fn overrides(&mut self, tree: &mut Node) {
        let variables: [(&str, &[&str]); 3] = [
            ("EVENTS_ENABLED", &["events", "enabled"]),
            ("EVENTS_BACKEND", &["events", "backend"]),
            ("REDIS_EVENTS_URL", &["events", "redis_streams", "url"]),
        ];
        for (variable, path) in variables {
            let Some(value) = (self.env)(variable).filter(|value| !value.is_empty()) else { continue };
            let file = self.faults.sources.len();
            let secret = secrets::within(&value);
            secrets::learn(&secret.iter().map(|range| value[range.clone()].to_owned()).collect::<Vec<_>>());
            let shown = (!secret.is_empty()).then(|| secrets::without(&value, secret.clone()));
            let text = secrets::starred(&value, secret).into();
            self.faults.sources.push(Source { path: format!("${variable}").into(), text });
            let place = Place { file, bytes: 0..value.len() };
            let value = if variable == "EVENTS_ENABLED" { value.to_lowercase() } else { value };
            let value = match value.as_str() {
                "1" | "yes" | "on" if variable == "EVENTS_ENABLED" => "true".into(),
                "0" | "no" | "off" if variable == "EVENTS_ENABLED" => "false".into(),
                _ => value,
            };
            let mut node = Node::text(place, value, variable == "EVENTS_ENABLED");
            if let Value::Scalar { shown: of_node, .. } = &mut node.value {
                *of_node = shown;
            }
            set(tree, path, node);
        }
    }

    /// Checks shape and types; makes the settings where they fit.
    fn check(&mut self, tree: &Node) -> Option<Settings> {
        let root = schema::of_settings();
        let before = self.faults.all.len();
        Schema::check(&root, tree, &mut self.faults.all);
        self.sections(tree);
        let faulty: Vec<_> = self.faults.all[before..].iter().map(|fault| fault.place().clone()).collect();
        // Without its unknown keys the rest may fit, so that what is wrong between its parts is said at once, too.
        let known = if faulty.is_empty() {
            tree.to_json()
        } else {
            let mut known = tree.clone();
            known.remove(&faulty);
            known.to_json()
        };
        match serde_json::from_value(filled(known)) {
            Ok(settings) => Some(settings),
            Err(_) if !faulty.is_empty() => None,
            Err(error) => {
                self.fault(Fault::new(tree.place.clone(), error.to_string()));
                None
            }
        }
    }

    /// The sections of backends, by their own schemas.
    fn sections(&mut self, tree: &Node) {
        let Some(events) = tree.get("events") else { return };
        for (name, root) in schema::of_backends() {
            let entries = events.get("backends").map(Node::items).unwrap_or_default().iter();
            let configs = entries
                .filter(|entry| is_text(entry.get("type"), name))
                .filter_map(|entry| entry.get("config"));
            for section in events.get(name).into_iter().chain(configs) {
                Schema::check(&root, section, &mut self.faults.all);
            }
        }
    }

    /// What names what: backends, routes, plugins, files.
    fn relations(&mut self, settings: &Settings, tree: &Node) {
        self.backends(settings, tree);
        self.routes(settings, tree);
        for (node, rule) in tree.at(&["privacy"]).items().iter().zip(&settings.privacy) {
            for (field, text) in node.at(&["fields"]).items().iter().zip(&rule.fields) {
                if let Err(problem) = stagewire_plugin::json::Path::parse(text) {
                    self.fault(Fault::new(field.place.clone(), problem));
                }
            }
        }
        if !settings.host.admin.listen.ip().is_loopback() {
            let place = tree.at(&["host", "admin", "listen"]).place.clone();
            let message = format!(
                "{} is not a loopback address; the admin API has no credentials yet",
                settings.host.admin.listen
            );
            self.fault(Fault::new(place, message).help("write 127.0.0.1:8081"));
        }
        if let Some(tls) = &settings.host.http.tls {
            let files = [
                ("certificate", Some(&tls.certificate)),
                ("key", Some(&tls.key)),
                ("client_authorities", tls.client_authorities.as_ref()),
            ];
            for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file?))) {
                if let Err(error) = std::fs::File::open(file) {
                    let place = tree.at(&["host", "http", "tls", key]).place.clone();
                    self.fault(Fault::new(place, format!("cannot read {}: {error}", file.display())));
                }
            }
        }
    }

    fn backends(&mut self, settings: &Settings, tree: &Node) {
        let Some(events) = &settings.events else { return };
        let known: Vec<&str> = crate::backends::KINDS.iter().map(|kind| kind.name).collect();
        if events.backend.is_some() && !events.backends.is_empty() {
            let place = tree.at(&["events", "backends"]).place.clone();
            let fault = Fault::new(place, "both backend and backends are given")
                .also(tree.at(&["events", "backend"]).place.clone());
            self.fault(fault.help("keep one of them"));
        }
        if events.enabled && events.backend.is_none() && events.backends.is_empty() {
            let place = tree.at(&["events", "enabled"]).place.clone();
            self.fault(
                Fault::new(place, "events are enabled, and there is no backend")
                    .help("add backend: local, or backends: […]"),
            );
        }
        if let Some(spec) = super::dead_letter_backend(settings)
            && !known.contains(&spec.kind.as_str())
        {
            let place = tree.at(&["events", "dlq", "backend"]).place.clone();
            let fault = Fault::new(place, format!("there is no backend {:?}", spec.kind));
            self.fault(fault.help(format!("name one of events.backends, or a type: {}", known.join(", "))));
        }
        let mut names: Vec<(crate::names::BackendName, Place)> = Vec::new();
        for (index, spec) in backends(settings).into_iter().enumerate() {
            let (entry, index) = (events.backend.is_none(), index.to_string());
            let place_of = |key: &str| {
                let path: &[&str] =
                    if entry { &["events", "backends", &index, key] } else { &["events", "backend"] };
                tree.at(path).place.clone()
            };
            let left_out = Events::KINDS.contains(&spec.kind.as_str());
            if !known.contains(&spec.kind.as_str()) {
                let message = if left_out {
                    format!("backend {} is left out of this build", spec.kind)
                } else {
                    format!("unknown backend type {:?}", spec.kind)
                };
                let near = nearest(&spec.kind, &known)
                    .filter(|_| !left_out)
                    .map(|near| format!("did you mean {near:?}? "))
                    .unwrap_or_default();
                // A disabled section may name what another build has.
                if events.enabled || !left_out {
                    self.fault(
                        Fault::new(place_of("type"), message)
                            .help(format!("{near}available: {}", known.join(", "))),
                    );
                }
            }
            if let Some((_, first)) = names.iter().find(|(name, _)| *name == spec.name) {
                let fault = Fault::new(place_of("name"), format!("two backends are called {:?}", spec.name))
                    .also(first.clone());
                self.fault(fault.help("give each a name: of its own"));
            }
            names.push((spec.name, place_of("type")));
        }
    }

    fn routes(&mut self, settings: &Settings, tree: &Node) {
        let specs = backends(settings);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let configured = match names.as_slice() {
            [] => "none is configured, in events.backend or events.backends".to_owned(),
            names => format!("configured: {}", names.join(", ")),
        };
        let mut seen: Vec<(&str, Place)> = Vec::new();
        for (index, route) in settings.routes.iter().enumerate() {
            let Some(node) = tree.at(&["routes"]).items().get(index) else { continue };
            let place = node.at(&["name"]).place.clone();
            if let Some((_, first)) = seen.iter().find(|(name, _)| *name == route.name.as_str()) {
                let fault = Fault::new(place.clone(), format!("two routes are called {:?}", route.name))
                    .also(first.clone());
                self.fault(fault.help("give each a name of its own"));
            }
            seen.push((route.name.as_str(), place));
            if route.deliver.is_empty() {
                let fault = Fault::new(
                    node.at(&["deliver"]).place.clone(),
                    format!("route {:?} delivers nowhere", route.name),
                );
                self.fault(fault.help(format!("name a backend; {configured}")));
            }
            for (target, name) in node.at(&["deliver"]).items().iter().zip(&route.deliver) {
                if !names.contains(&name.as_str()) {
                    let near = nearest(name.as_str(), &names)
                        .map(|near| format!("did you mean {near:?}? "))
                        .unwrap_or_default();
                    let help = format!("{near}{configured}");
                    self.fault(
                        Fault::new(target.place.clone(), format!("there is no backend {name:?}")).help(help),
                    );
                }
            }
            for (node, step) in node.at(&["steps"]).items().iter().zip(&route.steps) {
                for (key, name) in step.plugins() {
                    let node = node.at(&[key]);
                    // `canary` has its plugin one deeper.
                    let node = if key == "canary" { node.at(&["plugin"]) } else { node };
                    self.plugin(&settings.plugins.directory, node, name.as_str());
                }
            }
        }
    }

    fn plugin(&mut self, directory: &Path, node: &Node, name: &str) {
        if directory.join(format!("{name}.wasm")).is_file() {
            return;
        }
        let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let names: Vec<String> = files
            .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".wasm")?.to_owned()))
            .collect();
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = match nearest(name, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("put {name}.wasm there, or set plugins.directory"),
        };
        let fault =
            Fault::new(node.place.clone(), format!("there is no plugin {name:?} in {}", directory.display()));
        self.fault(fault.help(help));
    }
}

fn is_text(node: Option<&Node>, wanted: &str) -> bool {
    matches!(node.map(|node| &node.value), Some(Value::Scalar { text, .. }) if text == wanted)
}

/// Sets a value, and makes the sections on the way to it.
fn set(tree: &mut Node, path: &[&str], node: Node) {
    let Some((name, rest)) = path.split_first() else {
        *tree = node;
        return;
    };
    if !matches!(tree.value, Value::Map(_)) {
        tree.value = Value::Map(Vec::new());
    }
    if tree.get(name).is_none()
        && let Value::Map(entries) = &mut tree.value
    {
        entries.push((Key { place: node.place.clone(), name: (*name).to_owned() }, Node::empty()));
    }
    if let Some(next) = tree.get_mut(name) {
        set(next, rest, node);
    }
}

/// A key without a value counts as one that is not there.
fn filled(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, filled(value)))
            .collect(),
        serde_json::Value::Null => serde_json::Value::Object(serde_json::Map::new()),
        serde_json::Value::Array(items) => serde_json::Value::Array(items.into_iter().map(filled).collect()),
        other => other,
    }
}
