//! Keeps a plugin that burns its time limit again and again from starving the other routes of its worker.
//!
//! After [`STRIKES`] costly failures in a row a step is suspended on this worker: its `on_error` holds at once, and a
//! probe goes through now and then, ever more seldom, until one succeeds. How long the first pause is depends on what a failure
//! costs: probes take a thousandth of the worker's time, so that the other routes' slowest events stay what they were. Cheap
//! failures (an error returned, a trap after microseconds) never suspend.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Event;
use crate::plugins::{Failed, Outcome, Passage, Step};

const STRIKES: u32 = 3;
/// A failure that an event's own fault may explain: the plugin looked at it and said so.
const COSTLY: Duration = Duration::from_millis(5);
/// A trap or a broken limit, which cost the plugin its instance.
const COSTLY_BREAK: Duration = Duration::from_millis(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of what a failure costs, the pause after it.
const THOUSANDTH: u32 = 1_000;

#[derive(Default)]
pub(super) struct Suspension {
    /// Empty unless something is wrong, so that the good case costs one comparison.
    struck: Vec<(Arc<Step>, Strikes)>,
}

struct Strikes {
    count: u32,
    until: Option<Instant>,
    pause: Duration,
    reason: String,
}

impl Suspension {
    /// Runs the step, or fails at once while it is suspended.
    pub(super) fn run(
        &mut self,
        step: &Arc<Step>,
        worker: usize,
        event: &Event,
        passage: Passage,
    ) -> Outcome {
        if let Some(failed) = self.suspended(step) {
            return Outcome::Failed(failed);
        }
        let (started, replaced) = (Instant::now(), step.replaced());
        let outcome = step.run(worker, event, passage);
        match &outcome {
            Outcome::Failed(failed) => {
                let (cost, broke) = (started.elapsed(), step.replaced() != replaced);
                let costly = if broke { COSTLY_BREAK } else { COSTLY };
                if cost >= costly {
                    self.strike(step, &failed.reason, cost);
                } else if !self.struck.is_empty() {
                    self.forgive(step);
                }
            }
            _ if self.struck.is_empty() => {}
            _ => self.forgive(step),
        }
        outcome
    }

    fn forgive(&mut self, step: &Arc<Step>) {
        self.struck.retain(|(other, _)| !Arc::ptr_eq(other, step));
    }

    fn suspended(&self, step: &Arc<Step>) -> Option<Failed> {
        let (_, strikes) = self.struck.iter().find(|(other, _)| Arc::ptr_eq(other, step))?;
        let until = strikes.until.filter(|until| *until > Instant::now())?;
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let reason = format!(
            "{}; suspended after failing {} times in a row, next try in {left} ms",
            strikes.reason, strikes.count
        );
        Some(Failed { reason, transient: false })
    }

    fn strike(&mut self, step: &Arc<Step>, reason: &str, cost: Duration) {
        // Steps of replaced snapshots go with them.
        self.struck.retain(|(other, _)| Arc::strong_count(other) > 1);
        let index = self.struck.iter().position(|(other, _)| Arc::ptr_eq(other, step)).unwrap_or_else(|| {
            let pause = cost.saturating_mul(THOUSANDTH).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            let fresh = Strikes { count: 0, until: None, pause, reason: String::new() };
            self.struck.push((Arc::clone(step), fresh));
            self.struck.len() - 1
        });
        let strikes = &mut self.struck[index].1;
        strikes.count += 1;
        reason.clone_into(&mut strikes.reason);
        if strikes.count >= STRIKES {
            strikes.until = Some(Instant::now() + strikes.pause);
            strikes.pause = (strikes.pause * 2).min(LONGEST_PAUSE);
            let spec = step.spec();
            tracing::warn!(route = %spec.route, step = spec.index, plugin = %spec.plugin.name, reason, "step suspended");
        }
    }
}
