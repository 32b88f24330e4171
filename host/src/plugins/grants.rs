//! What a plugin may reach beside `host`: nothing, unless its step grants it by name.

use std::fmt;
use std::sync::Arc;

use super::keyvalue::Bucket;

/// Something that a plugin imports and a step may grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// `stagewire:plugin/keyvalue`: state of the step's own.
    Keyvalue,
}

impl Grant {
    /// The grant that an import of our own package needs.
    pub(super) fn of(interface: &str) -> Option<Self> {
        (interface == "keyvalue").then_some(Self::Keyvalue)
    }

    /// What has to stand under `grants:`.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Keyvalue => "keyvalue: true",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyvalue => "keyvalue",
        })
    }
}

/// What a step grants, ready to be used.
#[derive(Clone, Debug, Default)]
pub struct Granted {
    /// The step's state.
    pub keyvalue: Option<Arc<Bucket>>,
}

impl Granted {
    /// What is granted, by name.
    pub(super) fn names(&self) -> Vec<Grant> {
        self.keyvalue.iter().map(|_| Grant::Keyvalue).collect()
    }

    /// What is needed and not granted.
    pub(super) fn lacks(&self, needed: &[Grant]) -> Option<Grant> {
        needed.iter().copied().find(|grant| match grant {
            Grant::Keyvalue => self.keyvalue.is_none(),
        })
    }
}
