//! Compiling in a child of this program: both sides of it.
//!
//! The child reads a file from its standard input, writes code to its standard output, and says in its exit code and on standard
//! error why there is none. It bounds itself: the system ends it when its processor time is used up, and a thread of its own
//! when it has too much memory, when it takes far too long, or when the host is gone.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, Signal, getppid, nice, setrlimit};

use super::{GROWS, compiled, said};
use crate::config::settings::Loading;
use crate::config::units::{Size, Span};
use crate::plugins::engine;
use crate::plugins::error::Refusal;

/// The argument that makes this program a child. No command is called so.
const WORD: &str = "compile-plugin";

/// Exit codes of a child that has a reason.
const DAMAGED: u8 = 10;
const MODULE: u8 = 11;
const MEMORY: u8 = 12;
const SLOW: u8 = 13;

/// How often a child looks at itself.
const LOOK: Duration = Duration::from_millis(10);
/// Of the processor time that a child may have, and at least so long: a machine that is busy with events gives it little.
const WAIT: u32 = 20;
const LEAST_WAIT: Duration = Duration::from_mins(10);
/// The priority of a child beside events: they get four times as much of a core that both want.
const NICE: i32 = 6;
const LOWER: &str = "lower";
const USUAL: &str = "usual";

/// What answers when it is called with [`WORD`]; none where this is another program, such as a test.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// To be called first thing by a program whose plugins shall be compiled apart. Where this process is such a child, its work
/// is done then, and it ends with this code.
pub fn answer() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, word, seconds, memory, lower] = arguments.as_slice()
        && word == WORD
    {
        let number = |text: &OsString| text.to_str()?.parse().ok();
        return Some(child(number(seconds)?, number(memory)?, lower == LOWER));
    }
    // Of the link, not of what it leads to: also after the file was replaced by a newer one, the child is this very program.
    let link = PathBuf::from("/proc/self/exe");
    let program = if link.exists() { Some(link) } else { std::env::current_exe().ok() };
    if let Some(program) = program {
        let _ = PROGRAM.set(program);
    }
    None
}

/// The children of one engine.
#[derive(Default)]
pub(super) struct Children {
    running: Mutex<Vec<Arc<Mutex<Child>>>>,
    stopped: AtomicBool,
    beside: AtomicBool,
}

impl Children {
    /// Has a child compile the file; none where there can be no child.
    pub(super) fn compile(&self, file: &[u8], bounds: &Loading) -> Option<Result<Vec<u8>, Refusal>> {
        let program = PROGRAM.get()?;
        Some(self.run(program, file, bounds))
    }

    /// From now on events flow beside, and go first.
    pub(super) fn yield_to_events(&self) {
        self.beside.store(true, Ordering::Relaxed);
    }

    /// Ends those that run, and begins none any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for child in self.running.lock().iter() {
            // One that has ended already is no matter.
            let _ = child.lock().kill();
        }
    }

    fn run(&self, program: &Path, file: &[u8], bounds: &Loading) -> Result<Vec<u8>, Refusal> {
        let cannot =
            |error: std::io::Error| Refusal::Uncompiled(format!("cannot start a process for it: {error}"));
        let seconds = bounds.time.0.as_secs_f64().ceil().max(1.0);
        let priority = if self.beside.load(Ordering::Relaxed) { LOWER } else { USUAL };
        let mut child = Command::new(program)
            .args([WORD, &seconds.to_string(), &bounds.memory.0.to_string(), priority])
            // Nothing of what stands in there is its business.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        self.running.lock().push(Arc::clone(&child));
        if self.stopped.load(Ordering::SeqCst) {
            let _ = child.lock().kill();
        }
        if let Some(mut input) = input {
            // It reads all of it before it writes anything. One that has ended says why itself.
            let _ = input.write_all(file);
        }
        let most = bounds.size.0.saturating_mul(GROWS);
        let (mut code, mut words) = (Vec::new(), String::new());
        let read = output.map(|output| output.take(most.saturating_add(1)).read_to_end(&mut code));
        let _ = errors.map(|errors| errors.take(said::REASON as u64).read_to_string(&mut words));
        let status = child.lock().wait();
        self.running.lock().retain(|other| !Arc::ptr_eq(other, &child));
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Refusal::Uncompiled("the host is stopping".into()));
        }
        let status = status.map_err(cannot)?;
        if code.len() as u64 > most {
            return Err(Refusal::Uncompiled(format!("its code has more than {}", Size(most))));
        }
        if status.success() && read.is_some_and(|read| read.is_ok()) {
            return Ok(code);
        }
        let words = said::line(&words, said::REASON);
        Err(match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(DAMAGED) => Refusal::Damaged(words),
            Some(MODULE) => Refusal::Module(words),
            Some(MEMORY) => {
                let most = bounds.memory;
                Refusal::Uncompiled(format!("it takes more than {most} of memory (`plugins.loading.memory`)"))
            }
            Some(SLOW) => {
                Refusal::Uncompiled("it takes too long on a machine that is as busy as this".into())
            }
            _ if status.signal() == Some(Signal::XCPU.as_raw()) => {
                let most = Span(bounds.time.0);
                Refusal::Uncompiled(format!(
                    "it takes more than {most} of processor time (`plugins.loading.time`)"
                ))
            }
            _ => Refusal::Uncompiled(format!("its compilation ended with {status}")),
        })
    }
}

fn child(seconds: u64, memory: u64, lower: bool) -> ExitCode {
    // Its parent reads one short reason, and no story.
    std::panic::set_hook(Box::new(|_| {}));
    watch_itself(seconds, memory);
    // Where one of these is refused the others still hold.
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most.saturating_add(1)) };
    let _ = setrlimit(Resource::Cpu, limit(seconds));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if lower {
        let _ = nice(NICE);
    }
    // Of all processes on a machine that runs out of memory, this one is to go.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let mut file = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut file);
    let code = match read.map_err(|error| Refusal::Uncompiled(error.to_string())).and_then(|_| {
        let engine = engine::bare().map_err(|error| Refusal::Uncompiled(error.to_string()))?;
        compiled(&engine, &file)
    }) {
        Ok(code) => code,
        Err(refusal) => return refused(&refusal),
    };
    let mut output = std::io::stdout().lock();
    match output.write_all(&code).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refused(refusal: &Refusal) -> ExitCode {
    let (code, words) = match refusal {
        Refusal::Damaged(words) => (DAMAGED, words.as_str()),
        Refusal::Module(words) => (MODULE, words.as_str()),
        _ => (1, ""),
    };
    eprint!("{words}");
    ExitCode::from(code)
}

/// On a thread at the usual priority: begun before the priority is lowered.
fn watch_itself(seconds: u64, memory: u64) {
    let (parent, begun) = (getppid(), Instant::now());
    let longest = Duration::from_secs(seconds).saturating_mul(WAIT).max(LEAST_WAIT);
    let watch = move || {
        loop {
            if resident().is_some_and(|resident| resident > memory) {
                std::process::exit(MEMORY.into());
            }
            if getppid() != parent || begun.elapsed() > longest {
                std::process::exit(SLOW.into());
            }
            std::thread::sleep(LOOK);
        }
    };
    if std::thread::Builder::new().name("watch".into()).spawn(watch).is_err() {
        // What cannot be bounded is not begun.
        std::process::exit(MEMORY.into());
    }
}

/// Resident memory in bytes; none where the system has no `/proc`.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}
