//! `stagewire status`

use comfy_table::{Table, presets};

use super::facts::{Consumer, Facts, Health, Lane, Problem, Step, bytes, count, rate, time, version};
use super::paint::Paint;
use super::{AdminAddress, Outcome, say};

/// Show a running host: what is wrong, what flows, rules in force, journal, backends
#[derive(clap::Args)]
#[command(after_help = "\
Exit code: 0 where the host answers, whatever is wrong with it; 1 where it does not. With --check, 1 also
where anything worse than a warning is wrong.

Examples:
  stagewire status
  stagewire status --json | jq .problems
  stagewire status --check > /dev/null || echo 'something is wrong'
  stagewire top                            # the same, live")]
pub(super) struct Status {
    #[command(flatten)]
    host: AdminAddress,
    /// End with 1 where anything worse than a warning is wrong
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self) -> Outcome {
        let (facts, body) = Facts::of(&self.host).await?;
        if self.json {
            say(body)?;
        } else {
            say(picture(&facts, Paint::of(&std::io::stdout())))?;
        }
        match facts.problems.iter().find(|problem| problem.health() == Health::Ill) {
            Some(worst) if self.check => Err(super::Failure::Failed(worst.what.clone())),
            _ => Ok(()),
        }
    }
}

fn picture(facts: &Facts, paint: Paint) -> String {
    let mut lines = vec![format!(
        "stagewire {} · up {} · {} · generation {}",
        facts.version,
        time(facts.uptime_seconds as f64 * 1_000.0),
        if facts.enabled { "publishing" } else { "events.enabled is false: accepts and drops" },
        facts.generation,
    )];
    if facts.problems.is_empty() {
        lines.push(paint.health(Health::Well, "nothing is wrong"));
    }
    lines.extend(facts.problems.iter().map(|problem| told(problem, paint)));
    let (rates, journal) = (&facts.rates, &facts.journal);
    lines.push(format!(
        "events   {} received, {} refused, {} dropped, {} without a route, {} delivered, {} failed tries",
        rate(rates.received),
        rate(rates.refused),
        rate(rates.dropped),
        rate(rates.unmatched),
        rate(rates.published),
        rate(rates.failures)
    ));
    lines.push(format!("routes   {}", facts.routes.join(", ")));
    lines.push(format!(
        "journal  {} unsettled of {} accepted, {} on disk{}",
        count(journal.unsettled),
        count(journal.next),
        bytes(journal.bytes),
        journal.problem().map(|problem| format!(", cannot write: {problem}")).unwrap_or_default()
    ));
    lines.push(format!("dead letters  {}", count(facts.dead_letters)));
    if !facts.steps.is_empty() {
        lines.push(steps(&facts.steps));
    }
    lines.push(lanes(facts));
    lines.extend(consumers(&facts.lanes));
    if let Some(refused) = &facts.refused {
        lines.push("last candidate refused:".into());
        lines.extend(refused.problems.iter().map(|problem| format!("  {problem}")));
    }
    lines.join("\n")
}

/// One problem, with its cause and what to do below it.
fn told(problem: &Problem, paint: Paint) -> String {
    let severity = paint.health(problem.health(), &format!("{:<8}", problem.severity));
    let mut lines = vec![format!("{severity} {}", problem.what)];
    if !problem.cause.is_empty() {
        lines.push(format!("because: {}", problem.cause));
    }
    lines.push(format!("next: {}", problem.next));
    lines.join("\n").replace('\n', "\n         ")
}

fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(columns);
    table
}

fn steps(steps: &[Step]) -> String {
    let columns = [
        "route",
        "step",
        "plugin",
        "digest",
        "kept",
        "dropped",
        "failed",
        "traps",
        "memory",
        "state",
        "replaced",
        "granted",
        "beside it",
    ];
    let mut table = table(columns);
    for step in steps {
        let size = |size: Option<u64>| size.map_or_else(|| "-".into(), bytes);
        table.add_row([
            step.route.clone(),
            (step.index + 1).to_string(),
            step.plugin.clone(),
            version(&step.digest).to_owned(),
            count(step.kept),
            count(step.dropped),
            count(step.failed),
            count(step.traps),
            size(step.memory),
            size(step.state),
            count(step.replaced),
            step.grants.join(", "),
            beside(step),
        ]);
    }
    table.to_string()
}

