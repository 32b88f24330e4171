//! What became of a load: all that was acknowledged is at the broker, or among the dead letters.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Host;
use crate::brokers::Broker;
use crate::checker::{Ledger, Ticket, Verdict};
use crate::waiting::{PATIENCE, until};

/// Between two looks at a broker that does not have everything yet.
const BETWEEN: Duration = Duration::from_millis(200);
const PAGE: usize = 1_000;

/// Waits until all that is owed has arrived, as the broker itself shows it, or nothing has arrived for long.
pub async fn of<B: Broker>(broker: &B, host: &Host, ledger: &Ledger) -> Verdict {
    host.has_settled().await;
    let (mut arrivals, mut since) = (0, Instant::now());
    loop {
        let dead = dead_letters(host).await;
        let ids = broker.ids().await;
        let mut verdict = ledger.check(ids.iter().map(String::as_str));
        verdict.forgive(&dead);
        if verdict.lost.is_empty() {
            return verdict;
        }
        // Reading a long stream takes its time: what counts is whether that brought more.
        if verdict.arrivals > arrivals {
            (arrivals, since) = (verdict.arrivals, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return verdict;
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// The events that were given up and kept.
pub async fn dead_letters(host: &Host) -> HashSet<Ticket> {
    let (mut found, mut after) = (HashSet::new(), 0);
    loop {
        let path = format!("/api/v1/dead-letters?after={after}&limit={PAGE}");
        let page = host.admin("GET", &path).await.expect("the admin API answers").json();
        let letters = page.as_array().cloned().unwrap_or_default();
        let Some(last) = letters.last().and_then(|letter| letter["id"].as_u64()) else { return found };
        after = last;
        found.extend(letters.iter().filter_map(|letter| Ticket::parse(letter["event"]["id"].as_str()?)));
    }
}

/// Waits until so many events have left the host: confirmed by its one backend, or given up.
pub async fn has_done(host: &Host, count: u64) {
    let what = format!("the lane is done with {count} events");
    // A backlog takes its time; that it does not shrink is what must not last.
    let mut done = done_with(host).await;
    while done < count {
        let before = done;
        done = until(&what, PATIENCE, async || {
            Some(done_with(host).await).filter(|now| *now > before || *now >= count)
        })
        .await;
    }
}

/// How many events have left the host so far.
pub async fn done_with(host: &Host) -> u64 {
    done_in(&host.status().await)
}

/// The same, as that status says.
pub fn done_in(status: &Value) -> u64 {
    let of = |lane: &Value, what: &str| lane[what].as_u64().unwrap_or_default();
    let lanes = status["lanes"].as_array().into_iter().flatten();
    lanes.map(|lane| of(lane, "delivered") + of(lane, "dead")).sum()
}
