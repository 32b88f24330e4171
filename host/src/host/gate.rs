//! Admission: between an ingress and the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::privacy::Privacy;
use crate::Event;
use crate::config::Settings;
use crate::config::settings::PublishEvents;
use crate::event::Value;
use crate::ingress::{Arrived, Intake, Refusal};
use crate::journal::{AppendError, Journal};
use crate::telemetry::Metrics;
use crate::trace::Tracer;

/// The extension attribute in which producers count how many events led to this one.
const HOPS: &str = "hops";

/// The one door to the journal. Its rules are swapped with the snapshot.
pub struct Gate {
    journal: Journal,
    rules: ArcSwap<Rules>,
    stopping: AtomicBool,
    metrics: Arc<Metrics>,
    tracer: Option<Tracer>,
}

struct Rules {
    enabled: bool,
    publish: PublishEvents,
    max_hops: i32,
    privacy: Privacy,
}

impl Rules {
    fn new(settings: &Settings, privacy: Privacy) -> Self {
        let events = settings.events.as_ref();
        Self {
            enabled: events.is_some_and(|events| events.enabled),
            publish: events.map(|events| events.publish_events.clone()).unwrap_or_default(),
            max_hops: settings.host.max_hops,
            privacy,
        }
    }

    /// Refuses the first event that has come round too often.
    fn check_hops(&self, events: &[Event]) -> Result<(), Refusal> {
        let hops = |event: &Event| match event.attribute(HOPS) {
            Some(Value::Integer(hops)) => hops,
            // A text in a header is a number all the same.
            Some(Value::String(text)) => text.parse().unwrap_or(0),
            _ => 0,
        };
        let Some(index) = events.iter().position(|event| hops(event) > self.max_hops) else { return Ok(()) };
        let message = format!(
            "`{HOPS}` is {}, and at most {} are allowed: events that answer one another without end",
            hops(&events[index]),
            self.max_hops
        );
        Err(Refusal::Rule { index, rule: "host.max_hops".into(), message })
    }
}

impl Gate {
    /// A gate that is shut as the settings say. It has its privacy rules with the first [`Gate::swap`]: till then nothing comes
    /// in.
    pub fn new(journal: Journal, settings: &Settings, metrics: Arc<Metrics>, tracer: Option<Tracer>) -> Self {
        let rules = ArcSwap::from_pointee(Rules::new(settings, Privacy::default()));
        Self { journal, rules, stopping: AtomicBool::new(false), metrics, tracer }
    }

    /// Takes over the rules of new settings.
    pub(super) fn swap(&self, settings: &Settings, privacy: Privacy) {
        self.rules.store(Arc::new(Rules::new(settings, privacy)));
    }

    /// Whether events are published at all.
    pub fn enabled(&self) -> bool {
        self.rules.load().enabled
    }

    /// Refuses everything from here on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether everything is refused, because the host ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// One count for a run of events of one type, which is what a batch mostly is.
    fn measure(&self, events: &[Event]) {
        for run in events.chunk_by(|one, next| one.kind() == next.kind()) {
            self.metrics.count_type(run[0].kind(), run.len() as u64);
            run.iter().for_each(|event| self.metrics.payload.observe(event.data().len() as f64));
        }
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
    async fn accept(&self, arrived: Arrived) -> Result<(), Refusal> {
        let Arrived { mut events, ingress, carried } = arrived;
        let count = events.len() as u64;
        if self.stopping.load(Ordering::Relaxed) {
            return Err(self.stopped(count));
        }
        {
            let rules = self.rules.load();
            rules.check_hops(&events).inspect_err(|_| self.metrics.refused("max_hops", count))?;
            if rules.enabled {
                events.retain(|event| rules.publish.allows(event.kind()));
                let dropped = count - events.len() as u64;
                if dropped > 0 {
                    self.metrics.dropped("publish_events", dropped);
                }
                let refused = |_: &Refusal| self.metrics.refused("privacy", count);
                rules.privacy.apply(&mut events, &self.metrics).inspect_err(refused)?;
            } else {
                self.metrics.dropped("disabled", count);
                events.clear();
            }
        }
        let kept = events.len() as u64;
        self.measure(&events);
        if kept > 0 {
            let arrivals = self.tracer.as_ref().map(|tracer| tracer.enter(&mut events, carried.as_ref()));
            let appended = self.journal.append(events).await;
            if let (Some(tracer), Some(arrivals)) = (&self.tracer, arrivals) {
                let refused = appended.as_ref().err().map(ToString::to_string);
                tracer.entered(arrivals, ingress, refused.as_deref());
            }
            appended.map_err(|error| self.refuse(error, kept))?;
        }
        self.metrics.received.inc_by(count);
        Ok(())
    }

    fn refused(&self, reason: &'static str, count: u64) {
        self.metrics.refused(reason, count);
    }
}
