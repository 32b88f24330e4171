//! The task that looks at who reads from a backend: at a low rate, and off every event's way.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::lane::Shared;
use super::status::ConsumerStatus;
use crate::backends::{Backend, Reading, Watched};
use crate::journal::now_ms;

/// A broker is asked no more often, whatever the settings say.
const LEAST: Duration = Duration::from_millis(10);

/// A look that goes on; ends with its value.
pub(super) struct Watching {
    _task: AbortOnDropHandle<()>,
}

impl Watching {
    /// Starts, where the backend's settings name any consumers.
    pub(super) fn start(shared: &Arc<Shared>, backend: &dyn Backend) -> Option<Self> {
        let Some(watched) = backend.consumers() else {
            let before = std::mem::take(&mut shared.view.lock().consumers);
            before.iter().for_each(|gone| shared.metrics.consumers.show(&gone.name, None, None));
            return None;
        };
        let task = tokio::spawn(watch(watched, Arc::clone(shared)));
        Some(Self { _task: AbortOnDropHandle::new(task) })
    }
}

async fn watch(Watched { interval, mut watch }: Watched, shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(interval.max(LEAST));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let readings = watch.look().await;
        show(&shared, readings);
    }
}

fn show(shared: &Shared, readings: Vec<(String, Result<Reading, String>)>) {
    let at_ms = now_ms();
    let status = |(name, reading): (String, Result<Reading, String>)| match reading {
        Ok(Reading { lag, pending }) => ConsumerStatus { name, lag, pending, at_ms, error: None },
        Err(error) => ConsumerStatus { name, lag: None, pending: None, at_ms, error: Some(error) },
    };
    let now: Vec<_> = readings.into_iter().map(status).collect();
    let metrics = &shared.metrics.consumers;
    for consumer in &now {
        metrics.show(&consumer.name, consumer.lag, consumer.pending);
    }
    if now.iter().any(|consumer| consumer.error.is_some()) {
        metrics.failed();
    }
    let before = std::mem::replace(&mut shared.view.lock().consumers, now.clone());
    for gone in before.iter().filter(|gone| now.iter().all(|consumer| consumer.name != gone.name)) {
        metrics.show(&gone.name, None, None);
    }
    for consumer in &now {
        let known = before.iter().any(|one| one.name == consumer.name && one.error == consumer.error);
        if let Some(error) = consumer.error.as_ref().filter(|_| !known) {
            tracing::warn!(backend = %shared.name, consumer = consumer.name, "{error}");
        }
    }
}
