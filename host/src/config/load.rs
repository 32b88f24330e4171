//! Reading settings: parse, interpolate, override, check everything, and only then make types of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::backends;
use super::check::{Schema, nearest};
use super::fault::{Fault, Faults, Source};
use super::read::{Env, Reading};
use super::schema;
use super::secrets;
use super::settings::{Admin, Events, Plugins, Settings, Tls};
use super::tree::{Key, Node, Place, Value};
use super::watch::WatchedFile;
use crate::registry::PublicKey;

/// A token shorter than that can be guessed.
const TOKEN_CHARACTERS: usize = 16;

/// Settings that were read, and what from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every file and directory that was read, as it was then: what a change of makes a reload worth while.
    pub files: Vec<WatchedFile>,
    /// What of a document that was sent was checked as it is written.
    pub unread: Vec<String>,
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
    let tree = reading.whole(path).unwrap_or_else(Node::empty);
    reading.finish(tree)
}

/// Reads a settings document that somebody sent, to be checked. It gets at nothing of this machine that its sender does not know:
/// `${VAR}` and `${file:…}` stay as they are written (`${VAR:-default}` is its default), and it names no files but those.
///
/// # Errors
/// Every fault at once.
pub fn load_sent(text: &str, env: Env<'_>, known: Known<'_>) -> Result<Loaded, Faults> {
    let switches =
        |name: &str| matches!(name, "EVENTS_ENABLED" | "EVENTS_BACKEND").then(|| env(name)).flatten();
    let mut reading = Reading::sent(&switches, known);
    let tree = reading.document(text).unwrap_or_else(Node::empty);
    reading.finish(tree)
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

/// What a document that was sent may name of the host's files: those in force.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Files of settings and rules, and their directories.
    pub rules: &'a [PathBuf],
    /// `plugins.directory`
    pub plugins: &'a Path,
    /// Public keys that plugins are signed by.
    pub keys: &'a [PathBuf],
}

/// Where a host has its admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminPlace {
    /// `host.admin.listen`
    pub listen: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Where the host of that settings file has its admin listener, as far as the file can be read: a file with faults
/// elsewhere is no reason not to reach a running host.
pub fn admin_place(path: &Path, env: Env<'_>) -> AdminPlace {
    let tree = Reading::new(env).whole(path);
    let listen = tree.as_ref().and_then(|tree| match &tree.at(&["host", "admin", "listen"]).value {
        Value::Scalar { text, .. } => text.parse().ok(),
        _ => None,
    });
    let tls = tree.is_some_and(|tree| {
        let admin = tree.get("host").and_then(|host| host.get("admin"));
        admin.and_then(|admin| admin.get("tls")).is_some_and(|tls| matches!(tls.value, Value::Map(_)))
    });
    AdminPlace { listen: listen.unwrap_or(Admin::default().listen), tls }
}

