//! The log: for people on a terminal, as JSON lines otherwise. Never an event's data, and no secret of the settings.
//!
//! Its levels can be changed while the host runs, for a while or until the next start, by target. A place in the program that would
//! flood it is cut to so many lines a second, and how many it left out is said.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::secrets;
use crate::config::settings::{self, LogLevel};
use crate::journal::now_ms;

/// The environment variable that goes before `events.monitoring.log_level`, in the syntax of `tracing`'s filters.
pub const VARIABLE: &str = "STAGEWIRE_LOG";
/// The target of all that is the host's own.
const HOST: &str = "stagewire";
/// The longest target that may be named.
const LONGEST: usize = 128;
/// The most targets that may have a level of their own.
const MOST: usize = 64;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    handle: reload::Handle<EnvFilter, Registry>,
    levels: Mutex<Levels>,
    flood: Flood,
}

/// Starts logging to standard error. A second call changes nothing.
pub fn start(settings: &settings::Logs) {
    let levels = Levels { environment: std::env::var(VARIABLE).ok(), ..Levels::default() };
    let (filter, handle) = reload::Layer::new(levels.filter());
    let flood = Flood::new(settings.lines);
    let people = std::io::stderr().is_terminal();
    let ansi = people && std::env::var_os("NO_COLOR").is_none();
    // What cannot be written (a full disk) is not complained of there as well: that complaint would panic.
    let lines = fmt::layer().log_internal_errors(false);
    let lines = lines.with_writer(Discreet::default).with_ansi(ansi);
    let registry = tracing_subscriber::registry().with(filter).with(flood.clone());
    let started = if people {
        registry.with(lines).try_init()
    } else {
        let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(json).try_init()
    };
    if started.is_ok() {
        // The first and only start.
        let _ = LOG.set(Log { handle, levels: Mutex::new(levels), flood });
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

/// Sets the level from the settings; [`VARIABLE`] and what was set while the host runs go first.
pub fn set_level(level: Option<LogLevel>) {
    change(|levels| levels.settings = level.unwrap_or(LogLevel::Info));
}

/// Gives a target a level of its own, for a while or until the next start. Without a target, all that is the host's own.
///
/// # Errors
/// That it is no target, or that too many have a level of their own.
pub fn set_target(target: Option<&str>, level: LogLevel, span: Option<Duration>) -> Result<(), String> {
    let target = checked(target.unwrap_or(HOST))?;
    let span = span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let until_ms = span.map(|span| now_ms().saturating_add(span));
    change(|levels| {
        if levels.own.len() >= MOST && !levels.own.contains_key(target) {
            return Err(format!("{MOST} targets have a level of their own; reset some first"));
        }
        levels.own.insert(target.to_owned(), Own { level, until_ms });
        Ok(())
    })
    .unwrap_or(Ok(()))
}

/// Takes back what [`set_target`] set: for that target, or for all.
pub fn reset(target: Option<&str>) {
    change(|levels| levels.own.retain(|own, _| target.is_some_and(|target| target != own)));
}

/// The levels in force.
pub fn levels() -> LogLevels {
    LOG.get().map(|log| log.levels.lock().shown()).unwrap_or_default()
}

/// To be called every few seconds: takes back levels whose time is over, and says what was left out.
pub fn beat() {
    let Some(log) = LOG.get() else { return };
    let now = now_ms();
    let over = |own: &Own| own.until_ms.is_some_and(|until| until <= now);
    if log.levels.lock().own.values().any(over) {
        change(|levels| levels.own.retain(|_, own| !over(own)));
        tracing::info!("a log level that was set for a while is taken back");
    }
    log.flood.tell();
}

fn change<T>(act: impl FnOnce(&mut Levels) -> T) -> Option<T> {
    let log = LOG.get()?;
    let mut levels = log.levels.lock();
    let done = act(&mut levels);
    // Fails only when the subscriber is gone, and then nobody listens.
    let _ = log.handle.reload(levels.filter());
    Some(done)
}

/// What a filter's directive could not hold is no target.
fn checked(target: &str) -> Result<&str, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-');
    let is_target = !target.is_empty() && target.len() <= LONGEST && target.bytes().all(plain);
    is_target
        .then_some(target)
        .ok_or_else(|| format!("{target:?} is no log target; write it like stagewire::delivery"))
}

/// What decides which lines are written.
#[derive(Debug)]
struct Levels {
    environment: Option<String>,
    settings: LogLevel,
    own: BTreeMap<String, Own>,
}

#[derive(Clone, Copy, Debug)]
struct Own {
    level: LogLevel,
    until_ms: Option<u64>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { environment: None, settings: LogLevel::Info, own: BTreeMap::new() }
    }
}

impl Levels {
    /// In the syntax of `tracing`'s filters; what comes later goes before.
    fn text(&self) -> String {
        // Other crates' chatter only from `warn` on, and none of what shows a returned message with its data.
        let usual = || format!("warn,lapin::returned_messages=off,audit=info,{HOST}={}", word(self.settings));
        let mut text = self.environment.clone().unwrap_or_else(usual);
        for (target, own) in &self.own {
            text.extend([",", target, "=", word(own.level)]);
        }
        text
    }

