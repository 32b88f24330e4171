//! What is wrong with a running host: ranked, each with its cause and what to do. The one place that decides it; `status`,
//! `top` and the dashboard show it.

use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;

use super::recent::Lately;
use super::swap::SwapStatus;
use crate::config::settings::OnError;
use crate::delivery::{BreakerState, LaneStatus, State};
use crate::journal::Stats;
use crate::plugins::StepStatus;

/// So many events without an exception are no coincidence.
const ENOUGH: u64 = 10;
/// A backend that is well does not keep an event waiting for so long.
const LONG_MS: u64 = 5_000;
/// A batch that takes so long is slow, whoever is at fault.
const SLOW_MS: f64 = 500.0;
/// Connecting takes no longer.
const CONNECTING_MS: u64 = 10_000;
/// Below that, and below a tenth, a disk is nearly full.
const LITTLE_ROOM: u64 = 1 << 30;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A fixed word for what it is.
    pub kind: &'static str,
    /// The backend, route or plugin that it is about; `host` otherwise.
    pub subject: String,
    /// What is wrong, in a sentence.
    pub what: String,
    /// Why, in the words of who said so; empty where nobody did.
    pub cause: String,
    /// What to do.
    pub next: String,
    /// The page of the dashboard that shows more.
    pub page: &'static str,
}

/// How bad a problem is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is taken in, or nothing goes out.
    Critical,
    /// Something does not work.
    Error,
    /// Something is not as it probably should be.
    Warning,
}

/// What problems are found in.
pub(super) struct Seen<'a> {
    /// Whether events are published.
    pub(super) enabled: bool,
    /// Rules and plugins.
    pub(super) swap: &'a SwapStatus,
    /// The steps in force.
    pub(super) steps: &'a [StepStatus],
    /// The lanes.
    pub(super) lanes: &'a [LaneStatus],
    /// The journal.
    pub(super) journal: &'a Stats,
    /// Dead letters that wait.
    pub(super) letters: usize,
    /// The last minutes.
    pub(super) lately: &'a Lately<'a>,
    /// Where the data is.
    pub(super) data: &'a str,
    /// Bytes of its disk that are free, of so many.
    pub(super) room: Option<(u64, u64)>,
    /// Unix milliseconds.
    pub(super) now_ms: u64,
}

/// Everything that is wrong, the worst first.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    journal(seen, &mut found);
    settings(seen, &mut found);
    seen.lanes.iter().filter_map(|lane| backend(lane, seen)).for_each(|problem| found.push(problem));
    seen.steps.iter().filter_map(|step| plugin(step, seen)).for_each(|problem| found.push(problem));
    routes(seen, &mut found);
    letters(seen, &mut found);
    found.sort_by_key(|problem| problem.severity);
    found
}

fn host(severity: Severity, kind: &'static str, what: String, cause: String, next: String) -> Problem {
    Problem { severity, kind, subject: "host".into(), what, cause, next, page: "" }
}

fn journal(seen: &Seen<'_>, found: &mut Vec<Problem>) {
    let Stats { writable, unsettled, unsettled_bytes, max_unsettled_bytes, lost_tokens, .. } = seen.journal;
    let data = seen.data;
    if let Err(error) = writable {
        found.push(host(
            Severity::Critical,
            "journal_unwritable",
            "the journal cannot write: every event is refused with 503, senders have to try again".into(),
            error.clone(),
            format!("make room on the disk of {data} (df -h {data}); the host goes on by itself"),
        ));
    } else if let Some((free, whole)) = seen.room
        && free < LITTLE_ROOM
        && free < whole / 10
    {
        found.push(host(
            Severity::Warning,
            "disk_nearly_full",
            format!("{} are left on the disk of {data}", HumanBytes(free)),
            String::new(),
            "make room, or keep less: host.journal.retention, host.delivery.overflow, host.provenance.size"
                .into(),
        ));
    }
    if unsettled_bytes.saturating_mul(10) > max_unsettled_bytes.saturating_mul(8) {
        found.push(host(
            Severity::Error,
            "journal_nearly_full",
            format!(
                "{unsettled} events ({}) wait in the journal; at {} senders get 503",
                HumanBytes(*unsettled_bytes),
                HumanBytes(*max_unsettled_bytes)
            ),
            String::new(),
            "help the backend that is behind, or raise host.journal.max_unsettled".into(),
        ));
    }
    if *lost_tokens > 0 {
        found.push(host(
            Severity::Warning,
            "events_let_go",
            format!("{lost_tokens} events were let go of unsettled by something that broke"),
            String::new(),
            "restart the host: it hands them out again".into(),
        ));
    }
    let left_out = seen.lately.more(|totals| totals.left_out);
    if left_out > 0 {
        found.push(host(
            Severity::Warning,
            "provenance_left_out",
            format!(
                "what became of events could not all be noted {}: explain does not know of some",
                within(seen)
            ),
            String::new(),
            format!("see whether the disk of {data} is full or slow"),
        ));
    }
}

