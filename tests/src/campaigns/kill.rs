//! `kill -9` in a loop while events flow: what was acknowledged arrives, in the order of its key.

use std::time::Duration;

use super::{Findings, Length};
use crate::load::Load;
use crate::waiting::PATIENCE;
use crate::{Host, Redis};

/// Kills the host again and again.
///
/// # Panics
/// If an acknowledged event is lost, or a key's order is broken.
pub async fn run(length: Length) -> Findings {
    let redis = Redis::start().await;
    // Small segments: rotation and trimming happen while the host is being killed.
    let journal = "journal: { segment: 1MiB, retention: { size: 4MiB } }";
    let mut host = Host::with(redis.events_section()).host(journal).start().await;
    let load = Load::on(host.ingress()).connections(8).pace(Duration::from_millis(2)).with_ledger().start();
    let kills = length.pick(4, 40);
    for _ in 0..kills {
        let more = fastrand::u64(50..1_500);
        load.flows(more).await;
        host.kill().await;
        host.restart().await;
    }
    load.flows(100).await;
    let report = load.stop().await;
    host.has_settled().await;
    let stream = redis.stream("nlp-events");
    stream.is_quiet_at(report.ledger.owed(), PATIENCE).await;
    let ids = stream.ids().await;
    let verdict = report.ledger.check(ids.iter().map(String::as_str));
    verdict.must_be_clean();
    let mut findings = Findings::default();
    findings.add("kills", kills);
    findings.add("events", verdict);
    findings.add("answers by status", format!("{:?}", report.statuses));
    findings.add("requests without an answer", report.broken);
    findings
}