    fn filter(&self) -> EnvFilter {
        EnvFilter::new(self.text())
    }

    fn shown(&self) -> LogLevels {
        let own = self.own.iter();
        let own = own.map(|(target, own)| TargetLevel {
            target: target.clone(),
            level: own.level,
            until_ms: own.until_ms,
        });
        LogLevels {
            level: self.settings,
            environment: self.environment.clone(),
            targets: own.collect(),
            filter: self.text(),
        }
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// The levels in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLevels {
    /// `events.monitoring.log_level`
    pub level: LogLevel,
    /// `STAGEWIRE_LOG`, which goes before it.
    pub environment: Option<String>,
    /// What was set while the host runs, which goes before both.
    pub targets: Vec<TargetLevel>,
    /// All of it in the syntax of `tracing`'s filters.
    pub filter: String,
}

impl Default for LogLevels {
    fn default() -> Self {
        Levels::default().shown()
    }
}

/// The level of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetLevel {
    /// The beginning of a module's path.
    pub target: String,
    /// Lines of that level and more serious ones are written.
    pub level: LogLevel,
    /// When it is taken back, Unix milliseconds; at the end of the host where absent.
    pub until_ms: Option<u64>,
}

/// Lets so many lines a second through from one place in the program, errors like all others: some of each stay.
#[derive(Clone)]
struct Flood {
    most: u32,
    places: Arc<Mutex<HashMap<Identifier, Place>>>,
}

struct Place {
    metadata: &'static Metadata<'static>,
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Flood {
    fn new(most: u32) -> Self {
        Self { most, places: Arc::default() }
    }

    fn lets_through(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        if self.most == 0 {
            return true;
        }
        let mut places = self.places.lock();
        let fresh = || Place { metadata, since: now, written: 0, left_out: 0 };
        let place = places.entry(metadata.callsite()).or_insert_with(fresh);
        if now.saturating_duration_since(place.since) >= Duration::from_secs(1) {
            (place.since, place.written) = (now, 0);
        }
        let through = place.written < self.most;
        if through {
            place.written += 1;
        } else {
            place.left_out += 1;
        }
        through
    }

    /// Says how many lines were left out since the last time.
    fn tell(&self) {
        let left_out: Vec<_> = {
            let mut places = self.places.lock();
            let left_out = |place: &mut Place| (place.metadata, std::mem::take(&mut place.left_out));
            places.values_mut().map(left_out).filter(|(_, count)| *count > 0).collect()
        };
        for (of, left_out) in left_out {
            let (target, file, line) = (of.target(), of.file(), of.line());
            tracing::warn!(
                of = target,
                file,
                line,
                left_out,
                most = self.most,
                "log lines were left out: more than host.logs.lines a second"
            );
        }
    }
}

/// For all layers at once: a filter of one layer that refuses an event by its content keeps that layer from the next one, too
/// (tracing-subscriber 0.3.23).
impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.lets_through(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::Paper;

    #[test]
    fn a_place_that_floods_is_cut_and_the_others_are_not() {
        let (paper, flood) = (Paper::default(), Flood::new(3));
        let writer = paper.clone();
        let lines = fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(flood.clone()).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100 {
                tracing::info!(number, "chatter");
                tracing::error!(number, "broken");
            }
            tracing::info!("another place");
            flood.tell();
            flood.tell();
        });
        let lines = paper.lines();
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!((count("chatter"), count("broken"), count("another place")), (3, 3, 1), "{lines:?}");
        assert_eq!(count("left_out=97"), 2, "once for each place: {lines:?}");
    }

    #[test]
    fn the_next_second_has_its_own_lines() {
        let flood = Flood::new(1);
        let metadata =
            tracing::callsite!(name: "line", kind: tracing::metadata::Kind::EVENT, fields: message);
        let metadata = tracing::callsite::Callsite::metadata(metadata);
        let now = Instant::now();
        assert!(flood.lets_through(metadata, now));
        assert!(!flood.lets_through(metadata, now + Duration::from_millis(900)));
        assert!(flood.lets_through(metadata, now + Duration::from_secs(1)));
        assert!(Flood::new(0).lets_through(metadata, now));
    }

    #[test]
    fn a_target_goes_before_the_settings_and_the_environment() {
        let mut levels = Levels { settings: LogLevel::Warn, ..Levels::default() };
        assert!(levels.text().ends_with("audit=info,stagewire=warn"), "{}", levels.text());
        levels.own.insert("stagewire::delivery".into(), Own { level: LogLevel::Debug, until_ms: None });
        assert!(levels.text().ends_with("stagewire=warn,stagewire::delivery=debug"));
        levels.environment = Some("error".into());
        assert_eq!(levels.text(), "error,stagewire::delivery=debug");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for target in ["", "a=b", "a,b", "a b", "a[span]", "ä", &"x".repeat(LONGEST + 1)] {
            assert!(checked(target).is_err(), "{target}");
        }
        for target in ["stagewire::delivery::lane", "rdkafka", "tokio-util"] {
            assert_eq!(checked(target), Ok(target));
        }
    }
}
