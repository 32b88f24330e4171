//! `wasi:clocks`: the time of the call, which does not pass, or with the grant the time as it passes.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::State;
use crate::clock::now_ns;

/// From where the monotonic clock counts.
static BEGINNING: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

const SECOND: u64 = 1_000_000_000;

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = if self.granted.clocks { now_ns() } else { self.call.now() };
        let nanoseconds = (now % SECOND) as u32;
        Ok(wall_clock::Datetime { seconds: now / SECOND, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl State {
    fn monotonic(&mut self) -> u64 {
        if self.granted.clocks {
            u64::try_from(BEGINNING.elapsed().as_nanos()).unwrap_or(u64::MAX)
        } else {
            self.call.now()
        }
    }

    /// Only who runs apart can wait; on a worker every wait is over at once. The time of a call bounds it.
    fn alarm(&mut self, after: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = self.apart.then_some(Duration::from_nanos(after));
        let table = &mut self.wasi().table;
        let alarm = table.push(Alarm(wait.and_then(|wait| Instant::now().checked_add(wait))))?;
        subscribe(table, alarm)
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.monotonic())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let after = when.saturating_sub(self.monotonic());
        self.alarm(after)
    }

    fn subscribe_duration(&mut self, after: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.alarm(after)
    }
}

/// Ready at that instant, or at once.
struct Alarm(Option<Instant>);

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        if let Some(at) = self.0 {
            tokio::time::sleep_until(at).await;
        }
    }
}
