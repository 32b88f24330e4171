//! What a call may take, and which of it was too much.

use std::time::Duration;

use serde::{Serialize, Serializer};
use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};

use super::engine::TICK;
use super::said;
use crate::config::settings;
use crate::config::units::{Size, Span};

/// The usual time of a call that may wait for others: no worker is held up by it.
const WAITING: Duration = Duration::from_secs(10);

/// The limits of one step, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "StepLimits")]
pub struct Limits {
    /// The longest one call may take.
    #[serde(serialize_with = "milliseconds", rename = "time_ms")]
    #[schemars(with = "u64")]
    pub time: Duration,
    /// The most memory of one instance, in bytes.
    pub memory: u64,
    /// The most bytes that one call may hand out.
    pub output: u64,
    /// The most events that one call may hand out.
    pub events: usize,
    /// The most bytes of the step's state.
    pub state: u64,
    /// The most log lines a second.
    pub log: u32,
    /// The most calls at once, where the step may wait.
    pub calls: usize,
    /// After so many events an instance is replaced by a fresh one; never where absent.
    pub recycle: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(50),
            memory: 32 << 20,
            output: 8 << 20,
            events: 1000,
            state: 16 << 20,
            log: 100,
            calls: 8,
            recycle: None,
        }
    }
}

impl Limits {
    /// The limits of a step, where it names none those of `defaults`, where those name none ours.
    pub fn resolve(step: &settings::Limits, defaults: &settings::Limits) -> Self {
        let ours = Self::default();
        Self {
            time: step.time.or(defaults.time).map_or(ours.time, |span| span.0),
            memory: step.memory.or(defaults.memory).map_or(ours.memory, |size| size.0),
            output: step.output.or(defaults.output).map_or(ours.output, |size| size.0),
            events: step.events.or(defaults.events).unwrap_or(ours.events),
            state: step.state.or(defaults.state).map_or(ours.state, |size| size.0),
            log: step.log.or(defaults.log).unwrap_or(ours.log),
            calls: step.calls.or(defaults.calls).unwrap_or(ours.calls),
            recycle: step.recycle.or(defaults.recycle),
        }
    }

    /// The same for a step that may wait: where nobody names its time, it is [`WAITING`].
    pub fn waiting(step: &settings::Limits, defaults: &settings::Limits) -> Self {
        let time = step.time.or(defaults.time).map_or(WAITING, |span| span.0);
        Self { time, ..Self::resolve(step, defaults) }
    }

    /// The time limit in ticks of the engine's clock; one more, because the current tick has begun already.
    pub(super) fn ticks(&self) -> u64 {
        u64::try_from(self.time.as_millis().div_ceil(TICK.as_millis()))
            .unwrap_or(u64::MAX - 1)
            .saturating_add(1)
    }
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A limit that a host function or the allocator found broken; travels out of the guest as the cause of its trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("needed more than {}", Size(*.0))]
    Memory(u64),
    #[error("handed out more than {}", Size(*.0))]
    Output(u64),
    #[error("handed out more than {0} events")]
    Events(usize),
    #[error("wrote more than {} of state in one call", Size(*.0))]
    State(u64),
    #[error("used a draft of an earlier call")]
    Stale,
}

/// Bounds the linear memories and tables of one instance, together.
pub(super) struct Budget {
    most: u64,
    used: u64,
}

impl Budget {
    /// Bytes of a table's entry.
    const ENTRY: u64 = 8;
    /// Each core instance takes room for its globals and functions, and each memory a mapping of addresses, which a process has only so
    /// many of. Python's runtime has a dozen of the first, and one of the others.
    const INSTANCES: usize = 64;
    const MEMORIES: usize = 8;
    const TABLES: usize = 32;

    pub(super) fn new(most: u64) -> Self {
        Self { most, used: 0 }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    fn take(&mut self, more: u64) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(more);
        if used > self.most {
            // A trap with a clear reason, instead of an allocation that fails somewhere in the guest.
            return Err(Exceeded::Memory(self.most).into());
        }
        self.used = used;
        Ok(true)
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, now: usize, wanted: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        if most.is_some_and(|most| wanted > most) {
            return Ok(false);
        }
        self.take(wanted.saturating_sub(now) as u64)
    }

    fn table_growing(&mut self, now: usize, wanted: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        if most.is_some_and(|most| wanted > most) {
            return Ok(false);
        }
        self.take((wanted.saturating_sub(now) as u64).saturating_mul(Self::ENTRY))
    }

    fn instances(&self) -> usize {
        Self::INSTANCES
    }

    fn memories(&self) -> usize {
        Self::MEMORIES
    }

    fn tables(&self) -> usize {
        Self::TABLES
    }
}

/// Why a guest broke, in words that follow the plugin's name; and whether it may go better another time.
pub(super) fn why(error: &wasmtime::Error, limits: &Limits) -> (String, bool) {
    let (why, transient) = cause(error, limits);
    (said::lined(why, said::REASON), transient)
}

fn cause(error: &wasmtime::Error, limits: &Limits) -> (String, bool) {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return (exceeded.to_string(), false);
    }
    let place = || {
        let trace = error.downcast_ref::<WasmBacktrace>()?;
        let name = trace.frames().iter().find_map(|frame| frame.func_name().map(shortened))?;
        Some(format!(" in {name}"))
    };
    match error.downcast_ref::<Trap>() {
        // A machine that is too busy looks the same as a guest that is too slow.
        Some(Trap::Interrupt) => (format!("took longer than {}", Span(limits.time)), true),
        Some(Trap::StackOverflow) => ("recursed too deeply".into(), false),
        Some(Trap::UnreachableCodeReached) => {
            (format!("trapped: unreachable{}", place().unwrap_or_default()), false)
        }
        Some(trap) => {
            let trap = trap.to_string();
            let trap = trap.strip_prefix("wasm trap: ").unwrap_or(&trap);
            (format!("trapped: {trap}{}", place().unwrap_or_default()), false)
        }
        None => (format!("broke: {}", error.root_cause()), false),
    }
}

fn shortened(name: &str) -> &str {
    // A guest chooses its names; a log line does not grow with them.
    name.char_indices().nth(80).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use wasmtime::component::{Component, Linker};
    use wasmtime::{Engine, Store};

    use super::*;

    #[test]
    fn core_instances_are_bounded_in_number() {
        let started = |count: usize| {
            let instances = "(core instance (instantiate $m))".repeat(count);
            let text = format!("(component (core module $m (global i32 (i32.const 0))) {instances})");
            let engine = Engine::default();
            let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
            let mut store = Store::new(&engine, Budget::new(1 << 20));
            store.limiter(|budget| budget);
            Linker::new(&engine).instantiate(&mut store, &component).map(|_| ())
        };
        started(Budget::INSTANCES).unwrap();
        let refused = started(Budget::INSTANCES + 1).unwrap_err();
        assert!(format!("{refused:#}").contains("instance count too high"), "{refused:#}");
    }
}
