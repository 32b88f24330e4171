//! The log: for people on a terminal, as JSON lines otherwise. Never an event's data, and no secret of the settings.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::secrets;
use crate::config::settings::LogLevel;

/// The environment variable that goes before `events.monitoring.log_level`, in the syntax of `tracing`'s filters.
pub const VARIABLE: &str = "STAGEWIRE_LOG";

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging to standard error. A second call changes nothing.
pub fn start() {
    let (filter, handle) = reload::Layer::new(filter(None));
    let people = std::io::stderr().is_terminal();
    let ansi = people && std::env::var_os("NO_COLOR").is_none();
    // What cannot be written (a full disk) is not complained of there as well: that complaint would panic.
    let lines = fmt::layer().log_internal_errors(false);
    let lines = lines.with_writer(Discreet::default).with_ansi(ansi).with_target(people);
    let started = if people {
        tracing_subscriber::registry().with(filter).with(lines).try_init()
    } else {
        let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        tracing_subscriber::registry().with(filter).with(json).try_init()
    };
    if started.is_ok() {
        // The first and only start.
        let _ = FILTER.set(handle);
    }
}

/// Standard error without the secrets of the settings: other libraries say what they send when they are asked for `trace`.
struct Discreet(io::Stderr);

impl Default for Discreet {
    fn default() -> Self {
        Self(io::stderr())
    }
}

impl Write for Discreet {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&secrets::hide_bytes(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Sets the level from the settings; [`VARIABLE`] goes first.
pub fn set_level(level: Option<LogLevel>) {
    if let Some(handle) = FILTER.get() {
        // Fails only when the subscriber is gone, and then nobody listens.
        let _ = handle.reload(filter(level));
    }
}

fn filter(level: Option<LogLevel>) -> EnvFilter {
    let level = match level.unwrap_or(LogLevel::Info) {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // Other crates' chatter only from `warn` on, and none of what shows a returned message with its data.
    let default = format!("warn,lapin::returned_messages=off,stagewire={level}");
    EnvFilter::new(std::env::var(VARIABLE).unwrap_or(default))
}