/// A step's candidates, and what they have shown so far.
pub(super) fn beside(step: &Step) -> String {
    let shadow = step.shadow.as_ref().map(|shadow| {
        format!("shadow {}: {} of {} differ", shadow.plugin, count(shadow.differed), count(shadow.compared))
    });
    let canary = step.canary.as_ref().map(|canary| {
        format!("canary {}: {} %, {} events", canary.plugin, canary.percent, count(canary.events))
    });
    shadow.into_iter().chain(canary).collect::<Vec<_>>().join("; ")
}

/// Who reads from the backends, where any are named.
fn consumers(lanes: &[Lane]) -> Option<String> {
    let mut table = table(["backend", "consumer", "behind", "not acknowledged", "error"]);
    for lane in lanes {
        for consumer in &lane.consumers {
            let known = |number: Option<u64>| number.map_or_else(|| "-".into(), count);
            let error = consumer.error.clone().unwrap_or_else(|| "-".into());
            let Consumer { name, lag, pending, .. } = consumer;
            table.add_row([lane.name.clone(), name.clone(), known(*lag), known(*pending), error]);
        }
    }
    (!table.is_empty()).then(|| table.to_string())
}

fn lanes(facts: &Facts) -> String {
    let columns = [
        "backend",
        "address",
        "state",
        "breaker",
        "rate",
        "a batch takes",
        "queued",
        "oldest",
        "overflow",
        "delivered",
        "failed tries",
        "retries",
        "given up",
        "error",
    ];
    let mut table = table(columns);
    for lane in &facts.lanes {
        table.add_row(row(lane, facts));
    }
    table.to_string()
}

fn row(lane: &Lane, facts: &Facts) -> [String; 14] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let flows = facts.rates.lanes.get(&lane.name).copied().unwrap_or_default();
    [
        lane.name.clone(),
        lane.address.clone(),
        lane.health().1.into(),
        lane.breaker(),
        rate(flows.published),
        or_none(lane.publish_ms.map(time)),
        count(lane.queued),
        or_none(lane.waits_ms.map(|ms| time(ms as f64))),
        bytes(lane.overflow_bytes),
        count(lane.delivered),
        count(lane.failures),
        count(lane.retries),
        count(lane.dead),
        or_none(lane.error.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_is_shown_where_somebody_is_named() {
        let facts: Facts = serde_json::from_str(
            r#"{"lanes": [{"name": "a", "consumers": [{"name": "billing", "lag": 1200, "pending": null, "at_ms": 1, "error": null}]}]}"#,
        )
        .unwrap();
        let text = picture(&facts, Paint::Plain);
        let row = text.lines().find(|line| line.contains("billing")).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["a", "billing", "1,200", "-", "-"]);
        assert!(!picture(&Facts::default(), Paint::Plain).contains("consumer"));
    }

    #[test]
    fn what_is_wrong_stands_first() {
        let facts: Facts = serde_json::from_str(
            r#"{"version": "0.1.0", "uptime_seconds": 65, "enabled": true, "generation": 3,
                "problems": [{"severity": "error", "what": "backend hook is down", "cause": "refused", "next": "look"},
                             {"severity": "warning", "what": "a plugin drops all", "cause": "", "next": "see"}],
                "rates": {"received": 10.0}, "routes": ["all"], "dead_letters": 1, "journal": {"next": 1234},
                "lanes": []}"#,
        )
        .unwrap();
        let text = picture(&facts, Paint::Plain);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..7],
            [
                "stagewire 0.1.0 · up 1 min · publishing · generation 3",
                "error    backend hook is down",
                "         because: refused",
                "         next: look",
                "warning  a plugin drops all",
                "         next: see",
                "events   10/s received, 0/s refused, 0/s dropped, 0/s without a route, 0/s delivered, 0/s failed tries",
            ]
        );
    }
}
