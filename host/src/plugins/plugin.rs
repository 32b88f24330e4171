//! One plugin file: what it is, whether it may be used, and its compiled code.

use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use wasmtime::component::Component;

use super::bindings::v0_1::{Description as Described, FilterPre, TransformPre};
use super::compiling::short;
use super::engine::{Engine, Pool};
use super::error::{PluginError, Refusal};
use super::grants::{Grant, Granted};
use super::instance::{Instance, Ready};
use super::limits::{Limits, why};
use super::said;
use super::voice::Voice;
use super::waiting::{Waiting, WaitingReady};
use super::wasi;
use crate::names::{Digest, PluginName};

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "PluginKind")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Keeps or drops an event.
    Filter,
    /// Hands out 0, 1 or n events for one.
    Transform,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "PluginDescription")]
pub struct Description {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its settings; empty where it has none.
    pub settings_schema: String,
}

/// A plugin that was checked and compiled.
pub struct Plugin {
    /// The file's name without `.wasm`.
    pub name: PluginName,
    /// The SHA-256 of the file.
    pub digest: Digest,
    /// Filter or transform.
    pub kind: Kind,
    /// Bytes of the file.
    pub size: usize,
    /// The interface version that it was written for.
    pub interface: Version,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// What a step must grant it.
    pub needs: Vec<Grant>,
    /// What a step may grant it: without, it is there and inert.
    pub takes: Vec<Grant>,
    description: Description,
    engine: Arc<Engine>,
    linked: Linked,
}

/// The plugin, linked to all that it imports. One that imports `wasi:http` runs apart alone; one that imports nothing that
/// waits, never.
struct Linked {
    near: Option<Ready>,
    apart: Option<WaitingReady>,
}

/// Grants that make a plugin wait for others.
const WAITING: [Grant; 3] = [Grant::Http, Grant::Filesystem, Grant::Clocks];

/// How long a plugin may describe itself: no event waits for it, and a runtime begins with it, on a machine that may be busy.
const DESCRIBING: Duration = Duration::from_secs(2);

const PACKAGE: &str = "stagewire:plugin/";
const IMPORTS: [&str; 5] = ["host", "event", "types", "emitting", "keyvalue"];

impl Plugin {
    /// Checks and compiles a component, or a core module that carries its world (what `cargo build --target
    /// wasm32-unknown-unknown` leaves).
    ///
    /// # Errors
    /// [`PluginError::Refused`] with the reason.
    pub fn load(engine: &Arc<Engine>, name: &PluginName, bytes: &[u8]) -> Result<Arc<Self>, PluginError> {
        Self::check(engine, name, bytes).map(Arc::new).map_err(|refusal| refusal.of(name))
    }

    /// What the plugin says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether it may wait with these grants, and so runs apart.
    pub fn waits(&self, granted: &Granted) -> bool {
        let may =
            |grant: &Grant| granted.has(*grant) && (self.needs.contains(grant) || self.takes.contains(grant));
        WAITING.iter().any(may)
    }

    pub(super) fn pool(&self) -> Result<Pool, PluginError> {
        self.engine.pool()
    }

    pub(super) fn instance(
        &self,
        limits: Limits,
        voice: Arc<Voice>,
        granted: &Granted,
    ) -> wasmtime::Result<Instance> {
        let near = self.linked.near.as_ref().ok_or_else(|| wasmtime::Error::msg("runs apart alone"))?;
        Instance::start(&self.engine, near, limits, voice, granted)
    }

    pub(super) async fn waiting(
        &self,
        limits: Limits,
        voice: Arc<Voice>,
        granted: &Granted,
    ) -> wasmtime::Result<Waiting> {
        let apart = self.linked.apart.as_ref().ok_or_else(|| wasmtime::Error::msg("never runs apart"))?;
        Waiting::start(&self.engine, apart, limits, voice, granted).await
    }

