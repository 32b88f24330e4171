//! Admission: between an ingress and the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;

use crate::Event;
use crate::config::Settings;
use crate::config::settings::PublishEvents;
use crate::ingress::{Intake, Refusal};
use crate::journal::{AppendError, Journal};
use crate::telemetry::Metrics;

/// The one door to the journal. Its rules are swapped with the snapshot.
pub struct Gate {
    journal: Journal,
    rules: ArcSwap<Rules>,
    stopping: AtomicBool,
    metrics: Arc<Metrics>,
}

struct Rules {
    enabled: bool,
    publish: PublishEvents,
}

impl Rules {
    fn new(settings: &Settings) -> Self {
        let events = settings.events.as_ref();
        Self {
            enabled: events.is_some_and(|events| events.enabled),
            publish: events.map(|events| events.publish_events.clone()).unwrap_or_default(),
        }
    }
}

impl Gate {
    /// A gate that is shut as the settings say.
    pub fn new(journal: Journal, settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let rules = ArcSwap::from_pointee(Rules::new(settings));
        Self { journal, rules, stopping: AtomicBool::new(false), metrics }
    }

    /// Takes over the rules of new settings.
    pub fn swap(&self, settings: &Settings) {
        self.rules.store(Arc::new(Rules::new(settings)));
    }

    /// Whether events are published at all.
    pub fn enabled(&self) -> bool {
        self.rules.load().enabled
    }

    /// Refuses everything from here on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn stopped(&self, count: u64) -> Refusal {
        self.metrics.refused("stopping", count);
        Refusal::Stopping
    }

    fn refuse(&self, error: AppendError, count: u64) -> Refusal {
        match error {
            AppendError::Full { retry_after } => {
                self.metrics.refused("journal_full", count);
                Refusal::Full { retry_after }
            }
            AppendError::Disk(error) => {
                self.metrics.refused("journal_disk", count);
                Refusal::Disk(error.to_string())
            }
            AppendError::Closed => self.stopped(count),
        }
    }
}

#[async_trait]
impl Intake for Gate {
    async fn accept(&self, mut events: Vec<Event>) -> Result<(), Refusal> {
        let count = events.len() as u64;
        if self.stopping.load(Ordering::Relaxed) {
            return Err(self.stopped(count));
        }
        {
            let rules = self.rules.load();
            if rules.enabled {
                events.retain(|event| rules.publish.allows(event.kind()));
                let dropped = count - events.len() as u64;
                if dropped > 0 {
                    self.metrics.dropped("publish_events", dropped);
                }
            } else {
                self.metrics.dropped("disabled", count);
                events.clear();
            }
        }
        let kept = events.len() as u64;
        if kept > 0 {
            self.journal.append(events).await.map_err(|error| self.refuse(error, kept))?;
        }
        self.metrics.received.inc_by(count);
        Ok(())
    }

    fn refused(&self, reason: &'static str, count: u64) {
        self.metrics.refused(reason, count);
    }
}
