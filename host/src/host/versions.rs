//! Promoting a candidate and going back to an earlier version of a plugin: a file put in place, and a swap.

use std::path::Path;

use serde::Serialize;

use super::history::{History, Version};
use super::sources::Sources;
use super::swap::{Refused, Swapper};
use crate::names::PluginName;
use crate::plugins::{Description, Kind, PluginUse};
use crate::registry::signature_file;

/// Where the versions are kept.
pub(super) fn history(data: &Path) -> History {
    History::new(data.join("plugin-versions"))
}

/// A plugin in force, with the versions that it can go back to.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct PluginInForce {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The reference that it was pulled by, if it is none of the directory's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Filter or transform.
    pub kind: Kind,
    /// The version of the interface that it was written for.
    pub interface: String,
    /// Bytes of its file.
    pub size: u64,
    /// What it says of itself.
    pub description: Description,
    /// What it needs of `grants`.
    pub needs: Vec<crate::plugins::Grant>,
    /// What it may be given by `grants`, and does without otherwise.
    pub takes: Vec<crate::plugins::Grant>,
    /// Kept versions that it can go back to, the last in force first; none of one that was pulled, which settings name by digest.
    pub versions: Vec<Version>,
    /// Where it is used, as a step's own and as a candidate.
    pub uses: Vec<PluginUse>,
    /// Whether an operator has suspended it.
    pub suspended: bool,
}

impl Swapper {
    /// The plugins in force. Blocks.
    pub fn plugins(&self) -> Vec<PluginInForce> {
        let suspended = self.suspended();
        let (in_force, pulled) = self.in_force(|workshop, settings| {
            (workshop.plugins().cloned().collect::<Vec<_>>(), settings.plugins.pull.clone())
        });
        let mut uses = self.uses();
        let mut plugins: Vec<_> = in_force
            .into_iter()
            .map(|plugin| PluginInForce {
                name: plugin.name.to_string(),
                digest: plugin.digest.to_string(),
                from: pulled.get(&plugin.name).map(ToString::to_string),
                kind: plugin.kind,
                interface: plugin.interface.to_string(),
                size: plugin.size as u64,
                description: plugin.description().clone(),
                needs: plugin.needs.clone(),
                takes: plugin.takes.clone(),
                versions: if pulled.contains_key(&plugin.name) {
                    Vec::new()
                } else {
                    self.history().versions(&plugin.name)
                },
                uses: uses.remove(&plugin.name).unwrap_or_default(),
                suspended: suspended.contains(&plugin.name),
            })
            .collect();
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        plugins
    }

    /// Puts an earlier version in place and swaps it in: the last one before, or the one whose digest begins so. Blocks.
    ///
    /// # Errors
    /// That there is none, or why the swap was refused; the plugin's file is then as it was.
    pub fn roll_back(&self, name: &PluginName, to: Option<&str>) -> Result<u64, Refused> {
        let (now, file) = self.in_force(|workshop, settings| {
            let now = workshop.plugin_in_force(name).map(|plugin| plugin.digest);
            (now, Sources::of(settings).file(name))
        });
        // A name that no rule gives is a path of somebody's choice.
        if now.is_none() {
            return Err(not_in_force(name));
        }
        self.is_a_file(name)?;
        let version = self.history().find(name, now, to).map_err(|problem| vec![problem])?;
        self.put_in_place(&version, &file)
    }

    /// Puts a step's candidate (its `shadow` or `canary`) in the plugin's place and swaps it in. Blocks.
    ///
    /// # Errors
    /// That there is none or more than one, or why the swap was refused; the plugin's file is then as it was.
    pub fn promote(&self, name: &PluginName, from: Option<&PluginName>) -> Result<u64, Refused> {
        let candidates = self.candidates_of(name);
        let candidate = match (from, candidates.as_slice()) {
            (Some(from), _) if candidates.contains(from) => from,
            (None, [only]) => only,
            (None, [_, _, ..]) => return Err(refusal(name, "several candidates; name one", &candidates)),
            (None, []) => return Err(refusal(name, "no candidate: no step names a shadow or canary", &[])),
            (Some(_), _) => return Err(refusal(name, "no such candidate", &candidates)),
        };
        self.is_a_file(name)?;
        self.is_a_file(candidate)?;
        let file = |name| self.in_force(|_, settings| Sources::of(settings).file(name));
        let (candidate, file) = (file(candidate), file(name));
        self.put_in_place(&candidate, &file)
    }

    /// What was pulled stands in the settings by its digest, and no file can be put in its place.
    fn is_a_file(&self, name: &PluginName) -> Result<(), Refused> {
        let pulled = self.in_force(|_, settings| Sources::of(settings).image(name).cloned());
        let Some(image) = pulled else { return Ok(()) };
        Err(vec![format!(
            "plugin {name} is pulled as {image}; change its digest in plugins.pull to use another version"
        )]
        .into())
    }

    fn candidates_of(&self, name: &PluginName) -> Vec<PluginName> {
        let mut candidates: Vec<PluginName> = self.in_force(|_, settings| {
            let steps = settings.routes.iter().flat_map(|route| &route.steps);
            let beside = steps.filter(|step| step.plugin == *name).flat_map(|step| step.plugins().skip(1));
            beside.map(|(_, other)| other.clone()).collect()
        });
        candidates.sort();
        candidates.dedup();
        candidates
    }

    fn put_in_place(&self, from: &Path, file: &Path) -> Result<u64, Refused> {
        let cannot = |error: std::io::Error| {
            Refused::from(vec![format!(
                "cannot put {} in place of {}: {error}",
                from.display(),
                file.display()
            )])
        };
        let (before, next) = (Placed::read(file).map_err(cannot)?, Placed::read(from).map_err(cannot)?);
        next.write(file).map_err(cannot)?;
        self.reload_blocking().inspect_err(|_| {
            // What was refused does not lie there for the next start.
            if let Err(error) = before.write(file) {
                tracing::error!(%error, file = %file.display(), "cannot put the plugin's file back");
            }
        })
    }
}

/// A plugin's file, with its signature where it has one.
struct Placed {
    wasm: Vec<u8>,
    signature: Option<Vec<u8>>,
}

impl Placed {
    fn read(wasm: &Path) -> std::io::Result<Self> {
        Ok(Self { wasm: std::fs::read(wasm)?, signature: std::fs::read(signature_file(wasm)).ok() })
    }

    fn write(&self, wasm: &Path) -> std::io::Result<()> {
        let beside = signature_file(wasm);
        match &self.signature {
            Some(signature) => replace(&beside, signature)?,
            None if beside.exists() => std::fs::remove_file(&beside)?,
            None => {}
        }
        replace(wasm, &self.wasm)
    }
}

/// Beside the file, under a name that is no plugin's: renamed in one step.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut half = file.as_os_str().to_owned();
    half.push(".writing");
    std::fs::write(&half, bytes).and_then(|()| std::fs::rename(&half, file))
}

/// No step in force has that plugin.
pub(super) fn not_in_force(name: &PluginName) -> Refused {
    vec![format!("no step in force has a plugin {:?}", name.as_str())].into()
}

fn refusal(name: &PluginName, why: &str, candidates: &[PluginName]) -> Refused {
    let known: Vec<_> = candidates.iter().map(PluginName::as_str).collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    vec![format!("plugin {name} has {why}{known}")].into()
}
