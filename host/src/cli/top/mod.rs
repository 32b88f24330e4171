//! `stagewire top`: the way of an event, live in a terminal, drawn from the admin API alone.

mod feed;
mod latency;
mod lines;
mod pages;
mod screen;

use std::io::IsTerminal;
use std::time::Duration;

use super::paint::{self, Paint};
use super::{AdminAddress, Failure, Outcome, say};
use crate::config::units::Span;
use feed::Feed;
use pages::{Page, View};

/// The widest picture that is printed where nobody says how wide.
const WIDTH: u16 = 120;

/// Show a running host live: what is wrong, what flows, steps, backends, dead letters, events
#[derive(clap::Args)]
#[command(after_help = "\
Keys: Tab, arrows or 1 to 6 change the page, up and down scroll, p pauses, r asks now, ? helps, q ends.
If the host does not answer, the screen says so and goes on asking. NO_COLOR is heeded.

With --json, each line is what /api/v1/status says, with \"at_ms\" and \"latency\" (milliseconds from
acceptance to confirmation, by backend, over the last minute); where the host does not answer,
{\"at_ms\", \"error\"}.

Examples:
  stagewire top
  stagewire top --interval 500ms
  stagewire top --once
  stagewire top --json | jq -c '[.at_ms, .rates.received, .problems[0].what]'")]
pub(super) struct Top {
    #[command(flatten)]
    host: AdminAddress,
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Print one picture and end; with 1 where the host does not answer
    #[arg(long)]
    once: bool,
    /// Print a line of JSON for each look
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let Span(time) = Span::parse(text).map_err(|_| "write it like 500ms, 2s or 1m".to_owned())?;
    if time < Duration::from_millis(100) {
        Err("at least 100ms: a look costs the host, too".into())
    } else {
        Ok(time)
    }
}

impl Top {
    pub(super) async fn run(self) -> Outcome {
        let feed = Feed::new(self.host.clone());
        if self.json {
            return self.lines(feed).await;
        }
        if self.once {
            return once(feed).await;
        }
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            return Err(Failure::Usage("top needs a terminal; --once and --json do not".into()));
        }
        screen::run(feed, self.interval).await
    }

    async fn lines(self, mut feed: Feed) -> Outcome {
        let mut beat = tokio::time::interval(self.interval);
        loop {
            beat.tick().await;
            let look = feed.look(Page::Overview).await;
            say(look.to_json())?;
            if self.once {
                return look.picture.map(|_| ()).map_err(|_| Failure::Failed(String::new()));
            }
        }
    }
}

async fn once(mut feed: Feed) -> Outcome {
    let look = feed.look(Page::Overview).await;
    if let Err(error) = look.picture {
        return Err(Failure::Failed(error));
    }
    let width = crossterm::terminal::size().map_or(WIDTH, |(width, _)| width.max(80));
    let coloured = Paint::of(&std::io::stdout()) == Paint::Coloured;
    let mut view = View::new(coloured && paint::is_wanted());
    view.take(look);
    let lines = view.body(width, None);
    say(lines.iter().map(|line| lines::to_text(line, coloured)).collect::<Vec<_>>().join("\n"))
}
