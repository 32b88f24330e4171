//! The wasmtime engine that all plugins share, the clock that interrupts them, and the pool for those that may wait.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use flume::{RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle as Task;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, OptLevel, WasmBacktraceDetails};

use super::bindings::v0_1::Transform;
use super::compiling::Compiler;
use super::error::PluginError;
use super::instance::State;
use super::wasi;
use crate::config::settings::Loading;

/// How often running guests are looked at: the grain of a step's time limit. Each look wakes a thread, also while nothing
/// runs: every millisecond, that was 3 to 8 % of a host's time under load.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Compiles plugins and interrupts those that take too long. One for the whole process; shared by `Arc`.
pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    /// For instances on workers.
    pub(super) near: Linker<State>,
    /// For instances that run apart. The same compiled code serves both.
    pub(super) apart: Linker<State>,
    /// Started with the first step that may wait.
    pool: Mutex<Option<Runtime>>,
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
        let near = linker(&wasm, wasi::link_near).map_err(PluginError::engine)?;
        let apart = linker(&wasm, wasi::link_apart).map_err(PluginError::engine)?;
        let clock = Clock::start(wasm.clone())?;
        Ok(Arc::new(Self { wasm, near, apart, pool: Mutex::new(None), compiler, _clock: clock }))
    }

    /// Where steps run that may wait.
    ///
    /// # Errors
    /// [`PluginError::Engine`] where there are no threads to be had.
    pub(super) fn pool(&self) -> Result<Pool, PluginError> {
        let mut pool = self.pool.lock();
        let runtime = match &mut *pool {
            Some(runtime) => runtime,
            none => none.insert(
                Builder::new_multi_thread()
                    .worker_threads(POOL)
                    .thread_name("plugin-pool")
                    .on_thread_start(give_way)
                    .enable_all()
                    .build()
                    .map_err(PluginError::engine)?,
            ),
        };
        Ok(Pool(runtime.handle().clone()))
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

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.get_mut().take() {
            // Whoever drops the engine may be a task itself, and must not wait. Nobody waits for what still runs.
            pool.shutdown_background();
        }
    }
}

fn linker(
    engine: &wasmtime::Engine,
    link: fn(&mut Linker<State>) -> wasmtime::Result<()>,
) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    Transform::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    link(&mut linker)?;
    Ok(linker)
}

/// Threads of the pool: what it runs waits most of the time, and takes turns where it computes.
const POOL: usize = 2;
/// How much its threads give way to those on the way of events: a tenth of their share, where there is not enough for all.
const NICE: i32 = 10;

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

fn give_way() {
    // Where that is refused they have the same share, and all else holds.
    let _ = rustix::process::nice(NICE);
    GIVES_WAY.set(true);
}

/// Whether this thread gives way to others, so that its calls take longer than they run.
pub(super) fn gives_way() -> bool {
    GIVES_WAY.get()
}

/// The pool, for those who run something there.
#[derive(Clone)]
pub(super) struct Pool(Handle);

impl Pool {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        self.0.spawn(task)
    }

    /// Runs what computes for long.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.0.spawn_blocking(call).await.ok()
    }

    /// What comes of it. Blocks the thread, also one that must not block by the rules of another runtime.
    ///
    /// # Errors
    /// [`PluginError::Engine`] where it ended by a panic, or with the engine.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, PluginError> {
        let (tell, told) = bounded(1);
        self.0.spawn(async move {
            // Nobody waits any more where that fails.
            let _ = tell.send(task.await);
        });
        told.recv().map_err(|_| PluginError::Engine("a call ended without an answer".into()))
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
