//! What a project says of itself where its language has a file for that.

use serde::Deserialize;

/// Name, version, description and world.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Manifest {
    pub(in super::super) name: String,
    pub(in super::super) version: String,
    #[serde(default)]
    pub(in super::super) description: String,
    #[serde(default)]
    pub(in super::super) world: String,
}

/// What a manifest of another tool has about the plugin beside that: its section `stagewire`.
#[derive(Default, Deserialize)]
pub(super) struct Stagewire {
    #[serde(default)]
    pub(super) world: String,
}

const WORLDS: [&str; 4] = ["filter", "transform", "stateful-filter", "stateful-transform"];

impl Manifest {
    /// The manifest, if its world is one; `place` says where that stands.
    pub(super) fn checked(self, place: &str) -> Result<Self, String> {
        if WORLDS.contains(&self.world.as_str()) {
            return Ok(self);
        }
        let found = if self.world.is_empty() { "nothing".into() } else { format!("{:?}", self.world) };
        Err(format!("{place} says {found}; write one of {}", WORLDS.join(", ")))
    }

    /// What the world exports: `filtering` or `transforming`.
    pub(super) fn interface(&self) -> &'static str {
        if self.world.ends_with("filter") { "filtering" } else { "transforming" }
    }

    /// Whether the world has state.
    pub(super) fn is_stateful(&self) -> bool {
        self.world.starts_with("stateful-")
    }

    /// Name, version and description as a JSON object.
    pub(super) fn about(&self) -> String {
        serde_json::json!({ "name": self.name, "version": self.version, "description": self.description })
            .to_string()
    }
}
