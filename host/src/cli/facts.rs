//! What a running host says of itself, as `status` and `top` read it. A host of another version may say less: what is missing
//! is nothing.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use serde::Deserialize;

use super::{AdminAddress, Failure};

/// `GET /api/v1/status`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) enabled: bool,
    pub(super) generation: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) rates: Rates,
    pub(super) routes: Vec<String>,
    pub(super) steps: Vec<Step>,
    pub(super) journal: Journal,
    pub(super) lanes: Vec<Lane>,
    pub(super) dead_letters: u64,
    pub(super) refused: Option<Refused>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    pub(super) severity: String,
    pub(super) what: String,
    pub(super) cause: String,
    pub(super) next: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rates {
    pub(super) received: f64,
    pub(super) refused: f64,
    pub(super) unmatched: f64,
    pub(super) dropped: f64,
    pub(super) published: f64,
    pub(super) failures: f64,
    pub(super) routes: BTreeMap<String, f64>,
    pub(super) lanes: BTreeMap<String, LaneRates>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LaneRates {
    pub(super) published: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    pub(super) route: String,
    /// Its place in the route, from 0.
    #[serde(rename = "step")]
    pub(super) index: u64,
    pub(super) plugin: String,
    pub(super) digest: String,
    pub(super) kept: u64,
    pub(super) dropped: u64,
    pub(super) failed: u64,
    pub(super) traps: u64,
    pub(super) memory: Option<u64>,
    pub(super) state: Option<u64>,
    pub(super) replaced: u64,
    pub(super) shadow: Option<Shadow>,
    pub(super) canary: Option<Canary>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shadow {
    pub(super) plugin: String,
    pub(super) compared: u64,
    pub(super) differed: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Canary {
    pub(super) plugin: String,
    pub(super) percent: f64,
    pub(super) events: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Journal {
    pub(super) next: u64,
    pub(super) unsettled: u64,
    pub(super) bytes: u64,
    writable: Option<Writable>,
}

#[derive(Clone, Debug, Deserialize)]
enum Writable {
    Ok(()),
    Err(String),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) address: String,
    state: String,
    breaker: String,
    paused: bool,
    emptying: bool,
    full: bool,
    pub(super) error: Option<String>,
    pub(super) queued: u64,
    pub(super) overflow_bytes: u64,
    pub(super) waits_ms: Option<u64>,
    pub(super) publish_ms: Option<f64>,
    pub(super) delivered: u64,
    pub(super) failures: u64,
    pub(super) retries: u64,
    pub(super) dead: u64,
    pub(super) consumers: Vec<Consumer>,
}

/// Who reads from a backend.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) lag: Option<u64>,
    pub(super) pending: Option<u64>,
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refused {
    pub(super) problems: Vec<String>,
}

/// How well something is; words say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Doubtful,
    Ill,
}

impl Facts {
    /// Asks the host. The text too, as it came.
    pub(super) async fn of(host: &AdminAddress) -> Result<(Self, String), Failure> {
        let body = host.ask(reqwest::Method::GET, "/api/v1/status").await?;
        let facts = serde_json::from_str(&body).map_err(|error| {
            Failure::Failed(format!("{} does not answer as a host: {error}", host.base()))
        })?;
        Ok((facts, body))
    }
}

impl Problem {
    pub(super) fn health(&self) -> Health {
        if self.severity == "warning" { Health::Doubtful } else { Health::Ill }
    }
}

impl Journal {
    /// Why it cannot write, if so.
    pub(super) fn problem(&self) -> Option<&str> {
        match &self.writable {
            Some(Writable::Err(problem)) => Some(problem),
            Some(Writable::Ok(())) | None => None,
        }
    }
}

impl Lane {
    /// How it is, in a word or two.
    pub(super) fn health(&self) -> (Health, &'static str) {
        match (self.state.as_str(), self.breaker.as_str()) {
            _ if self.paused => (Health::Doubtful, "paused"),
            _ if self.emptying => (Health::Doubtful, "draining"),
            (_, "open") => (Health::Ill, "breaker open"),
            ("down", _) => (Health::Ill, "down"),
            ("connecting", _) => (Health::Doubtful, "connecting"),
            (_, "half_open") => (Health::Doubtful, "trying again"),
            _ if self.full => (Health::Doubtful, "full"),
            _ if self.error.is_some() => (Health::Doubtful, "with errors"),
            _ => (Health::Well, "up"),
        }
    }

    /// `closed`, `open` or `half open`.
    pub(super) fn breaker(&self) -> String {
        self.breaker.replace('_', " ")
    }
}

/// A rate for people: `0/s`, `3.2/s`, `12,345/s`.
pub(super) fn rate(each: f64) -> String {
    if each > 0.0 && each < 10.0 { format!("{each:.1}/s") } else { format!("{}/s", count_of(each)) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and not below nothing")]
fn count_of(number: f64) -> String {
    count(number.max(0.0).round() as u64)
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// `1.18 MiB`
pub(super) fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// A length of time: `350 µs`, `12 ms`, `3.4 s`, `5 min`, `2 h 10 min`.
pub(super) fn time(ms: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, and not below nothing"
    )]
    let whole = (ms.max(0.0) / 1_000.0) as u64;
    match ms {
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1_000.0),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 10_000.0 => format!("{:.1} s", ms / 1_000.0),
        _ => match (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60) {
            (0, 0, 0) => format!("{whole} s"),
            (0, 0, minutes) => format!("{minutes} min"),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, hours, _) => format!("{days} d {hours} h"),
        },
    }
}

/// Enough of a digest to tell versions apart.
pub(super) fn version(digest: &str) -> &str {
    let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_people() {
        assert_eq!([0.0, 0.25, 12.4, 1_234.0].map(rate), ["0/s", "0.2/s", "12/s", "1,234/s"]);
        let times = [0.35, 12.0, 3_400.0, 59_000.0, 300_000.0, 7_800_000.0, 90_000_000.0];
        assert_eq!(times.map(time), ["350 µs", "12 ms", "3.4 s", "59 s", "5 min", "2 h 10 min", "1 d 1 h"]);
        assert_eq!(version("sha256:0123456789abcdef"), "0123456789ab");
    }

    #[test]
    fn a_host_that_says_less_is_read_too() {
        let facts: Facts = serde_json::from_str(
            r#"{"version": "0.1.0", "generation": 2, "lanes": [{"name": "a", "state": "up", "new": 1}],
                "journal": {"writable": {"Ok": null}}}"#,
        )
        .unwrap();
        assert_eq!((facts.generation, facts.lanes[0].health()), (2, (Health::Well, "up")));
        assert_eq!(facts.journal.problem(), None);
        let full: Journal = serde_json::from_str(r#"{"writable": {"Err": "no room"}}"#).unwrap();
        assert_eq!(full.problem(), Some("no room"));
    }
}
