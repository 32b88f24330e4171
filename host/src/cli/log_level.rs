//! `stagewire log-level`

use super::{AdminAddress, Failure, Outcome, encoded, say};
use crate::config::units::Span;
use crate::telemetry::logs::LogLevels;

/// Show or set the log levels of a running host
///
/// Without an argument, shows them. A level that was set holds for a while, or to the end of the host.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire log-level\n  stagewire log-level debug --for 10m\n  stagewire log-level stagewire::delivery=trace\n  stagewire log-level --reset"
)]
pub(super) struct LogLevel {
    /// A level for all that is the host's own, or for one target: `debug`, `stagewire::delivery=trace`
    #[arg(value_name = "[TARGET=]LEVEL")]
    level: Option<String>,
    /// How long: `10m`
    #[arg(long = "for", value_name = "TIME", value_parser = Span::parse, requires = "level")]
    span: Option<Span>,
    /// Take back what was set: for TARGET, or for all
    #[arg(long, value_name = "TARGET", num_args = 0..=1, default_missing_value = "", conflicts_with = "level")]
    reset: Option<String>,
    #[command(flatten)]
    host: AdminAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LogLevel {
    pub(super) async fn run(self) -> Outcome {
        let (method, path) = match (&self.level, &self.reset) {
            (Some(level), _) => (reqwest::Method::POST, set(level, self.span)?),
            (None, Some(target)) => {
                let target = Some(target).filter(|target| !target.is_empty());
                let target = target.map(|target| format!("?target={}", encoded(target)));
                (reqwest::Method::POST, format!("/api/v1/log-level/reset{}", target.unwrap_or_default()))
            }
            (None, None) => (reqwest::Method::GET, "/api/v1/log-level".into()),
        };
        let text = self.host.ask(method, &path).await?;
        if self.json {
            return say(text);
        }
        let levels: LogLevels = serde_json::from_str(&text)?;
        say(&levels.filter)?;
        let until =
            |at_ms: u64| i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        for target in &levels.targets {
            if let Some(until) = target.until_ms.and_then(until) {
                say(format_args!("{} until {until}", target.target))?;
            }
        }
        Ok(())
    }
}

fn set(text: &str, span: Option<Span>) -> Result<String, Failure> {
    let (target, level) = text.split_once('=').map_or((None, text), |(target, level)| (Some(target), level));
    let level = level.to_ascii_uppercase();
    let known = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
    if !known.contains(&level.as_str()) {
        return Err(Failure::Usage(format!(
            "{level:?} is no level; write one of {}",
            known.join(", ").to_lowercase()
        )));
    }
    let target = target.map(|target| format!("&target={}", encoded(target))).unwrap_or_default();
    let span = span.map(|span| format!("&for={}", encoded(&span.to_string()))).unwrap_or_default();
    Ok(format!("/api/v1/log-level?level={level}{target}{span}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_a_time_go_into_the_query() {
        let path = |text| set(text, None).map_err(|_| ());
        assert_eq!(path("debug"), Ok("/api/v1/log-level?level=DEBUG".into()));
        assert_eq!(path("a::b=Trace"), Ok("/api/v1/log-level?level=TRACE&target=a%3A%3Ab".into()));
        assert_eq!(path("loud"), Err(()));
        let timed = set("info", Some(Span::millis(600_000))).map_err(|_| ());
        assert_eq!(timed, Ok("/api/v1/log-level?level=INFO&for=10m".into()));
    }
}
