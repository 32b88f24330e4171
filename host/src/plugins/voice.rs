//! What a plugin says to the host: log lines and counters, both bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use super::bindings::v0_1::host::Level;
use crate::names::{PluginName, RouteName};
use crate::telemetry::StepMetrics;

/// Log lines of one step in one second; more are counted and left out.
const LINES: u32 = 100;
/// The longest log line.
const LINE: usize = 4 << 10;

/// The voice of one step, shared by its instances.
pub(super) struct Voice {
    route: RouteName,
    step: usize,
    plugin: PluginName,
    metrics: Option<StepMetrics>,
    window: Mutex<Window>,
    counts: Mutex<Vec<(String, Counter)>>,
}

struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Voice {
    pub(super) fn new(
        route: RouteName,
        step: usize,
        plugin: PluginName,
        metrics: Option<StepMetrics>,
    ) -> Arc<Self> {
        let window = Window { since: Instant::now(), lines: 0, left_out: 0 };
        Arc::new(Self { route, step, plugin, metrics, window: Mutex::new(window), counts: Mutex::default() })
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        let (admitted, left_out) = self.window.lock().admit(Instant::now());
        self.tell_left_out(left_out);
        if admitted {
            self.write(level, truncated(message));
        }
    }

    /// The step's counter of that name; none where the name is not allowed or the step has too many.
    pub(super) fn counter(&self, name: &str) -> Option<Counter> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            self.log(Level::Warn, "a counter was left out: its name is not 1 to 64 of a-z, 0-9 and _");
            return None;
        }
        let metrics = self.metrics.as_ref()?;
        let mut counts = self.counts.lock();
        if let Some((_, counter)) = counts.iter().find(|(known, _)| known == name) {
            return Some(counter.clone());
        }
        if counts.len() >= StepMetrics::MOST_COUNTS {
            drop(counts);
            self.log(Level::Warn, "a counter was left out: the step has as many as it may");
            return None;
        }
        let counter = metrics.own(name);
        counts.push((name.to_owned(), counter.clone()));
        Some(counter)
    }

    fn tell_left_out(&self, count: u64) {
        if count > 0 {
            self.write(Level::Warn, &format!("{count} messages left out: more than {LINES} in a second"));
        }
    }

    fn write(&self, level: Level, message: &str) {
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(target: "stagewire::plugin", route = %self.route, step = self.step,
                    plugin = %self.plugin, "{message}")
            };
        }
        match level {
            Level::Trace => write!(trace),
            Level::Debug => write!(debug),
            Level::Info => write!(info),
            Level::Warn => write!(warn),
            Level::Error => write!(error),
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let left_out = self.window.get_mut().left_out;
        self.tell_left_out(left_out);
    }
}

impl Window {
    /// Whether one more line may be written, and how many the window before had left out.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        let mut left_out = 0;
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            left_out = self.left_out;
            *self = Self { since: now, lines: 0, left_out: 0 };
        }
        let admitted = self.lines < LINES;
        self.lines += u32::from(admitted);
        self.left_out += u64::from(!admitted);
        (admitted, left_out)
    }
}

fn truncated(message: &str) -> &str {
    &message[..message.floor_char_boundary(LINE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut window = Window { since: start, lines: 0, left_out: 0 };
        let admitted = (0..1000).filter(|_| window.admit(start).0).count();
        assert_eq!(admitted, LINES as usize);
        assert_eq!(window.admit(start + Duration::from_secs(1)), (true, 900));
    }

    #[test]
    fn counters_are_bounded_and_their_names_checked() {
        let metrics = StepMetrics::detached();
        let voice = Voice::new("r".into(), 0, "p".into(), Some(metrics));
        assert!(voice.counter("Bad Name").is_none());
        assert!(voice.counter("").is_none());
        for index in 0..StepMetrics::MOST_COUNTS {
            assert!(voice.counter(&format!("c{index}")).is_some());
        }
        assert!(voice.counter("one_more").is_none());
        assert!(voice.counter("c0").is_some());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = "ä".repeat(LINE);
        assert_eq!(truncated(&line).len(), LINE);
        assert!(truncated(&format!("x{line}")).len() < LINE);
    }
}
