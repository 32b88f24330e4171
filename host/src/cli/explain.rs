//! `stagewire explain`

use serde_json::Value;

use super::{AdminAddress, Failure, Outcome, encoded, say};

/// Show what became of an event: rules, plugin versions, deliveries, where it is now
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire explain evt_1\n  stagewire explain evt_1 --json | jq .events[0].state"
)]
pub(super) struct Explain {
    /// The event's id
    id: String,
    #[command(flatten)]
    host: AdminAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) async fn run(self) -> Outcome {
        let path = format!("/api/v1/explain/{}", encoded(&self.id));
        let body = self.host.ask(reqwest::Method::GET, &path).await?;
        if self.json {
            return say(body.trim_end());
        }
        let answer: Value = serde_json::from_str(&body)?;
        let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
        if events.is_empty() {
            let id = &self.id;
            return Err(Failure::Failed(format!(
                "nothing is known of {id:?}: it was never accepted, or its journal segment is gone (host.journal.retention)"
            )));
        }
        events.iter().try_for_each(tell)
    }
}

fn tell(event: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let from = match (event["letter"].as_u64(), event["source"].as_str()) {
        (Some(letter), _) => format!("dead letter {letter}, tried again"),
        (None, Some(source)) => format!("{} from {source}", text(&event["type"])),
        (None, None) => "the event itself is gone".into(),
    };
    say(format_args!("{}  {}: {from}", text(&event["id"]), text(&event["state"]).replace('_', " ")))?;
    say(format_args!("  accepted {}, generation {}", time(&event["at_ms"]), event["generation"]))?;
    for journey in list(&event["journeys"]) {
        say(format_args!("  route {}", text(&journey["route"])))?;
        for step in list(&journey["steps"]) {
            let digest = text(&step["digest"]);
            let digest = digest.get(..19).unwrap_or(&digest).to_owned();
            let reason = step["reason"].as_str().filter(|reason| !reason.is_empty());
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let changed: Vec<_> = list(&step["changed"]).iter().filter_map(Value::as_str).collect();
            let changed =
                if changed.is_empty() { String::new() } else { format!(" of {}", changed.join(", ")) };
            let (plugin, verdict) = (text(&step["plugin"]), text(&step["verdict"]));
            let number = number(&step["step"]) + 1;
            say(format_args!("    step {number} {plugin} {digest}  {verdict}{changed}{reason}"))?;
        }
        if let Some(reason) = journey["left_out"].as_str() {
            say(format_args!("    left out by the route: {}", spoken(reason)))?;
        }
        for delivery in list(&journey["deliveries"]) {
            let (backend, receipt) = (text(&delivery["backend"]), text(&delivery["receipt"]));
            let (tries, latency) = (number(&delivery["tries"]), number(&delivery["latency_ms"]));
            let times = if tries == 1 { String::new() } else { format!(" at try {tries}") };
            let at = time(&delivery["at_ms"]);
            say(format_args!("    delivered to {backend}{times} after {latency} ms, {at}  {receipt}"))?;
        }
        for burial in list(&journey["buried"]) {
            say(format_args!("    dead letter of {}: {}", text(&burial["place"]), text(&burial["reason"])))?;
        }
        let known = list(&journey["deliveries"]).len() + list(&journey["buried"]).len();
        let owed = number(&journey["owed"]).saturating_sub(known as u64);
        if owed > 0 {
            say(format_args!("    still owed to {owed} backend(s)"))?;
        }
    }
    Ok(())
}

fn spoken(left_out: &str) -> &str {
    match left_out {
        "not_sampled" => "it is not of its sample",
        "duplicate" => "one of the same source and id went before (dedup)",
        "rate" => "more came than its rate",
        other => other,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn time(at_ms: &Value) -> String {
    let at = at_ms.as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".into(), |at| at.to_string())
}
