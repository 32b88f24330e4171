//! The wasmtime engine that all plugins share, and the clock that interrupts them.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use flume::{RecvTimeoutError, Sender, bounded};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, OptLevel, WasmBacktraceDetails};

use super::bindings::v0_1::Transform;
use super::compiling::Compiler;
use super::error::PluginError;
use super::instance::State;
use crate::config::settings::Loading;

/// How often running guests are looked at: the grain of a step's time limit. Each look wakes a thread, also while nothing
/// runs: every millisecond, that was 3 to 8 % of a host's time under load.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Compiles plugins and interrupts those that take too long. One for the whole process; shared by `Arc`.
pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    pub(super) linker: Linker<State>,
    pub(super) compiler: Compiler,
    // Declared last: the clock stops after everything that it interrupts is gone.
    _clock: Clock,
}

impl Engine {
    /// Starts the engine. Compiled code is kept in `cache`, so that a restart does not compile again.
    ///
    /// # Errors
    /// [`PluginError::Engine`] where this machine cannot run the engine, or `cache` cannot be used.
    pub fn new(cache: Option<&Path>) -> Result<Arc<Self>, PluginError> {
        let wasm = bare()?;
        let compiler = Compiler::new(cache)?;
        let mut linker = Linker::new(&wasm);
        Transform::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
            .map_err(PluginError::engine)?;
        let clock = Clock::start(wasm.clone())?;
        Ok(Arc::new(Self { wasm, linker, compiler, _clock: clock }))
    }

    /// What a file may cost from now on.
    pub fn bound(&self, loading: Loading) {
        self.compiler.bound(loading);
    }

    /// From now on events flow: what is compiled gives way to them.
    pub fn yield_to_events(&self) {
        self.compiler.yield_to_events();
    }

    /// Ends what is being compiled; nothing more is loaded that was not compiled before.
    pub fn stop(&self) {
        self.compiler.stop();
    }
}

/// The engine alone: what compiles, and what code is made for.
pub(super) fn bare() -> Result<wasmtime::Engine, PluginError> {
    wasmtime::Engine::new(&config()).map_err(PluginError::engine)
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Sync calls on worker threads: without concurrency support an empty call takes 190 ns instead of 727. Epochs cost
/// a guest-heavy loop about 25 %, fuel 40 %. Instances are allocated on demand: a pool makes a fresh one in 3 µs instead of
/// 13 and calls no faster (`cargo xtask bench plugins`), but they live for millions of events, and it reserves address space and
/// bounds their number for a path that is taken at a swap or after a trap only.
///
/// Threads and garbage collection are not built in: a shared memory would be bounded by nothing, and an atomic wait would hold
/// a worker up that no epoch can wake.
fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).concurrency_support(false).epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.wasm_memory64(false);
    // Otherwise a variable of the environment would have the host read a guest's debug information.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// A thread of its own, because a runtime's timer would be late exactly when the machine is busy.
struct Clock {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(engine: wasmtime::Engine) -> Result<Self, PluginError> {
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new()
            .name("plugin-clock".into())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })
            .map_err(PluginError::engine)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The clock has nothing that could panic.
            let _ = thread.join();
        }
    }
}
