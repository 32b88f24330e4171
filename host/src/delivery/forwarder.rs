//! Dead letters on their way to `events.dlq.backend`: each stays in the embedded store until that backend confirms it.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Event;
use crate::backends::{Failure, Item, Target};
use crate::event::{Invalid, OwnedValue};
use crate::journal::{DeadLetter, DeadLetters, Place, key_hash};

const BATCH: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The task that carries letters away. It ends with [`Forwarder::stop`].
pub struct Forwarder {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Starts with the oldest letter in the store.
    pub fn start(target: Target, store: DeadLetters, runtime: &Handle) -> Self {
        let stop = CancellationToken::new();
        let carrier = Carrier { target, store, connected: false, after: 0, failures: 0 };
        let stopped = stop.clone();
        let work = async move { _ = stopped.run_until_cancelled(carrier.run()).await };
        Self { task: runtime.spawn(work), stop }
    }

    /// Ends it. Letters that were not confirmed stay in the store.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("carrying dead letters away ended by a panic; they stay in the store");
        }
    }
}

struct Carrier {
    target: Target,
    store: DeadLetters,
    connected: bool,
    /// Letters up to this number are gone, or were refused.
    after: u64,
    failures: u32,
}

impl Carrier {
    async fn run(mut self) {
        loop {
            let letters = self.next().await;
            if letters.is_empty() {
                self.store.arrived().await;
            } else if let Err(failure) = self.carry(letters).await {
                self.pause(&failure).await;
            } else {
                self.failures = 0;
            }
        }
    }

    async fn next(&self) -> Vec<DeadLetter> {
        let (store, after) = (self.store.clone(), self.after);
        tokio::task::spawn_blocking(move || store.after(after).take(BATCH).collect())
            .await
            .unwrap_or_default()
    }

    async fn carry(&mut self, letters: Vec<DeadLetter>) -> Result<(), Failure> {
        if !self.connected {
            self.target.backend.connect().await?;
            self.connected = true;
        }
        let item = |letter: &DeadLetter| {
            let event = carried(letter).unwrap_or_else(|_| letter.event.clone());
            Item { key: key_hash(event.ordering_key()), event, trace: None }
        };
        let items: Vec<Item> = letters.iter().map(item).collect();
        let outcomes = self.target.backend.publish(&items).await;
        let (mut gone, mut failed) = (Vec::new(), None);
        let mut reached = true;
        for (letter, outcome) in letters.iter().zip(outcomes) {
            match outcome {
                Ok(_) => gone.push(letter.id),
                Err(Failure::Reject(reason)) => {
                    tracing::warn!(
                        letter = letter.id,
                        "events.dlq.backend refused a dead letter, it stays in the store: {reason}"
                    );
                }
                Err(failure) => {
                    self.connected &= !matches!(failure, Failure::Reconnect(_));
                    failed.get_or_insert(failure);
                    reached = false;
                }
            }
            if reached {
                self.after = letter.id;
            }
        }
        self.remove(gone).await?;
        failed.map_or(Ok(()), Err)
    }

    async fn remove(&self, gone: Vec<u64>) -> Result<(), Failure> {
        let store = self.store.clone();
        let removed = tokio::task::spawn_blocking(move || store.remove(&gone)).await;
        removed.unwrap_or_else(|error| Err(error.to_string())).map(|_| ()).map_err(Failure::Retry)
    }

    async fn pause(&mut self, failure: &Failure) {
        if self.failures == 0 {
            tracing::warn!(address = %self.target.address, "dead letters wait in the store: {failure}");
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        let pause = match failure {
            Failure::BackOff(pause, _) => *pause,
            _ => longest.mul_f64(fastrand::f64()),
        };
        tokio::time::sleep(pause).await;
    }
}

/// The event as it was, with extension attributes that say why it is here.
fn carried(letter: &DeadLetter) -> Result<Event, Invalid> {
    let text = |text: &str| OwnedValue::String(text.replace(char::is_control, " "));
    let number = |number: u32| OwnedValue::Integer(i32::try_from(number).unwrap_or(i32::MAX));
    let mut draft = letter.event.edit();
    let mut set = |name: &str, value: OwnedValue| draft.set(name, Some(value));
    set("dlqreason", text(&letter.reason))?;
    set("dlqtries", number(letter.tries))?;
    set("dlqid", text(&letter.id.to_string()))?;
    if let Some(route) = &letter.route {
        set("dlqroute", text(route.as_str()))?;
    }
    let at = i64::try_from(letter.at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    if let Some(at) = at {
        set("dlqtime", text(&at.to_string()))?;
    }
    match &letter.place {
        Place::Backend(backend) => set("dlqbackend", text(backend.as_str()))?,
        Place::Step { index, plugin, digest } => {
            set("dlqstep", number(u32::try_from(*index).unwrap_or(u32::MAX)))?;
            set("dlqplugin", text(plugin.as_str()))?;
            set("dlqdigest", text(&digest.to_string()))?;
        }
    }
    draft.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Digest;

    #[test]
    fn a_letter_is_its_event_and_why() {
        let event = Event::builder("1", "s", "t").json(&b"{\"a\":1}"[..]).build().unwrap();
        let place = Place::Step { index: 1, plugin: "p".into(), digest: Digest([7; 32]) };
        let letter = DeadLetter {
            id: 9,
            event: event.clone(),
            reason: "two\nlines".into(),
            route: Some("r".into()),
            place,
            tries: 4,
            first_at_ms: 1,
            at_ms: 2_000,
        };
        let carried = carried(&letter).unwrap();
        assert_eq!((carried.id(), carried.data()), (event.id(), event.data()));
        let said: Vec<_> = carried.extensions().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            said,
            [
                &format!("dlqdigest={}", Digest([7; 32])) as &str,
                "dlqid=9",
                "dlqplugin=p",
                "dlqreason=two lines",
                "dlqroute=r",
                "dlqstep=1",
                "dlqtime=1970-01-01T00:00:02Z",
                "dlqtries=4"
            ]
        );
    }
}
