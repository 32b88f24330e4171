//! What the screen is drawn from: one look at the host, by its admin API.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::latency::{Latencies, Quantiles};
use super::pages::Page;
use crate::cli::facts::Facts;
use crate::cli::tail::Seen;
use crate::cli::{AdminAddress, Failure};
use crate::journal::now_ms;

/// A host that is there answers sooner.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks, and remembers what rates and latencies need.
pub(super) struct Feed {
    host: AdminAddress,
    latencies: Latencies,
}

/// One look.
pub(super) struct Look {
    pub(super) at_ms: u64,
    /// Or why there is none.
    pub(super) picture: Result<Picture, String>,
}

/// What the host says of itself.
#[derive(Clone, Default)]
pub(super) struct Picture {
    pub(super) facts: Facts,
    /// The same as it came.
    status: Value,
    /// From acceptance to confirmation, by backend.
    pub(super) latency: Vec<(String, Quantiles)>,
    /// The oldest, where they are looked at.
    pub(super) letters: Vec<Letter>,
    /// The latest, where they are looked at.
    pub(super) events: Vec<Seen>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Letter {
    pub(super) id: u64,
    pub(super) reason: String,
    pub(super) route: Option<String>,
    pub(super) place: Place,
    pub(super) tries: u64,
    pub(super) event: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    pub(super) backend: Option<String>,
    pub(super) plugin: Option<String>,
}

impl Feed {
    pub(super) fn new(host: AdminAddress) -> Self {
        Self { host, latencies: Latencies::default() }
    }

    /// Looks once, at what that page shows.
    pub(super) async fn look(&mut self, page: Page) -> Look {
        let asked = tokio::time::timeout(PATIENCE, self.ask(page)).await;
        let picture = match asked {
            Ok(answer) => answer.map_err(|(Failure::Failed(message) | Failure::Usage(message))| message),
            Err(_) => Err(format!("the host has not answered within {} s", PATIENCE.as_secs())),
        };
        if picture.is_err() {
            self.latencies = Latencies::default();
        }
        Look { at_ms: now_ms(), picture }
    }

    async fn ask(&mut self, page: Page) -> Result<Picture, Failure> {
        let (facts, body) = Facts::of(&self.host).await?;
        self.latencies.note(&self.host.ask(reqwest::Method::GET, "/metrics").await?);
        let mut picture = Picture {
            facts,
            status: serde_json::from_str(&body)?,
            latency: self.latencies.quantiles(),
            ..Picture::default()
        };
        match page {
            Page::Letters => {
                picture.letters = serde_json::from_str(
                    &self.host.ask(reqwest::Method::GET, "/api/v1/dead-letters?limit=200").await?,
                )?;
            }
            Page::Events => {
                let path = "/api/v1/events?limit=100&outcome=true";
                picture.events = serde_json::from_str(&self.host.ask(reqwest::Method::GET, path).await?)?;
            }
            Page::Overview | Page::Routes | Page::Backends | Page::Problems => {}
        }
        Ok(picture)
    }
}

impl Look {
    /// As one line.
    pub(super) fn to_json(&self) -> Value {
        match &self.picture {
            Err(error) => json!({ "at_ms": self.at_ms, "error": error }),
            Ok(Picture { status, latency, .. }) => {
                let mut line = json!({ "at_ms": self.at_ms });
                let latency = latency.iter().map(|(backend, each)| (backend.clone(), json!(each)));
                if let (Value::Object(line), Value::Object(status)) = (&mut line, status) {
                    line.extend(status.iter().map(|(name, value)| (name.clone(), value.clone())));
                    line.insert("latency".into(), Value::Object(latency.collect()));
                }
                line
            }
        }
    }
}

impl Letter {
    pub(super) fn failed_at(&self) -> &str {
        let Place { backend, plugin } = &self.place;
        backend.as_deref().or(plugin.as_deref()).unwrap_or("-")
    }

    pub(super) fn attribute(&self, name: &str) -> &str {
        self.event[name].as_str().unwrap_or("-")
    }
}

#[cfg(test)]
impl Picture {
    /// What a host would say.
    pub(super) fn of(status: &str, metrics: &str) -> Self {
        let mut latencies = Latencies::default();
        latencies.note(metrics);
        Self {
            facts: serde_json::from_str(status).unwrap(),
            status: serde_json::from_str(status).unwrap(),
            latency: latencies.quantiles(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_status_with_time_and_latency() {
        let metrics = "stagewire_publish_latency_seconds_bucket{le=\"0.1\",backend=\"a\"} 4\nstagewire_publish_latency_seconds_bucket{le=\"+Inf\",backend=\"a\"} 4\n";
        let look = Look { at_ms: 5, picture: Ok(Picture::of(r#"{"generation": 3}"#, metrics)) };
        let line = look.to_json();
        assert_eq!((&line["at_ms"], &line["generation"]), (&json!(5), &json!(3)));
        assert_eq!(line["latency"]["a"]["p50_ms"], 50.0);
        let none = Look { at_ms: 6, picture: Err("no host".into()) };
        assert_eq!(none.to_json(), json!({ "at_ms": 6, "error": "no host" }));
    }
}
