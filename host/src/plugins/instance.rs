//! One instance of a plugin: its store, its exports, and one call at a time. What may wait is in [`super::waiting`].

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use wasmtime::{Error, Store, UpdateDeadline};

use super::bindings::v0_1::{
    Description, Error as GuestError, Filter, FilterPre, Transform, TransformPre, Verdict, host, keyvalue,
    types,
};
use super::emitter::{Emitter, Handing, Output};
use super::engine::{self, Engine};
use super::grants::Granted;
use super::keyvalue::{Call, Refused};
use super::lent::Lent;
use super::limits::{Budget, Exceeded, Limits};
use super::own::Resolved;
use super::said;
use super::step::{Failed, Outcome};
use super::voice::Voice;
use super::wasi::Wasi;
use crate::clock::thread_cpu;
use crate::config::secrets;
use crate::event::Event;
use crate::telemetry::Histogram;

/// What a store holds for its guest.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) output: Output,
    pub(super) call: Call,
    pub(super) granted: Granted,
    pub(super) voice: Arc<Voice>,
    /// Whether it runs apart, where it may wait.
    pub(super) apart: bool,
    /// The thread's processor time at which the call at hand has to end, on a thread that gives way to others.
    until: Option<Duration>,
    event: Option<Event>,
    budget: Budget,
    counts: Resolved<Counter>,
    observations: Resolved<Histogram>,
    wasi: Option<Box<Wasi>>,
}

impl State {
    /// What a call has written is held until it ends, to be taken back: that is bounded as the state itself is.
    fn may_write(&self) -> wasmtime::Result<()> {
        let most = self.limits.state;
        if self.call.held() > most { Err(Exceeded::State(most).into()) } else { Ok(()) }
    }

    pub(super) fn new(limits: Limits, voice: Arc<Voice>, granted: &Granted, apart: bool) -> Self {
        Self {
            limits,
            output: Output::default(),
            call: Call::new(granted.keyvalue.clone()),
            granted: granted.clone(),
            voice,
            apart,
            until: None,
            event: None,
            budget: Budget::new(limits.memory),
            counts: Resolved::default(),
            observations: Resolved::default(),
            wasi: None,
        }
    }

    /// A call begins.
    fn wind(&mut self) {
        self.until = engine::gives_way().then(|| thread_cpu() + self.limits.time);
    }

    /// Its store, within its limits.
    pub(super) fn stored(self, engine: &Engine) -> Store<Self> {
        // A guest may point many strings of one list at the same bytes: what is read out of it at once is bounded as well.
        let read = self.limits.output.saturating_add(READ);
        let mut store = Store::new(&engine.wasm, self);
        store.limiter(|state| &mut state.budget);
        store.set_hostcall_fuel(usize::try_from(read).unwrap_or(usize::MAX));
        store
    }

    pub(super) fn memory(&self) -> u64 {
        self.budget.used()
    }

    pub(super) fn wasi_and_event(&mut self) -> (&mut Wasi, Option<&Event>) {
        let Self { wasi, granted, voice, limits, event, .. } = self;
        let wasi = wasi.get_or_insert_with(|| Box::new(Wasi::new(granted, voice, limits)));
        (wasi, event.as_ref())
    }

    /// A call about that event begins; the event is lent for as long.
    pub(super) fn begin(&mut self, event: Event, identity: Option<u64>) {
        self.event = Some(event);
        self.call.begin(identity);
        self.output.begin();
        if let Some(wasi) = &mut self.wasi {
            wasi.begin();
        }
    }

    /// It has ended so. Gives the event back.
    pub(super) fn end(&mut self, outcome: &wasmtime::Result<Outcome>) -> Option<Event> {
        match outcome {
            Ok(Outcome::Failed(_)) | Err(_) => self.call.take_back(),
            Ok(_) => self.call.keep(),
        }
        self.event.take()
    }

    /// What a transform has made of the event.
    pub(super) fn handed(&mut self, answer: Result<(), GuestError>) -> wasmtime::Result<Outcome> {
        if let Err(error) = answer {
            return Ok(Outcome::Failed(error.into()));
        }
        let Self { event, output, .. } = self;
        let event = event.as_ref().ok_or_else(unlent)?;
        Ok(match output.finish(event) {
            Ok(Handing::Nothing) => Outcome::Drop("the transform handed nothing out".into()),
            Ok(Handing::AsItWas) => Outcome::Keep,
            Ok(Handing::Events(events)) => Outcome::Out(events),
            Err(invalid) => {
                let reason =
                    said::lined(format!("handed out an event that is not valid: {invalid}"), said::REASON);
                Outcome::Failed(Failed { reason, transient: false })
            }
        })
    }

    pub(super) fn event(&self) -> wasmtime::Result<&Event> {
        self.event.as_ref().ok_or_else(unlent)
    }
}

fn unlent() -> Error {
    Error::msg("no event is lent outside of a call")
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        self.voice.log(level, &message);
        Ok(())
    }

    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        let Self { counts, voice, .. } = self;
        if let Some(counter) = counts.get(name, |name| voice.counter(name)) {
            counter.inc_by(by);
        }
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        let Self { observations, voice, .. } = self;
        // One value that is not finite would spoil the sum for good.
        if value.is_finite()
            && let Some(histogram) = observations.get(name, |name| voice.histogram(name))
        {
            histogram.observe(value);
        }
        Ok(())
    }

    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.call.now())
    }
}