fn settings(seen: &Seen<'_>, found: &mut Vec<Problem>) {
    if let Some(refused) = &seen.swap.refused {
        let cause = refused.problems.first().cloned().unwrap_or_default();
        found.push(Problem {
            page: "routes",
            ..host(
                Severity::Error,
                "change_refused",
                format!(
                    "the last change of rules or plugins was refused; generation {} goes on",
                    seen.swap.generation
                ),
                cause,
                "mend the file it names; `stagewire validate` shows every fault with its line".into(),
            )
        });
    }
    if !seen.enabled {
        found.push(host(
            Severity::Warning,
            "disabled",
            "events are accepted and dropped: publishing is switched off".into(),
            "events.enabled is false".into(),
            "set events.enabled: true and name a backend".into(),
        ));
    }
}

fn backend(lane: &LaneStatus, seen: &Seen<'_>) -> Option<Problem> {
    let LaneStatus { name, address, state, paused, breaker, error, full, .. } = lane;
    let cause = error.clone().unwrap_or_default();
    let waiting = waiting(lane);
    let base = name.split('[').next().unwrap_or(name);
    let problem = |severity, kind, what: String, next: String| Problem {
        severity,
        kind,
        subject: name.clone(),
        what,
        cause: cause.clone(),
        next,
        page: "backends",
    };
    let in_order = "what waits is delivered in order when it is back; no other backend waits for it";
    let since = for_long(seen.now_ms.saturating_sub(lane.since_ms));
    if *paused {
        let what = format!("backend {name} is paused by an operator; {waiting}");
        let next = format!("resume it: POST /api/v1/backends/{base}/resume, or on the page Backends");
        return Some(problem(Severity::Warning, "backend_paused", what, next));
    }
    if *state == State::Down {
        let what = format!("backend {name} is down for {since}; {waiting}");
        let next = format!("see whether {address} runs and can be reached; {in_order}");
        return Some(problem(Severity::Error, "backend_down", what, next));
    }
    if *state == State::Connecting && seen.now_ms.saturating_sub(lane.since_ms) > CONNECTING_MS {
        let what = format!("backend {name} is being connected to for {since}; {waiting}");
        let next =
            format!("see whether {address} can be reached: a firewall that drops packets looks like this");
        return Some(problem(Severity::Error, "backend_unreachable", what, next));
    }
    let (_, failures) = seen.lately.lane(name);
    if *breaker != BreakerState::Closed {
        let what = format!(
            "backend {name} fails too often: its breaker is {}; {waiting}",
            if *breaker == BreakerState::Open { "open" } else { "half open" }
        );
        let next = format!("look at {address}; one event is tried now and then, and {in_order}");
        return Some(problem(Severity::Error, "breaker_open", what, next));
    }
    if let Some(waits) = lane.waits_ms.filter(|waits| *waits > LONG_MS)
        && failures == 0
    {
        let oldest = for_long(waits);
        return Some(match lane.publish_ms {
            Some(took) if took >= SLOW_MS => problem(
                Severity::Error,
                "backend_slow",
                format!(
                    "backend {name} is slow: it takes {} for a batch; {waiting}, the oldest for {oldest}",
                    duration(took)
                ),
                format!(
                    "ask what holds {address} up; its events are delivered in order, and no other backend waits"
                ),
            ),
            _ => problem(
                Severity::Warning,
                "backend_behind",
                format!("backend {name} is behind: {waiting}, the oldest for {oldest}"),
                "more comes than it takes: see its rate, and host.delivery.batch and rate".into(),
            ),
        });
    }
    if failures > 0 && error.is_some() {
        let what = format!("backend {name} did not confirm {failures} tries {}; {waiting}", within(seen));
        let next = format!("look at {address}; what it refuses for good becomes a dead letter");
        return Some(problem(Severity::Error, "backend_failing", what, next));
    }
    full.then(|| {
        let what = format!("the overflow of backend {name} is full: its events wait in the journal");
        problem(
            Severity::Error,
            "overflow_full",
            what,
            "raise host.delivery.overflow, or help the backend".into(),
        )
    })
}