impl Reading<'_> {
    fn finish(mut self, mut tree: Node) -> Result<Loaded, Faults> {
        self.overrides(&mut tree);
        let settings = self.check(&tree);
        let settings = settings.filter(|settings| {
            self.relations(settings, &tree);
            true
        });
        let Self { mut faults, watched: files, unread, .. } = self;
        if let Some(settings) = settings.filter(|_| faults.all.is_empty()) {
            return Ok(Loaded { settings, files, unread, tree, sources: faults.sources });
        }
        faults.keep_secrets(&tree);
        faults.files = files;
        Err(faults)
    }

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
        if let Some(known) = self.sent.filter(|known| known.plugins != settings.plugins.directory) {
            let place = tree.at(&["plugins", "directory"]).place.clone();
            let message = format!(
                "{} is not where the running host has its plugins",
                settings.plugins.directory.display()
            );
            let help = format!(
                "write {}: no other directory is read for a document that was sent",
                known.plugins.display()
            );
            return self.fault(Fault::new(place, message).help(help));
        }
        self.backends(settings, tree);
        self.pulled(&settings.plugins, tree.at(&["plugins"]));
        self.routes(settings, tree);
        for (node, rule) in tree.at(&["privacy"]).items().iter().zip(&settings.privacy) {
            for (field, text) in node.at(&["fields"]).items().iter().zip(&rule.fields) {
                if let Err(problem) = stagewire_plugin::json::Path::parse(text) {
                    self.fault(Fault::new(field.place.clone(), problem));
                }
            }
        }
        self.admin(&settings.host.admin, tree.at(&["host", "admin"]));
        self.tls(settings.host.http.tls.as_ref(), tree.at(&["host", "http", "tls"]));
    }

    fn admin(&mut self, admin: &Admin, node: &Node) {
        self.tls(admin.tls.as_ref(), node.at(&["tls"]));
        let beyond = !admin.listen.ip().is_loopback();
        if beyond && admin.tokens.is_empty() {
            let message = format!("{} is beyond loopback, and the admin API has no tokens", admin.listen);
            let fault = Fault::new(node.at(&["listen"]).place.clone(), message);
            self.fault(fault.help(
                "add host.admin.tokens: [{ name: ops, token: \"${ADMIN_TOKEN}\", role: operate }], or listen on 127.0.0.1:8081",
            ));
        }
        if beyond && admin.tls.is_none() && !admin.clear_text {
            let message = format!(
                "{} is beyond loopback, and tokens would cross the network in clear text",
                admin.listen
            );
            let fault = Fault::new(node.at(&["listen"]).place.clone(), message);
            self.fault(fault.help(
                "add host.admin.tls: { certificate: …, key: … }, or clear_text: true behind a proxy that speaks TLS",
            ));
        }
        for (index, token) in admin.tokens.iter().enumerate() {
            let index_text = index.to_string();
            let place = |key: &str| node.at(&["tokens", &index_text, key]).place.clone();
            if token.token.chars().count() < TOKEN_CHARACTERS {
                let message =
                    format!("the token of {:?} has fewer than {TOKEN_CHARACTERS} characters", token.name);
                let fault = Fault::new(place("token"), message);
                self.fault(fault.help("make one with `openssl rand -hex 32`"));
            }
            let earlier = &admin.tokens[..index];
            if token.name.is_empty() || earlier.iter().any(|other| other.name == token.name) {
                let fault =
                    Fault::new(place("name"), format!("{:?} does not say whose token it is", token.name));
                self.fault(fault.help("give each token a name of its own"));
            }
            if earlier.iter().any(|other| other.token == token.token) {
                let fault = Fault::new(place("token"), "two tokens are the same");
                self.fault(fault.help("who used it could not be told: make another"));
            }
        }
    }

    fn tls(&mut self, tls: Option<&Tls>, node: &Node) {
        // Whether a file is here is nothing to tell whoever sent a document.
        let Some(tls) = tls.filter(|_| self.sent.is_none()) else { return };
        let files = [
            ("certificate", Some(&tls.certificate)),
            ("key", Some(&tls.key)),
            ("client_authorities", tls.client_authorities.as_ref()),
        ];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file?))) {
            if let Err(error) = std::fs::File::open(file) {
                let place = node.at(&[key]).place.clone();
                self.fault(Fault::new(place, format!("cannot read {}: {error}", file.display())));
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
                    if !settings.plugins.pull.contains_key(name) {
                        self.plugin(&settings.plugins.directory, node, name.as_str());
                    }
                }
            }
        }
    }

    /// Plugins from registries, and keys.
    fn pulled(&mut self, plugins: &Plugins, node: &Node) {
        for name in plugins.pull.keys() {
            let place = node.at(&["pull"]).key(name.as_str()).clone();
            if name.as_str().is_empty() || name.as_str().contains(['/', '\\']) {
                let fault = Fault::new(place, format!("{:?} is no name of a plugin", name.as_str()));
                self.fault(
                    fault.help("write the name that steps call it by, like redact: registry.example.com/…"),
                );
            } else if plugins.directory.join(format!("{name}.wasm")).is_file() {
                let directory = plugins.directory.display();
                let message =
                    format!("plugin {name:?} is both a file in {directory} and pulled from a registry");
                self.fault(
                    Fault::new(place, message).help("take one of them away, or call this one something else"),
                );
            }
        }
        self.key(plugins.public_key.as_deref(), node.at(&["public_key"]));
        for (name, registry) in &plugins.registries {
            let section = node.at(&["registries"]).get(name);
            let section = section.unwrap_or(node);
            if name.contains("://") || name.ends_with('/') {
                let place = node.at(&["registries"]).key(name).clone();
                let fault = Fault::new(place, format!("{name:?} is nothing that a reference begins with"));
                self.fault(
                    fault.help("write it without a scheme and a slash at its end, like registry.example.com"),
                );
            }
            if registry.user.is_none() && registry.password.is_some() {
                let fault =
                    Fault::new(section.at(&["password"]).place.clone(), "a password is given, and no user");
                self.fault(fault.help("add user: …; registries that know tokens alone take any name"));
            }
            self.key(registry.public_key.as_deref(), section.at(&["public_key"]));
        }
    }

    /// A public key that plugins must be signed by.
    fn key(&mut self, file: Option<&Path>, node: &Node) {
        let Some(file) = file else { return };
        let fault = match self.sent {
            Some(known) if known.keys.iter().any(|key| key == file) => return,
            // Whether a file is here is nothing to tell whoever sent a document.
            Some(_) => {
                let message = format!("{} is no public key of the running host's", file.display());
                Fault::new(node.place.clone(), message)
                    .help("leave it out: no other file is read for a document that was sent")
            }
            None => {
                let Err(problem) = PublicKey::read(file) else { return };
                let (message, help) = problem.split_once("; ").unwrap_or((&problem, "name another file"));
                Fault::new(node.place.clone(), message).help(help)
            }
        };
        self.fault(fault);
    }

    fn plugin(&mut self, directory: &Path, node: &Node, name: &str) {
        if name.contains(['/', '\\']) {
            let fault =
                Fault::new(node.place.clone(), format!("{name:?} is a path, and plugins go by their name"));
            return self.fault(
                fault.help("write the file's name without .wasm; plugins.directory says where it is"),
            );
        }
        // What is there and no file is refused by whoever reads it, with the reason.
        if directory.join(format!("{name}.wasm")).exists() {
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
