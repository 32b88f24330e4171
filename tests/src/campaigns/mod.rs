//! Long campaigns: `cargo xtask soak` runs them in full, the suites run a short version of each.

pub mod brokers;
pub mod faults;
pub mod hostile;
pub mod kill;
pub mod swap;

use std::fmt;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use crate::checker::Verdict;

/// The backends that campaigns about brokers know.
pub const BACKENDS: [&str; 6] =
    ["redis_streams", "kafka", "kafka_in_sync", "jetstream", "rabbitmq", "webhook"];

/// Does something with the name and the type of each backend that was chosen.
macro_rules! each_backend {
    ($choice:expr, |$name:ident, $backend:ident| $does:block) => {
        each_backend!(@one $choice, $name, $backend, $does, "redis_streams", crate::Redis);
        each_backend!(@one $choice, $name, $backend, $does, "kafka", crate::Kafka);
        each_backend!(@one $choice, $name, $backend, $does, "kafka_in_sync", crate::KafkaInSync);
        each_backend!(@one $choice, $name, $backend, $does, "jetstream", crate::JetStream);
        each_backend!(@one $choice, $name, $backend, $does, "rabbitmq", crate::RabbitMq);
        each_backend!(@one $choice, $name, $backend, $does, "webhook", crate::Receiver);
    };
    (@one $choice:expr, $name:ident, $backend:ident, $does:block, $called:literal, $broker:ty) => {{
        type $backend = $broker;
        let $name = $called;
        if $choice.has($name) $does
    }};
}
use each_backend;

/// How much of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Enough to see that it would fail.
    Short,
    /// What the promises are measured by.
    Full,
}

impl Length {
    fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// What a campaign found, in lines for people.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<(String, String)>);

impl Findings {
    fn add(&mut self, what: &str, value: impl fmt::Display) {
        self.0.push((what.into(), value.to_string()));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, value)| writeln!(f, "  {what:<28} {value}"))
    }
}

/// What of a campaign about brokers.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Which of [`BACKENDS`]; none for all.
    pub backends: Vec<String>,
    /// What chance begins with.
    pub seed: u64,
}

impl Choice {
    fn has(&self, name: &str) -> bool {
        self.backends.is_empty() || self.backends.iter().any(|chosen| chosen == name)
    }
}

/// What became of each backend. One that fails does not keep the others from being tried.
#[derive(Default)]
struct Outcomes(Vec<(&'static str, Option<Verdict>)>);

impl Outcomes {
    async fn add(&mut self, name: &'static str, work: impl Future<Output = Verdict>) {
        // A panic has said what is wrong where it came from.
        let verdict = AssertUnwindSafe(work).catch_unwind().await.ok();
        self.0.push((name, verdict));
    }

    fn conclude(self, mut findings: Findings) -> Findings {
        let mut violated = Vec::new();
        for (name, verdict) in self.0 {
            if !verdict.as_ref().is_some_and(Verdict::is_clean) {
                violated.push(name);
            }
            let said = verdict.map(|verdict| verdict.to_string());
            findings.add(name, said.unwrap_or_else(|| "did not come to an end, see above".into()));
        }
        assert!(violated.is_empty(), "violated by {}\n{findings}", violated.join(", "));
        findings
    }
}