fn waiting(lane: &LaneStatus) -> String {
    let events = match lane.queued {
        0 => "nothing waits in memory".to_owned(),
        1 => "1 event waits".to_owned(),
        more => format!("{more} events wait"),
    };
    let disk = match lane.overflow_bytes {
        0 => String::new(),
        bytes => format!(", {} on disk", HumanBytes(bytes)),
    };
    let journal = if lane.full { ", more in the journal" } else { "" };
    format!("{events}{disk}{journal}")
}

fn plugin(step: &StepStatus, seen: &Seen<'_>) -> Option<Problem> {
    let StepStatus { route, step: index, plugin, digest, on_error, .. } = step;
    let lately = seen.lately.step(&(route.clone(), *index, plugin.clone(), digest.clone()));
    let place = format!("step {} of route {route}", index + 1);
    let all = lately.kept + lately.dropped + lately.failed;
    let problem = |severity, kind, what: String, cause: String, next: String| {
        Some(Problem { severity, kind, subject: plugin.clone(), what, cause, next, page: "plugins" })
    };
    let said = |said: &Option<crate::plugins::Said>| {
        said.as_ref().map(|said| said.reason.clone()).unwrap_or_default()
    };
    if step.suspended {
        let becomes = match on_error {
            OnError::DeadLetter => "its events become dead letters",
            OnError::Retry => "its events are tried again, then become dead letters",
            OnError::Drop => "its events are dropped",
            OnError::Pass => "its events go on without it",
        };
        let what = format!("plugin {plugin} is suspended by an operator ({place}): {becomes}");
        let next = format!("let it go on: `stagewire plugin resume {plugin}`, or on the page Plugins");
        return problem(Severity::Warning, "plugin_suspended", what, String::new(), next);
    }
    if lately.failed > 0 {
        let traps = if lately.traps > 0 { "breaks" } else { "fails" };
        let (becomes, more) = match on_error {
            OnError::DeadLetter => ("they become dead letters", dead_letters(route)),
            OnError::Retry => ("they are tried again, then become dead letters", dead_letters(route)),
            OnError::Drop => ("they are dropped", String::new()),
            OnError::Pass => ("they go on as they are", String::new()),
        };
        let what = format!(
            "plugin {plugin} {traps} on {} of {all} events {} ({place}): {becomes}",
            lately.failed,
            under_rules(seen)
        );
        let next = format!("go back to the version before: `stagewire plugin rollback {plugin}`{more}");
        return problem(Severity::Error, "plugin_failing", what, said(&step.last_failure), next);
    }
    if lately.dropped >= ENOUGH && lately.kept == 0 {
        let what = format!(
            "plugin {plugin} drops every event: {} of {all} {} ({place})",
            lately.dropped,
            under_rules(seen)
        );
        let next = format!(
            "see the settings of {place}; `stagewire route test --event FILE` shows what each step does with an event"
        );
        return problem(Severity::Warning, "plugin_drops_all", what, said(&step.last_drop), next);
    }
    None
}

fn dead_letters(route: &str) -> String {
    format!(", then `stagewire dead-letters retry --route {route}`")
}

fn routes(seen: &Seen<'_>, found: &mut Vec<Problem>) {
    let problem = |kind, subject: &str, what: String, cause: String| Problem {
        severity: Severity::Warning,
        kind,
        subject: subject.to_owned(),
        what,
        cause,
        next: "`stagewire route test --event FILE` shows which part of each rule decides".into(),
        page: "routes",
    };
    let lately = seen.lately;
    let (received, unmatched) = lately.unmatched();
    // Events that were under way at the beginning of that time may be unmatched and not received in it.
    if unmatched >= ENOUGH && unmatched >= received && seen.enabled {
        let what = format!("no rule takes any event: {unmatched} {} went nowhere", under_rules(seen));
        let rules = seen.swap.routes.len();
        let cause = format!("none of the {rules} rules matches; the events are dropped");
        found.push(problem("nothing_matches", "host", what, cause));
    }
    for route in &seen.swap.routes {
        let (_, errors) = lately.route(route);
        if errors > 0 {
            let what = format!(
                "the conditions of route {route} could not be evaluated for {errors} events {}: it did not take them",
                within(seen)
            );
            found.push(problem("condition_errors", route, what, String::new()));
        }
    }
}

