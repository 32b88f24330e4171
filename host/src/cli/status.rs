//! `stagewire status`

use comfy_table::{Table, presets};
use serde_json::Value;

use super::{AdminAddress, Failure, Outcome, say};
use crate::config::units::Size;

/// Show a running host: rules in force, journal, lanes
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire status\n  stagewire status --json | jq .lanes")]
pub(super) struct Status {
    #[command(flatten)]
    host: AdminAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self) -> Outcome {
        let (code, body) = self.host.call(reqwest::Method::GET, "/api/v1/status").await?;
        if !code.is_success() {
            return Err(Failure::Failed(format!("the host answered {code}: {body}")));
        }
        if self.json {
            return say(body);
        }
        let status: Value = serde_json::from_str(&body)?;
        say(picture(&status))
    }
}

fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}

fn picture(status: &Value) -> String {
    let mut lines = vec![format!(
        "stagewire {} · up {} s · {} · generation {}",
        text(status, "version"),
        text(status, "uptime_seconds"),
        if status["enabled"] == true { "publishing" } else { "events.enabled is false: accepts and drops" },
        text(status, "generation"),
    )];
    let list = |key: &str| status[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let routes: Vec<_> = list("routes").iter().filter_map(Value::as_str).collect();
    lines.push(format!("routes   {}", routes.join(", ")));
    let journal = &status["journal"];
    lines.push(format!(
        "journal  {} unsettled of {} accepted, {} bytes on disk",
        text(journal, "unsettled"),
        text(journal, "next"),
        text(journal, "bytes")
    ));
    lines.push(format!("dead letters  {}", text(status, "dead_letters")));
    if !list("steps").is_empty() {
        lines.push(steps(list("steps")));
    }
    lines.push(lanes(list("lanes")));
    lines.extend(consumers(list("lanes")));
    if let Some(refused) = status["refused"].as_object() {
        lines.push("last candidate refused:".into());
        let problems =
            refused.get("problems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        lines.extend(problems.iter().filter_map(Value::as_str).map(|problem| format!("  {problem}")));
    }
    lines.join("\n")
}

fn steps(steps: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["route", "step", "plugin", "digest", "memory", "state", "replaced", "beside it"]);
    for step in steps {
        let digest = text(step, "digest");
        let bytes =
            |key: &str| step[key].as_u64().map_or_else(|| "-".into(), |bytes| Size(bytes).to_string());
        let number = step["step"].as_u64().map_or_else(|| "-".into(), |number| (number + 1).to_string());
        table.add_row([
            text(step, "route"),
            number,
            text(step, "plugin"),
            digest.get(..19).unwrap_or(&digest).to_owned(),
            bytes("memory"),
            bytes("state"),
            text(step, "replaced"),
            beside(step),
        ]);
    }
    table.to_string()
}

/// A step's candidates, and what they have shown so far.
fn beside(step: &Value) -> String {
    let shadow = step["shadow"].as_object().map(|_| {
        let shadow = &step["shadow"];
        let (differed, compared) = (text(shadow, "differed"), text(shadow, "compared"));
        format!("shadow {}: {differed} of {compared} differ", text(shadow, "plugin"))
    });
    let canary = step["canary"].as_object().map(|_| {
        let canary = &step["canary"];
        format!(
            "canary {}: {} %, {} events",
            text(canary, "plugin"),
            text(canary, "percent"),
            text(canary, "events")
        )
    });
    shadow.into_iter().chain(canary).collect::<Vec<_>>().join("; ")
}

/// Who reads from the backends, where any are named.
fn consumers(lanes: &[Value]) -> Option<String> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["backend", "consumer", "behind", "not acknowledged", "error"]);
    for lane in lanes {
        for consumer in lane["consumers"].as_array().into_iter().flatten() {
            let columns = ["name", "lag", "pending", "error"].map(|column| text(consumer, column));
            table.add_row(std::iter::once(text(lane, "name")).chain(columns));
        }
    }
    (!table.is_empty()).then(|| table.to_string())
}

fn lanes(lanes: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "backend",
        "address",
        "state",
        "breaker",
        "queued",
        "overflow",
        "delivered",
        "retries",
        "error",
    ]);
    for lane in lanes {
        let columns = [
            "name",
            "address",
            "state",
            "breaker",
            "queued",
            "overflow_bytes",
            "delivered",
            "retries",
            "error",
        ];
        table.add_row(columns.map(|column| match column {
            "state" if lane["paused"] == true => "paused".into(),
            _ => text(lane, column),
        }));
    }
    table.to_string()
}
