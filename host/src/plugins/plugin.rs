//! One plugin file: what it is, whether it may be used, and its compiled code.

use std::sync::Arc;

use semver::Version;

use super::bindings::v0_1::{FilterPre, TransformPre};
use super::compiling::short;
use super::engine::Engine;
use super::error::{PluginError, Refusal};
use super::grants::{Grant, Granted};
use super::instance::{Instance, Ready};
use super::limits::{Limits, why};
use super::said;
use super::voice::Voice;
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
    description: Description,
    engine: Arc<Engine>,
    ready: Ready,
}

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

    pub(super) fn instance(
        &self,
        limits: Limits,
        voice: Arc<Voice>,
        granted: &Granted,
    ) -> wasmtime::Result<Instance> {
        Instance::start(&self.engine, &self.ready, limits, voice, granted)
    }

    fn check(engine: &Arc<Engine>, name: &PluginName, bytes: &[u8]) -> Result<Self, Refusal> {
        let digest = Digest::of(bytes);
        let component = engine.compiler.compile(&engine.wasm, bytes, digest)?;
        let ty = component.component_type();
        let exports: Vec<_> = ty.exports(&engine.wasm).map(|(name, _)| name.to_owned()).collect();
        let imports: Vec<_> = ty.imports(&engine.wasm).map(|(name, _)| name.to_owned()).collect();
        let (kind, interface) = world(&exports)?;
        imports.iter().try_for_each(|import| admit(import))?;
        let needs = imports.iter().filter_map(|import| Grant::of(interface_of(import)?)).collect();
        let unfit = |error: wasmtime::Error| Refusal::Interface(short(&error));
        let linked = engine.linker.instantiate_pre(&component).map_err(unfit)?;
        let ready = match kind {
            Kind::Filter => Ready::Filter(FilterPre::new(linked).map_err(unfit)?),
            Kind::Transform => Ready::Transform(TransformPre::new(linked).map_err(unfit)?),
        };
        let description = describe(engine, &ready, name).map_err(Refusal::Describe)?;
        let (name, size, engine) = (name.clone(), bytes.len(), Arc::clone(engine));
        Ok(Self { name, digest, kind, size, interface, imports, needs, description, engine, ready })
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

/// `host` of `stagewire:plugin/host@0.1.0`.
fn interface_of(import: &str) -> Option<&str> {
    import.strip_prefix(PACKAGE)?.split('@').next()
}

fn admit(import: &str) -> Result<(), Refusal> {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    match path.strip_prefix(PACKAGE) {
        Some(interface) if IMPORTS.contains(&interface) && version.starts_with("0.1.") => Ok(()),
        Some(_) => Err(Refusal::Version { found: said::line(version, said::NAME) }),
        None => {
            let grant = path.split_once('/').map_or(path, |(package, _)| package);
            let shown = |text| said::line(text, said::NAME);
            Err(Refusal::Import { import: shown(import), grant: shown(grant) })
        }
    }
}

fn describe(engine: &Engine, ready: &Ready, name: &PluginName) -> Result<Description, String> {
    let limits = Limits::default();
    let voice = Voice::new("-".into(), 0, name.clone(), limits.log, None);
    let described = Instance::start(engine, ready, limits, voice, &Granted::default())
        .and_then(|mut instance| instance.describe());
    let about = described.map_err(|error| format!("it {}", why(&error, &limits).0))?;
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