impl From<Refused> for keyvalue::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::TooLarge => Self::TooLarge,
        }
    }
}

type Written<T> = wasmtime::Result<Result<T, keyvalue::Error>>;

impl keyvalue::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.call.get(&key))
    }

    fn set(&mut self, key: String, value: Vec<u8>, expires_after: Option<u64>) -> Written<()> {
        self.may_write()?;
        Ok(self.call.set(&key, &value, expires_after).map_err(Into::into))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.may_write()?;
        self.call.delete(&key);
        Ok(())
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        expires_after: Option<u64>,
    ) -> Written<bool> {
        self.may_write()?;
        let swapped = self.call.compare_and_swap(&key, expected.as_deref(), &value, expires_after);
        Ok(swapped.map_err(Into::into))
    }

    fn claim(&mut self, key: String, expires_after: Option<u64>) -> Written<bool> {
        self.may_write()?;
        Ok(self.call.claim(&key, expires_after).map_err(Into::into))
    }
}

/// A plugin that is linked and can be instantiated again and again.
#[derive(Clone)]
pub(super) enum Ready {
    Filter(FilterPre<State>),
    Transform(TransformPre<State>),
}

/// What may be read out of a guest at once, beside what it may hand out.
const READ: u64 = 1 << 20;

enum Exports {
    Filter(Filter),
    Transform(Transform),
}

/// One instance with its store. After a trap both are spoilt: throw it away.
pub(super) struct Instance {
    store: Store<State>,
    exports: Exports,
    /// Events until it is replaced by a fresh one.
    left: u64,
}

impl Instance {
    pub(super) fn start(
        engine: &Engine,
        ready: &Ready,
        limits: Limits,
        voice: Arc<Voice>,
        granted: &Granted,
    ) -> wasmtime::Result<Self> {
        let mut state = State::new(limits, voice, granted, false);
        state.wind();
        let mut store = state.stored(engine);
        store.set_epoch_deadline(limits.ticks());
        store.epoch_deadline_callback(|store| {
            let has_time = store.data().until.is_some_and(|until| thread_cpu() < until);
            Ok(if has_time { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
        });
        let exports = match ready {
            Ready::Filter(ready) => Exports::Filter(ready.instantiate(&mut store)?),
            Ready::Transform(ready) => Exports::Transform(ready.instantiate(&mut store)?),
        };
        Ok(Self { store, exports, left: limits.recycle.unwrap_or(u64::MAX) })
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
        let configured = match &self.exports {
            Exports::Filter(filter) => {
                filter.stagewire_plugin_filtering().call_configure(&mut self.store, settings)
            }
            Exports::Transform(transform) => {
                transform.stagewire_plugin_transforming().call_configure(&mut self.store, settings)
            }
        };
        configured.map(|configured| configured.map_err(discreet))
    }

    /// One event, with what tells it from any other. An error means that the guest broke and the instance must go.
    pub(super) fn process(&mut self, event: &mut Event, identity: Option<u64>) -> wasmtime::Result<Outcome> {
        self.wind();
        self.left = self.left.saturating_sub(1);
        // Lent, not shared: counting references costs as much as a small filter, where another core has counted them last.
        self.store.data_mut().begin(event.take(), identity);
        let outcome = match &self.exports {
            Exports::Filter(filter) => keep(filter, &mut self.store),
            Exports::Transform(transform) => apply(transform, &mut self.store),
        };
        if let Some(lent) = self.store.data_mut().end(&outcome) {
            *event = lent;
        }
        outcome
    }

    pub(super) fn memory(&self) -> u64 {
        self.store.data().memory()
    }

    /// Whether it has seen as many events as it may.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Each call has the whole time limit. Host functions do not wait for anything, so the time of a call is its own.
    fn wind(&mut self) {
        self.store.data_mut().wind();
        let ticks = self.store.data().limits.ticks();
        self.store.set_epoch_deadline(ticks);
    }
}

fn keep(filter: &Filter, store: &mut Store<State>) -> wasmtime::Result<Outcome> {
    let verdict = filter.stagewire_plugin_filtering().call_keep(store, Lent::handle())?;
    Ok(match verdict {
        Ok(Verdict::Keep) => Outcome::Keep,
        Ok(Verdict::Drop(reason)) => Outcome::Drop(discreet(reason)),
        Err(error) => Outcome::Failed(error.into()),
    })
}

fn apply(transform: &Transform, store: &mut Store<State>) -> wasmtime::Result<Outcome> {
    let guest = transform.stagewire_plugin_transforming();
    let answer = guest.call_apply(&mut *store, Lent::handle(), Emitter::handle())?;
    store.data_mut().handed(answer)
}

/// What a plugin says, as it may be shown. It knows its settings, and may say what is in them.
pub(super) fn discreet(said: String) -> String {
    said::lined(secrets::hidden(said), said::REASON)
}

impl From<GuestError> for Failed {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Permanent(reason) => Self { reason: discreet(reason), transient: false },
            GuestError::Transient(reason) => Self { reason: discreet(reason), transient: true },
        }
    }
}