    fn check(engine: &Arc<Engine>, name: &PluginName, bytes: &[u8]) -> Result<Self, Refusal> {
        let digest = Digest::of(bytes);
        let component = engine.compiler.compile(&engine.wasm, bytes, digest)?;
        let ty = component.component_type();
        let exports: Vec<_> = ty.exports(&engine.wasm).map(|(name, _)| name.to_owned()).collect();
        let imports: Vec<_> = ty.imports(&engine.wasm).map(|(name, _)| name.to_owned()).collect();
        let (kind, interface) = world(&exports)?;
        imports.iter().try_for_each(|import| admit(import))?;
        let asks_for = |grant: &Grant| imports.iter().any(|import| Grant::of(import) == Some(*grant));
        let (needs, takes): (Vec<_>, Vec<_>) =
            Grant::ALL.into_iter().filter(asks_for).partition(|grant| grant.is_needed());
        let linked = Linked::new(engine, &component, kind, &needs, &takes)
            .map_err(|error| Refusal::Interface(short(&error)))?;
        let description = linked.describe(engine, name).map_err(Refusal::Describe)?;
        let (name, size, engine) = (name.clone(), bytes.len(), Arc::clone(engine));
        Ok(Self { name, digest, kind, size, interface, imports, needs, takes, description, engine, linked })
    }
}

impl Linked {
    fn new(
        engine: &Engine,
        component: &Component,
        kind: Kind,
        needs: &[Grant],
        takes: &[Grant],
    ) -> wasmtime::Result<Self> {
        let near = if needs.contains(&Grant::Http) {
            None
        } else {
            let linked = engine.near.instantiate_pre(component)?;
            Some(match kind {
                Kind::Filter => Ready::Filter(FilterPre::new(linked)?),
                Kind::Transform => Ready::Transform(TransformPre::new(linked)?),
            })
        };
        let apart = if needs.iter().chain(takes).any(|grant| WAITING.contains(grant)) {
            Some(WaitingReady::new(kind, engine.apart.instantiate_pre(component)?)?)
        } else {
            None
        };
        Ok(Self { near, apart })
    }

    /// Asks an instance that is granted nothing.
    fn describe(&self, engine: &Arc<Engine>, name: &PluginName) -> Result<Description, String> {
        let limits = Limits { time: DESCRIBING, ..Limits::default() };
        let voice = Voice::new("-".into(), 0, name.clone(), limits.log, None);
        let described = match (&self.near, &self.apart) {
            (Some(near), _) => Instance::start(engine, near, limits, voice, &Granted::default())
                .and_then(|mut instance| instance.describe()),
            (None, Some(apart)) => {
                let (asked, apart) = (Arc::clone(engine), apart.clone());
                let pool = engine.pool().map_err(|error| error.to_string())?;
                let described = pool.wait(async move {
                    Waiting::start(&asked, &apart, limits, voice, &Granted::default()).await?.describe().await
                });
                described.map_err(|error| error.to_string())?
            }
            (None, None) => Err(wasmtime::Error::msg("is linked to nothing")),
        };
        let about: Described = described.map_err(|error| format!("it {}", why(&error, &limits).0))?;
        if about.settings_schema.len() > said::SCHEMA {
            return Err(format!("its schema of settings has more than {} KiB", said::SCHEMA >> 10));
        }
        Ok(Description {
            name: said::lined(about.name, said::NAME),
            version: said::lined(about.version, said::NAME),
            description: said::lined(about.description, said::DESCRIPTION),
            settings_schema: about.settings_schema,
        })
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, digest, kind, interface, .. } = self;
        write!(f, "Plugin({name} {digest} {kind:?} {interface})")
    }
}

fn world(exports: &[String]) -> Result<(Kind, Version), Refusal> {
    let ours = exports.iter().find_map(|export| {
        let (interface, version) = export.strip_prefix(PACKAGE)?.split_once('@')?;
        let kind = match interface {
            "filtering" => Kind::Filter,
            "transforming" => Kind::Transform,
            _ => return None,
        };
        Some((kind, version))
    });
    let Some((kind, found)) = ours else {
        let found =
            if exports.is_empty() { "nothing".into() } else { said::lined(exports.join(", "), said::REASON) };
        return Err(Refusal::World { found });
    };
    match Version::parse(found) {
        Ok(version) if (version.major, version.minor) == (0, 1) => Ok((kind, version)),
        _ => Err(Refusal::Version { found: said::line(found, said::NAME) }),
    }
}

fn admit(import: &str) -> Result<(), Refusal> {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    if let Some(interface) = path.strip_prefix(PACKAGE) {
        let known = IMPORTS.contains(&interface) && version.starts_with("0.1.");
        return if known { Ok(()) } else { Err(Refusal::Version { found: said::line(version, said::NAME) }) };
    }
    let package = path.split_once('/').map_or(path, |(package, _)| package);
    if wasi::PACKAGES.contains(&package) && version.starts_with(wasi::VERSION) {
        return Ok(());
    }
    Err(Refusal::Import { import: said::line(import, said::NAME) })
}
