//! How a host is, with reasons: what stops it from taking events makes it unready, whatever else is wrong is said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::View;
use crate::delivery::{BreakerState, LaneStatus, State};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it should be.
    Ok,
    /// Events are taken in, and something is not as it should be.
    Degraded,
    /// Events cannot be taken in.
    Unready,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What it is: `journal`, `backend/NAME`.
    pub name: String,
    /// How it is.
    pub condition: Condition,
    /// Why it is not ok.
    pub reason: Option<String>,
}

/// How a host is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The worst of all.
    pub condition: Condition,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Check {
    fn new(name: impl Into<String>, condition: Condition, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into()).filter(|_| condition != Condition::Ok);
        Self { name: name.into(), condition, reason }
    }

    fn ok(name: impl Into<String>) -> Self {
        Self::new(name, Condition::Ok, "")
    }

    /// A backend that is down is no reason to take no events: they wait for it.
    fn lane(lane: &LaneStatus) -> Self {
        let error = lane.error.as_deref().unwrap_or("no answer yet");
        let reason = match lane {
            LaneStatus { paused: true, emptying: true, .. } => "drained and paused by an operator".into(),
            LaneStatus { paused: true, .. } => "paused by an operator".into(),
            LaneStatus { emptying: true, .. } => "an operator drains it".into(),
            LaneStatus { state: State::Down, .. } => format!("down: {error}"),
            LaneStatus { breaker: BreakerState::Open, .. } => format!("its breaker is open: {error}"),
            LaneStatus { full: true, .. } => "its overflow is full; its events wait in the journal".into(),
            _ => return Self::ok(format!("backend/{}", lane.name)),
        };
        Self::new(format!("backend/{}", lane.name), Condition::Degraded, reason)
    }
}

impl View {
    /// How the host is. Blocks for no longer than a look at its parts.
    pub fn health(&self) -> Health {
        let stats = self.journal.stats();
        let journal = match stats.writable {
            Err(error) => Check::new("journal", Condition::Unready, format!("it cannot write: {error}")),
            Ok(()) if stats.full => {
                let reason = "it has host.journal.max_unsettled; senders get 503 until backends catch up";
                Check::new("journal", Condition::Degraded, reason)
            }
            Ok(()) => Check::ok("journal"),
        };
        let ingress = if self.gate.is_stopping() {
            Check::new("ingress", Condition::Unready, "the host is stopping")
        } else {
            Check::ok("ingress")
        };
        let settings = match self.swapper.status().refused {
            Some(refused) => {
                let reason = format!("the last change was refused: {}", refused.problems.join("; "));
                Check::new("settings", Condition::Degraded, reason)
            }
            None => Check::ok("settings"),
        };
        let mut checks = vec![journal, ingress, settings];
        checks.extend(self.swapper.lanes().iter().map(|lane| Check::lane(&lane.status())));
        let suspended = self.swapper.suspended();
        checks.extend(suspended.iter().map(|plugin| {
            Check::new(format!("plugin/{plugin}"), Condition::Degraded, "suspended by an operator")
        }));
        let condition = checks.iter().map(|check| check.condition).max().unwrap_or(Condition::Ok);
        Health { condition, checks }
    }
}
