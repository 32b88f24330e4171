//! `kill -9` of each broker in a loop while events flow: what was acknowledged arrives, in the order of its key.

use std::time::{Duration, Instant};

use super::{Choice, Findings, Length, Outcomes, each_backend};
use crate::Host;
use crate::arrival;
use crate::brokers::Broker;
use crate::checker::Verdict;
use crate::load::Load;

/// Kills each broker again and again.
///
/// # Panics
/// If an acknowledged event is lost, or a key's order is broken.
pub async fn run(length: Length, choice: &Choice) -> Findings {
    let mut findings = Findings::default();
    findings.add("kills of each", kills(length));
    let mut outcomes = Outcomes::default();
    each_backend!(choice, |name, Backend| {
        outcomes.add(name, Box::pin(against::<Backend>(length))).await;
    });
    outcomes.conclude(findings)
}

fn kills(length: Length) -> u32 {
    length.pick(2, 20)
}

/// Kills one broker again and again.
pub async fn against<B: Broker>(length: Length) -> Verdict {
    let mut broker = B::start().await;
    let settings = broker.events(B::CONTENTS[0], "");
    let host = Host::with(settings).host("delivery: { retry_max: 1s }").start().await;
    let pace = Duration::from_millis(10);
    let load = Load::on(host.ingress()).connections(8).pace(pace).with_ledger().start();
    for kill in 1..=kills(length) {
        // Sometimes in the midst of its backlog, sometimes when it has had everything.
        if fastrand::bool() {
            arrival::has_done(&host, load.acknowledged()).await;
        }
        load.flows(fastrand::u64(20..400)).await;
        broker.kill().await;
        load.flows(fastrand::u64(20..400)).await;
        let begin = Instant::now();
        broker.again().await;
        println!("  {:<14} kill {kill}, there again after {:.1} s", B::KIND, begin.elapsed().as_secs_f64());
    }
    load.flows(100).await;
    let report = load.stop().await;
    arrival::of(&broker, &host, &report.ledger).await
}
