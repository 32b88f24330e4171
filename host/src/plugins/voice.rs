//! What a plugin says to the host: log lines and metrics, both bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use super::bindings::v0_1::host::Level;
use super::own::Own;
use super::said;
use crate::names::{PluginName, RouteName};
use crate::telemetry::{Histogram, StepMetrics};

/// The longest log line.
const LINE: usize = 4 << 10;

/// The voice of one step, shared by its instances.
pub(super) struct Voice {
    route: RouteName,
    step: usize,
    plugin: PluginName,
    metrics: Option<StepMetrics>,
    window: Mutex<Window>,
    counts: Own<Counter>,
    observations: Own<Histogram>,
}

struct Window {
    /// The most lines in one second; more are counted and left out.
    most: u32,
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Voice {
    pub(super) fn new(
        route: RouteName,
        step: usize,
        plugin: PluginName,
        lines: u32,
        metrics: Option<StepMetrics>,
    ) -> Arc<Self> {
        let window = Mutex::new(Window { most: lines, since: Instant::now(), lines: 0, left_out: 0 });
        let (counts, observations) = (Own::default(), Own::default());
        Arc::new(Self { route, step, plugin, metrics, window, counts, observations })
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        let (admitted, left_out) = self.window.lock().admit(Instant::now());
        self.tell_left_out(left_out);
        if admitted {
            self.write(level, &said::line(message, LINE));
        }
    }

    /// The step's counter of that name; none where the name is not allowed or the step has too many.
    pub(super) fn counter(&self, name: &str) -> Option<Counter> {
        let metrics = self.metrics.as_ref()?;
        self.counts.get(name, |name| metrics.count(name)).map_err(|why| self.log(Level::Warn, why)).ok()
    }

    /// The step's histogram of that name, as [`Self::counter`].
    pub(super) fn histogram(&self, name: &str) -> Option<Histogram> {
        let metrics = self.metrics.as_ref()?;
        self.observations
            .get(name, |name| metrics.observation(name))
            .map_err(|why| self.log(Level::Warn, why))
            .ok()
    }

    fn tell_left_out(&self, count: u64) {
        if count > 0 {
            self.write(
                Level::Warn,
                &format!("{count} messages left out: too many in a second (`limits.log`)"),
            );
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
            *self = Self { most: self.most, since: now, lines: 0, left_out: 0 };
        }
        let admitted = self.lines < self.most;
        self.lines += u32::from(admitted);
        self.left_out += u64::from(!admitted);
        (admitted, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut window = Window { most: 100, since: start, lines: 0, left_out: 0 };
        let admitted = (0..1000).filter(|_| window.admit(start).0).count();
        assert_eq!(admitted, 100);
        assert_eq!(window.admit(start + Duration::from_secs(1)), (true, 900));
    }
}