fn letters(seen: &Seen<'_>, found: &mut Vec<Problem>) {
    let fresh = seen.lately.more(|totals| totals.letters);
    if seen.letters == 0 {
        return;
    }
    let (severity, more) = match fresh {
        0 => (Severity::Warning, String::new()),
        fresh => (Severity::Error, format!(", {fresh} of them new {}", within(seen))),
    };
    let wait = if seen.letters == 1 { "dead letter waits" } else { "dead letters wait" };
    found.push(Problem {
        page: "dead-letters",
        ..host(
            severity,
            "dead_letters",
            format!("{} {wait} for you{more}", seen.letters),
            String::new(),
            "`stagewire dead-letters list` shows why; mend that, then `stagewire dead-letters retry --all`"
                .into(),
        )
    });
}

/// The time that "lately" is, in words.
fn within(seen: &Seen<'_>) -> String {
    in_the_last(seen.lately.time())
}

/// The same, no longer than the rules are in force.
fn under_rules(seen: &Seen<'_>) -> String {
    in_the_last(seen.lately.time_of_rules())
}

fn in_the_last(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        "just now".into()
    } else {
        format!("in the last {}", span(time.as_secs()))
    }
}

fn for_long(ms: u64) -> String {
    span(ms / 1_000)
}

fn duration(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1_000.0) }
}

