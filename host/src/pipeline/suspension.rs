//! Keeps a plugin that burns time from starving the other routes of its worker.
//!
//! After [`STRIKES`] costly failures in a row a step is suspended on this worker: its `on_error` holds at once, and a
//! probe goes through now and then, ever more seldom, until one succeeds. How long the first pause is depends on what a failure
//! costs: probes take a thousandth of the worker's time, so that the other routes' slowest events stay what they were. Cheap
//! failures (an error returned, a trap after microseconds) never suspend.
//!
//! A step whose calls take long, whatever comes of them, is moved apart: its calls hold up no worker then. That they take long is
//! said by the worker's processor time; by the clock, a call takes long also where the worker is interrupted in it. A look at
//! both for each call would cost as much as a small filter does: calls are looked at in which the kernel's clock has ticked, and a
//! shorter one stands for those that fall between two ticks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Event;
use crate::clock::{between_ticks, last_tick, steady, thread_cpu};
use crate::plugins::{Cost, Failed, Outcome, Passage, SLOW, Step};

const STRIKES: u32 = 3;
/// A failure that an event's own fault may explain: the plugin looked at it and said so.
const COSTLY: Duration = Duration::from_millis(5);
/// A trap or a broken limit, which cost the plugin its instance.
const COSTLY_BREAK: Duration = SLOW;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of what a failure costs, the pause after it.
const THOUSANDTH: u32 = 1_000;
/// Slow calls that are too much for a worker: so much processor time, and more than this part of what has passed since the first,
/// where that is not longer ago.
const MUCH: Duration = Duration::from_millis(10);
const PART: u32 = 1_000;
const LOOK: Duration = Duration::from_secs(10);

pub(super) struct Suspension {
    /// Empty unless something is wrong, so that the good case costs one comparison.
    struck: Vec<(Arc<Step>, Strikes)>,
    /// As seldom.
    slow: Vec<(Arc<Step>, Slow)>,
    /// When the worker began its batch, and its processor time then.
    base: (Duration, Duration),
    between_ticks: Duration,
}

struct Strikes {
    count: u32,
    until: Option<Instant>,
    pause: Duration,
    reason: String,
}

struct Slow {
    since: Duration,
    /// Processor time of the slow calls since then.
    time: Duration,
}

impl Default for Suspension {
    fn default() -> Self {
        let base = (steady(), thread_cpu());
        Self { struck: Vec::new(), slow: Vec::new(), base, between_ticks: between_ticks() }
    }
}

impl Suspension {
    /// The worker goes on, with a batch or something else that it has waited for.
    pub(super) fn go_on(&mut self) {
        self.base = (steady(), thread_cpu());
        if !self.slow.is_empty() {
            let (now, _) = self.base;
            self.slow.retain(|(_, slow)| now.saturating_sub(slow.since) <= LOOK);
        }
    }

    /// Runs the step on its worker.
    pub(super) fn run(
        &mut self,
        step: &Arc<Step>,
        worker: usize,
        event: &mut Event,
        passage: Passage,
    ) -> Outcome {
        let (begun, replaced) = (steady(), step.replaced());
        let outcome = step.pass(worker, event, passage);
        let failed = matches!(outcome, Outcome::Failed(_));
        if failed || last_tick() > begun {
            let now = steady();
            let time = now.saturating_sub(begun);
            if time > SLOW {
                self.seems_slow(step, begun, now, passage.key);
            }
            if failed {
                self.judge(step, &outcome, Cost { time, broke: step.replaced() != replaced });
                return outcome;
            }
        }
        self.forgive(step);
        outcome
    }

    /// A call that began then has just ended.
    fn seems_slow(&mut self, step: &Arc<Step>, begun: Duration, now: Duration, key: u64) {
        let (base, cpu) = self.base;
        let (cpu, before) = (thread_cpu().saturating_sub(cpu), begun.saturating_sub(base));
        // What was done before the call took as much of the clock's time at most: so this is the least that the call took.
        let least = cpu.saturating_sub(before);
        if least <= SLOW {
            return;
        }
        let index = self.slow.iter().position(|(other, _)| Arc::ptr_eq(other, step)).unwrap_or_else(|| {
            self.slow.push((Arc::clone(step), Slow { since: begun, time: Duration::ZERO }));
            self.slow.len() - 1
        });
        let slow = &mut self.slow[index].1;
        slow.time += least.max(self.between_ticks);
        if slow.time >= MUCH && slow.time * PART >= now.saturating_sub(slow.since) {
            step.move_apart(key);
            self.slow.swap_remove(index);
        }
    }

    /// Counts a costly failure, and forgives those before it where it is none.
    pub(super) fn judge(&mut self, step: &Arc<Step>, outcome: &Outcome, Cost { time, broke }: Cost) {
        let costly = if broke { COSTLY_BREAK } else { COSTLY };
        match outcome {
            Outcome::Failed(failed) if time >= costly => self.strike(step, &failed.reason, time),
            _ => self.forgive(step),
        }
    }

    fn forgive(&mut self, step: &Arc<Step>) {
        if !self.struck.is_empty() {
            self.struck.retain(|(other, _)| !Arc::ptr_eq(other, step));
        }
    }

    /// What comes of an event while the step is suspended.
    pub(super) fn suspended(&self, step: &Arc<Step>) -> Option<Failed> {
        if self.struck.is_empty() {
            return None;
        }
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
