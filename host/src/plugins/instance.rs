//! One instance of a plugin: its store, its exports, and one call at a time.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use wasmtime::{Error, Store};

use super::bindings::v0_1::filter::{Filter, FilterPre};
use super::bindings::v0_1::transform::{Transform, TransformPre};
use super::bindings::v0_1::{Description, Error as GuestError, Verdict, host, types};
use super::emitter::{Emitter, Handing, Output};
use super::engine::Engine;
use super::lent::Lent;
use super::limits::{Budget, Limits};
use super::step::{Failed, Outcome};
use super::voice::Voice;
use crate::event::Event;

/// What a store holds for its guest.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) output: Output,
    event: Option<Event>,
    budget: Budget,
    voice: Arc<Voice>,
    counts: Vec<(String, Option<Counter>)>,
}

impl State {
    pub(super) fn event(&self) -> wasmtime::Result<&Event> {
        self.event.as_ref().ok_or_else(|| Error::msg("no event is lent outside of a call"))
    }
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        self.voice.log(level, &message);
        Ok(())
    }

    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        let known = self.counts.iter().find(|(known, _)| *known == name);
        let counter = if let Some((_, counter)) = known {
            counter.clone()
        } else {
            let counter = self.voice.counter(&name);
            // Twice the most: names that were refused are remembered too, but not without end.
            if self.counts.len() < 2 * crate::telemetry::StepMetrics::MOST_COUNTS {
                self.counts.push((name, counter.clone()));
            }
            counter
        };
        if let Some(counter) = counter {
            counter.inc_by(by);
        }
        Ok(())
    }
}

/// A plugin that is linked and can be instantiated again and again.
#[derive(Clone)]
pub(super) enum Ready {
    Filter(FilterPre<State>),
    Transform(TransformPre<State>),
}

enum Exports {
    Filter(Filter),
    Transform(Transform),
}

/// One instance with its store. After a trap both are spoilt: throw it away.
pub(super) struct Instance {
    store: Store<State>,
    exports: Exports,
}

impl Instance {
    pub(super) fn start(
        engine: &Engine,
        ready: &Ready,
        limits: Limits,
        voice: Arc<Voice>,
    ) -> wasmtime::Result<Self> {
        let state = State {
            limits,
            output: Output::default(),
            event: None,
            budget: Budget::new(limits.memory),
            voice,
            counts: Vec::new(),
        };
        let mut store = Store::new(&engine.wasm, state);
        store.limiter(|state| &mut state.budget);
        store.set_epoch_deadline(limits.ticks());
        // A guest may point many strings of one list at the same bytes: what is read out of it is bounded as well.
        let fuel = limits.memory.saturating_add(limits.output).saturating_mul(2);
        store.set_hostcall_fuel(usize::try_from(fuel).unwrap_or(usize::MAX));
        let exports = match ready {
            Ready::Filter(ready) => Exports::Filter(ready.instantiate(&mut store)?),
            Ready::Transform(ready) => Exports::Transform(ready.instantiate(&mut store)?),
        };
        Ok(Self { store, exports })
    }

    pub(super) fn describe(&mut self) -> wasmtime::Result<Description> {
        self.wind();
        match &self.exports {
            Exports::Filter(filter) => filter.stagewire_plugin_filtering().call_describe(&mut self.store),
            Exports::Transform(transform) => {
                transform.stagewire_plugin_transforming().call_describe(&mut self.store)
            }
        }
    }

    pub(super) fn configure(&mut self, settings: &str) -> wasmtime::Result<Result<(), String>> {
        self.wind();
        match &self.exports {
            Exports::Filter(filter) => {
                filter.stagewire_plugin_filtering().call_configure(&mut self.store, settings)
            }
            Exports::Transform(transform) => {
                transform.stagewire_plugin_transforming().call_configure(&mut self.store, settings)
            }
        }
    }

    /// One event. An error means that the guest broke and the instance must go.
    pub(super) fn process(&mut self, event: &Event) -> wasmtime::Result<Outcome> {
        self.wind();
        // A reference count; the event lies in the store's data for the length of the call.
        self.store.data_mut().event = Some(event.clone());
        let outcome = match &self.exports {
            Exports::Filter(filter) => keep(filter, &mut self.store),
            Exports::Transform(transform) => apply(transform, &mut self.store, event),
        };
        self.store.data_mut().event = None;
        outcome
    }

    /// Each call has the whole time limit. Host functions do not wait for anything, so the time of a call is its own.
    fn wind(&mut self) {
        let ticks = self.store.data().limits.ticks();
        self.store.set_epoch_deadline(ticks);
    }
}

fn keep(filter: &Filter, store: &mut Store<State>) -> wasmtime::Result<Outcome> {
    let verdict = filter.stagewire_plugin_filtering().call_keep(store, Lent::handle())?;
    Ok(match verdict {
        Ok(Verdict::Keep) => Outcome::Keep,
        Ok(Verdict::Drop(reason)) => Outcome::Drop(reason),
        Err(error) => Outcome::Failed(error.into()),
    })
}

fn apply(transform: &Transform, store: &mut Store<State>, event: &Event) -> wasmtime::Result<Outcome> {
    store.data_mut().output.begin();
    let guest = transform.stagewire_plugin_transforming();
    if let Err(error) = guest.call_apply(&mut *store, Lent::handle(), Emitter::handle())? {
        return Ok(Outcome::Failed(error.into()));
    }
    Ok(match store.data_mut().output.finish(event) {
        Ok(Handing::Nothing) => Outcome::Drop("the transform handed nothing out".into()),
        Ok(Handing::AsItWas) => Outcome::Keep,
        Ok(Handing::Events(events)) => Outcome::Out(events),
        Err(invalid) => {
            let reason = format!("handed out an event that is not valid: {invalid}");
            Outcome::Failed(Failed { reason, transient: false })
        }
    })
}

impl From<GuestError> for Failed {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Permanent(reason) => Self { reason, transient: false },
            GuestError::Transient(reason) => Self { reason, transient: true },
        }
    }
}