/// A length of time for people, roughly.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::super::recent::{AtSwap, Recent, Totals};
    use super::*;
    use crate::config::settings;
    use crate::host::swap::RefusedStatus;
    use crate::plugins::{Limits, Said, StepCounts};

    /// A host that is well, and what was counted in the last ten seconds.
    struct Well {
        swap: SwapStatus,
        steps: Vec<StepStatus>,
        lanes: Vec<LaneStatus>,
        journal: Stats,
        letters: usize,
        then: Totals,
        now: Totals,
    }

    impl Well {
        fn new() -> Self {
            let now = Instant::now();
            let long_ago = now.checked_sub(Duration::from_secs(60)).unwrap();
            let then = Totals {
                at_swap: Arc::new(AtSwap { at: long_ago, ..AtSwap::nothing() }),
                ..Totals::nothing(now.checked_sub(Duration::from_secs(10)).unwrap())
            };
            Self {
                swap: SwapStatus { generation: 3, routes: vec!["all".into()], ..SwapStatus::default() },
                steps: Vec::new(),
                lanes: vec![lane()],
                journal: Stats {
                    full: false,
                    first: 0,
                    next: 100,
                    cursor: 100,
                    unsettled: 0,
                    unsettled_bytes: 0,
                    max_unsettled_bytes: 1_000,
                    lost_tokens: 0,
                    segments: 1,
                    bytes: 1,
                    writable: Ok(()),
                },
                letters: 0,
                now: Totals { at: now, received: 100, ..then.clone() },
                then,
            }
        }

        fn problems(&self) -> Vec<Problem> {
            let recent = Recent::default();
            recent.add(self.then.clone());
            find(&Seen {
                enabled: true,
                swap: &self.swap,
                steps: &self.steps,
                lanes: &self.lanes,
                journal: &self.journal,
                letters: self.letters,
                lately: &recent.lately(&self.now),
                data: "/data",
                room: Some((1 << 40, 1 << 41)),
                now_ms: 60_000,
            })
        }

        fn kinds(&self) -> Vec<&'static str> {
            self.problems().iter().map(|problem| problem.kind).collect()
        }

        /// A step that has done this in the last ten seconds.
        fn with_step(mut self, counts: StepCounts) -> Self {
            let key = ("all".to_owned(), 0, "redact".to_owned(), "sha256:ab".to_owned());
            self.now.steps.insert(key, counts);
            let said = |reason: &str| Some(Said { at_ms: 1, reason: reason.into() });
            self.steps.push(StepStatus {
                suspended: false,
                route: "all".into(),
                step: 0,
                plugin: "redact".into(),
                digest: "sha256:ab".into(),
                limits: Limits::resolve(&settings::Limits::default(), &settings::Limits::default()),
                on_error: OnError::DeadLetter,
                counts,
                last_failure: said("it trapped"),
                last_drop: said("not wanted"),
                replaced: 0,
                memory: 0,
                state: None,
                shadow: None,
                canary: None,
            });
            self
        }
    }

    fn lane() -> LaneStatus {
        LaneStatus {
            emptying: false,
            name: "hook".into(),
            address: "http://hook.example".into(),
            state: State::Up,
            paused: false,
            breaker: BreakerState::Closed,
            error: None,
            since_ms: 30_000,
            queued: 0,
            overflow_bytes: 0,
            full: false,
            waits_ms: None,
            publish_ms: Some(3.0),
            delivered: 100,
            failures: 0,
            retries: 0,
            dead: 0,
            consumers: Vec::new(),
        }
    }

    #[test]
    fn a_host_that_is_well_has_no_problem() {
        let kept = StepCounts { kept: 90, dropped: 10, ..StepCounts::default() };
        assert_eq!(Well::new().with_step(kept).problems(), []);
    }

    #[test]
    fn a_suspended_plugin_is_told_with_what_becomes_of_its_events() {
        let failed = StepCounts { failed: 3, ..StepCounts::default() };
        let mut well = Well::new().with_step(failed);
        well.steps[0].suspended = true;
        let problems = well.problems();
        assert_eq!(well.kinds(), ["plugin_suspended"]);
        assert!(
            problems[0].what.ends_with("(step 1 of route all): its events become dead letters"),
            "{problems:?}"
        );
        assert!(problems[0].next.contains("stagewire plugin resume redact"), "{problems:?}");
    }

    #[test]
    fn the_worst_comes_first_with_its_cause_and_what_to_do() {
        let mut well = Well::new();
        well.letters = 2;
        well.now.letters = 2;
        well.lanes[0] = LaneStatus { state: State::Down, error: Some("refused".into()), queued: 7, ..lane() };
        well.journal.writable = Err("No space left on device".into());
        let problems = well.problems();
        assert_eq!(well.kinds(), ["journal_unwritable", "backend_down", "dead_letters"]);
        assert_eq!(problems[0].cause, "No space left on device");
        assert!(problems[0].next.contains("/data"), "{}", problems[0].next);
        assert_eq!(problems[1].what, "backend hook is down for 30 s; 7 events wait");
        assert_eq!(problems[1].cause, "refused");
        assert!(problems[1].next.contains("http://hook.example"), "{}", problems[1].next);
    }

    #[test]
    fn a_plugin_that_breaks_is_told_apart_from_one_that_drops_all() {
        let breaks = StepCounts { failed: 5, traps: 10, kept: 5, dropped: 0 };
        let problems = Well::new().with_step(breaks).problems();
        assert_eq!(
            problems[0].what,
            "plugin redact breaks on 5 of 10 events in the last 10 s (step 1 of route all): they become dead letters"
        );
        assert_eq!(problems[0].cause, "it trapped");
        assert!(problems[0].next.contains("stagewire plugin rollback redact"), "{}", problems[0].next);
        let drops = StepCounts { dropped: 12, ..StepCounts::default() };
        let problems = Well::new().with_step(drops).problems();
        assert_eq!((problems[0].kind, problems[0].cause.as_str()), ("plugin_drops_all", "not wanted"));
        let few = StepCounts { dropped: ENOUGH - 1, ..StepCounts::default() };
        assert_eq!(Well::new().with_step(few).problems(), [], "a few may be chance");
    }

    #[test]
    fn a_backend_that_is_slow_is_told_apart_from_one_that_is_behind() {
        let mut well = Well::new();
        well.lanes[0] = LaneStatus { waits_ms: Some(9_000), publish_ms: Some(2_000.0), queued: 50, ..lane() };
        assert_eq!(
            well.problems()[0].what,
            "backend hook is slow: it takes 2.0 s for a batch; 50 events wait, the oldest for 9 s"
        );
        well.lanes[0].publish_ms = Some(2.0);
        assert_eq!(well.kinds(), ["backend_behind"]);
        well.lanes[0].breaker = BreakerState::Open;
        assert_eq!(well.kinds(), ["breaker_open"]);
        well.lanes[0].paused = true;
        assert_eq!(well.kinds(), ["backend_paused"], "what an operator did is no fault of the backend");
    }

    #[test]
    fn rules_that_take_nothing_and_changes_that_were_refused_are_told() {
        let mut well = Well::new();
        well.now.unmatched = 100;
        well.swap.refused = Some(RefusedStatus { at_ms: 1, problems: vec!["line 3: exakt".into()] });
        let problems = well.problems();
        assert_eq!(well.kinds(), ["change_refused", "nothing_matches"]);
        assert_eq!(problems[0].cause, "line 3: exakt");
        well.now.unmatched = 99;
        assert_eq!(well.kinds(), ["change_refused"]);
        well.journal.unsettled_bytes = 801;
        well.now.routes.insert("all".into(), (5, 2));
        assert_eq!(well.kinds(), ["journal_nearly_full", "change_refused", "condition_errors"]);
    }
}
