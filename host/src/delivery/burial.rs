//! What becomes of events that are given up: kept with their reason, or dropped, as the settings say.

use prometheus_client::metrics::counter::Counter;

use super::pending::Pending;
use super::{GivenUp, Outgoing};
use crate::journal::{DeadLetter, DeadLetters, Owed, Place, now_ms};
use crate::names::BackendName;
use crate::provenance::Recorder;

pub(super) struct Burial {
    backend: BackendName,
    store: DeadLetters,
    dead: Counter,
}

impl Burial {
    pub(super) fn new(backend: BackendName, store: DeadLetters, dead: Counter) -> Self {
        Self { backend, store, dead }
    }

    /// Settles each event once it is safe among the dead letters, or dropped.
    pub(super) async fn bury(&self, given_up: Vec<(Pending, String)>, how: GivenUp, recorder: &mut Recorder) {
        if given_up.is_empty() {
            return;
        }
        let count = given_up.len() as u64;
        self.dead.inc_by(count);
        if how == GivenUp::Drop {
            tracing::warn!(backend = %self.backend, count, "given up and dropped (events.dlq.enabled is false): {}", given_up[0].1);
            return given_up.into_iter().for_each(|(pending, _)| pending.outgoing.owed.settle());
        }
        let at_ms = now_ms();
        for (Pending { outgoing, .. }, reason) in &given_up {
            let place = (outgoing.route.as_str(), self.backend.as_str());
            recorder.buried(outgoing.identity, place, at_ms, reason);
            let Outgoing { event, identity, route, .. } = outgoing;
            recorder.spans.buried(event, *identity, route, &self.backend, reason);
        }
        tracing::warn!(backend = %self.backend, count, "given up, kept as dead letters: {}", given_up[0].1);
        let (letters, owed): (Vec<_>, Vec<Owed>) =
            given_up.into_iter().map(|(pending, reason)| self.letter(pending, reason)).unzip();
        let store = self.store.clone();
        // The store blocks on an fsync.
        let kept = tokio::task::spawn_blocking(move || store.put(letters)).await;
        match kept.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(()) => owed.into_iter().for_each(Owed::settle),
            Err(error) => {
                tracing::error!(backend = %self.backend, error, "dead letters could not be kept; the events stay in the journal");
            }
        }
    }

    fn letter(&self, pending: Pending, reason: String) -> (DeadLetter, Owed) {
        let Pending { outgoing: Outgoing { event, at_ms, route, owed, .. }, tries } = pending;
        let place = Place::Backend(self.backend.clone());
        let letter = DeadLetter {
            id: 0,
            event,
            reason,
            route: Some(route),
            place,
            tries,
            first_at_ms: at_ms,
            at_ms: now_ms(),
        };
        (letter, owed)
    }
}
