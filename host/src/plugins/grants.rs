//! What a plugin may reach beside `host`: nothing, unless its step grants it by name.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::keyvalue::Bucket;
use super::wasi::Http;
use crate::config::secrets;
use crate::config::settings::Grants;
use crate::networks::Guard;

/// Something that a plugin imports and a step may grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// `stagewire:plugin/keyvalue`: state of the step's own.
    Keyvalue,
    /// `wasi:http`: requests to the hosts that are named.
    Http,
    /// `wasi:clocks`: the time as it passes.
    Clocks,
    /// `wasi:random`: numbers that nobody foresees.
    Random,
    /// `wasi:filesystem`: directories to read.
    Filesystem,
    /// `wasi:cli/environment`: variables by their names.
    Environment,
}

impl Grant {
    /// Every grant there is.
    pub const ALL: [Self; 6] =
        [Self::Keyvalue, Self::Http, Self::Clocks, Self::Random, Self::Filesystem, Self::Environment];

    /// What an import is, without its version: a package, or one interface of it.
    fn import(self) -> &'static str {
        match self {
            Self::Keyvalue => "stagewire:plugin/keyvalue",
            Self::Http => "wasi:http/",
            Self::Clocks => "wasi:clocks/",
            Self::Random => "wasi:random/",
            Self::Filesystem => "wasi:filesystem/",
            Self::Environment => "wasi:cli/environment",
        }
    }

    /// The grant that an import is about.
    pub(super) fn of(import: &str) -> Option<Self> {
        let path = import.split('@').next().unwrap_or(import);
        let is_about = |grant: &Self| match grant.import() {
            package if package.ends_with('/') => path.starts_with(package),
            interface => path == interface,
        };
        Self::ALL.into_iter().find(is_about)
    }

    /// Whether a plugin that imports it is of no use without it. Language runtimes import the rest without needing it: it is
    /// inert then.
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Keyvalue | Self::Http)
    }

    /// What has to stand under `grants:`.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Keyvalue => "keyvalue: true",
            Self::Http => "http: [api.example.com]",
            Self::Clocks => "clocks: true",
            Self::Random => "random: true",
            Self::Filesystem => "filesystem: { /data: ./data }",
            Self::Environment => "environment: [NAME]",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyvalue => "keyvalue",
            Self::Http => "http",
            Self::Clocks => "clocks",
            Self::Random => "random",
            Self::Filesystem => "filesystem",
            Self::Environment => "environment",
        })
    }
}

/// What a step grants, ready to be used.
#[derive(Clone, Debug, Default)]
pub struct Granted {
    /// The step's state.
    pub keyvalue: Option<Arc<Bucket>>,
    /// Where it may send requests; none where nothing was granted.
    pub(super) http: Option<Arc<Http>>,
    pub(super) clocks: bool,
    pub(super) random: bool,
    /// Directories by the path at which the plugin sees them.
    pub(super) directories: Arc<[(String, PathBuf)]>,
    /// Variables with their values.
    pub(super) environment: Arc<[(String, String)]>,
}

impl Granted {
    /// What the settings grant. A variable that the environment has not is not seen by the plugin either.
    ///
    /// # Errors
    /// A directory that is not there, or a network that is none.
    pub fn new(
        grants: &Grants,
        deny_networks: &[String],
        keyvalue: impl FnOnce() -> Arc<Bucket>,
    ) -> Result<Self, String> {
        let http = if grants.http.is_empty() {
            None
        } else {
            let guard = Guard::new(deny_networks, "plugins.deny_networks")?;
            Some(Arc::new(Http::new(grants.http.clone(), guard)?))
        };
        for directory in grants.filesystem.values() {
            std::fs::read_dir(directory).map_err(|error| {
                format!("grants.filesystem: cannot read {}: {error}", directory.display())
            })?;
        }
        let directories = grants.filesystem.iter().map(|(seen, path)| (seen.clone(), path.clone()));
        let variable = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
        let environment: Arc<[_]> = grants.environment.iter().filter_map(variable).collect();
        environment.iter().for_each(|(name, value)| secrets::learn_variable(name, value));
        Ok(Self {
            keyvalue: grants.keyvalue.then(keyvalue),
            http,
            clocks: grants.clocks,
            random: grants.random,
            directories: directories.collect(),
            environment,
        })
    }

    /// What a plugin is tried out with: all that it can be given without reaching anything.
    pub(super) fn for_trial(bucket: Arc<Bucket>) -> Self {
        Self { keyvalue: Some(bucket), http: Some(Arc::default()), ..Self::default() }
    }

    /// The same for what is to have no effect: requests to nobody.
    #[must_use]
    pub fn asking_nobody(self) -> Self {
        Self { http: self.http.map(|_| Arc::default()), ..self }
    }

    /// The same for a candidate that is to have no effect: state of its own as well.
    #[must_use]
    pub fn without_effect(&self, bucket: impl FnOnce() -> Arc<Bucket>) -> Self {
        let keyvalue = self.keyvalue.as_ref().map(|_| bucket());
        Self { keyvalue, ..self.clone().asking_nobody() }
    }

    /// What is needed and not granted.
    pub(super) fn lacks(&self, needed: &[Grant]) -> Option<Grant> {
        needed.iter().copied().find(|grant| grant.is_needed() && !self.has(*grant))
    }

    /// Whether it grants that.
    pub fn has(&self, grant: Grant) -> bool {
        match grant {
            Grant::Keyvalue => self.keyvalue.is_some(),
            Grant::Http => self.http.is_some(),
            Grant::Clocks => self.clocks,
            Grant::Random => self.random,
            Grant::Filesystem => !self.directories.is_empty(),
            Grant::Environment => !self.environment.is_empty(),
        }
    }

    /// What it grants.
    pub fn list(&self) -> Vec<String> {
        let hosts = |http: &Arc<Http>| http.hosts().map(|hosts| format!("http: {hosts}")).collect();
        let hosts: Vec<_> = self.http.as_ref().map(hosts).unwrap_or_default();
        let directory = |(seen, path): &(String, PathBuf)| format!("filesystem: {seen}: {}", path.display());
        let simple = [Grant::Keyvalue, Grant::Clocks, Grant::Random];
        let simple = simple.into_iter().filter(|grant| self.has(*grant)).map(|grant| grant.to_string());
        let directories = self.directories.iter().map(directory);
        let environment = self.environment.iter().map(|(name, _)| format!("environment: {name}"));
        simple.chain(hosts).chain(directories).chain(environment).collect()
    }
}
