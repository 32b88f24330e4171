//! An instance that may wait: the same guest and the same state as [`super::instance`], called as a task of the engine's pool.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wasmtime::component::InstancePre;
use wasmtime::{Store, Trap};

use super::bindings::v0_1::{
    Description, WaitingFilter, WaitingFilterPre, WaitingTransform, WaitingTransformPre, WaitingVerdict,
};
use super::emitter::Emitter;
use super::engine::Engine;
use super::grants::Granted;
use super::instance::{State, discreet};
use super::lent::Lent;
use super::limits::Limits;
use super::plugin::Kind;
use super::step::Outcome;
use super::voice::Voice;
use crate::event::Event;

/// A plugin that is linked to what may wait, and can be instantiated again and again.
#[derive(Clone)]
pub(super) enum WaitingReady {
    Filter(WaitingFilterPre<State>),
    Transform(WaitingTransformPre<State>),
}

impl WaitingReady {
    pub(super) fn new(kind: Kind, linked: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(match kind {
            Kind::Filter => Self::Filter(WaitingFilterPre::new(linked)?),
            Kind::Transform => Self::Transform(WaitingTransformPre::new(linked)?),
        })
    }
}

enum Exports {
    Filter(WaitingFilter),
    Transform(WaitingTransform),
}

/// One instance with its store. After a trap, or where a call was given up, both are spoilt: throw it away.
pub(super) struct Waiting {
    store: Store<State>,
    exports: Exports,
    /// Events until it is replaced by a fresh one.
    left: u64,
}

/// A guest that computes lets others go on at each tick of the engine's clock.
const SLICE: u64 = 1;

/// The result of a call that took no longer than that; a trap like that of a call on a worker otherwise.
async fn within<T>(time: Duration, call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    timeout(time, call).await.unwrap_or_else(|_| Err(Trap::Interrupt.into()))
}

impl Waiting {
    pub(super) async fn start(
        engine: &Engine,
        ready: &WaitingReady,
        limits: Limits,
        voice: Arc<Voice>,
        granted: &Granted,
    ) -> wasmtime::Result<Self> {
        let mut store = State::new(limits, voice, granted, true).stored(engine);
        store.set_epoch_deadline(SLICE);
        store.epoch_deadline_async_yield_and_update(SLICE);
        let exports = within(limits.time, async {
            Ok(match ready {
                WaitingReady::Filter(ready) => Exports::Filter(ready.instantiate_async(&mut store).await?),
                WaitingReady::Transform(ready) => {
                    Exports::Transform(ready.instantiate_async(&mut store).await?)
                }
            })
        })
        .await?;
        Ok(Self { store, exports, left: limits.recycle.unwrap_or(u64::MAX) })
    }

    fn time(&self) -> Duration {
        self.store.data().limits.time
    }

    pub(super) async fn describe(&mut self) -> wasmtime::Result<Description> {
        let time = self.time();
        let Self { store, exports, .. } = self;
        within(time, async {
            match exports {
                Exports::Filter(filter) => filter.stagewire_plugin_filtering().call_describe(store).await,
                Exports::Transform(transform) => {
                    transform.stagewire_plugin_transforming().call_describe(store).await
                }
            }
        })
        .await
    }

    pub(super) async fn configure(&mut self, settings: &str) -> wasmtime::Result<Result<(), String>> {
        let time = self.time();
        let Self { store, exports, .. } = self;
        let configured = within(time, async {
            match exports {
                Exports::Filter(filter) => {
                    filter.stagewire_plugin_filtering().call_configure(store, settings).await
                }
                Exports::Transform(transform) => {
                    transform.stagewire_plugin_transforming().call_configure(store, settings).await
                }
            }
        });
        configured.await.map(|configured| configured.map_err(discreet))
    }

    /// One event, with what tells it from any other. An error means that the guest broke and the instance must go.
    pub(super) async fn process(
        &mut self,
        event: &Event,
        identity: Option<u64>,
    ) -> wasmtime::Result<Outcome> {
        let time = self.time();
        self.left = self.left.saturating_sub(1);
        self.store.data_mut().begin(event.clone(), identity);
        let Self { store, exports, .. } = self;
        let outcome = within(time, async {
            match exports {
                Exports::Filter(filter) => keep(filter, store).await,
                Exports::Transform(transform) => apply(transform, store).await,
            }
        })
        .await;
        drop(self.store.data_mut().end(&outcome));
        outcome
    }

    pub(super) fn memory(&self) -> u64 {
        self.store.data().memory()
    }

    /// Whether it has seen as many events as it may.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }
}

async fn keep(filter: &WaitingFilter, store: &mut Store<State>) -> wasmtime::Result<Outcome> {
    let verdict = filter.stagewire_plugin_filtering().call_keep(store, Lent::handle()).await?;
    Ok(match verdict {
        Ok(WaitingVerdict::Keep) => Outcome::Keep,
        Ok(WaitingVerdict::Drop(reason)) => Outcome::Drop(discreet(reason)),
        Err(error) => Outcome::Failed(error.into()),
    })
}

async fn apply(transform: &WaitingTransform, store: &mut Store<State>) -> wasmtime::Result<Outcome> {
    let guest = transform.stagewire_plugin_transforming();
    let said = guest.call_apply(&mut *store, Lent::handle(), Emitter::handle()).await?;
    store.data_mut().handed(said)
}
