//! The whole way of an event, against doing less.

use std::net::SocketAddr;
use std::time::Duration;

use stagewire_tests::load::Load;
use stagewire_tests::wire;

use crate::contenders::{Contender, FILTERED, Round, alternate, medians};
use crate::figures::compare;
use crate::sink::Sink;

const NOTHING: &str = "workers: 2";

/// (a) CPU an event: host with one filter plugin against the forwarder.
pub(crate) async fn against_forwarder() {
    let host = Contender::host(FILTERED, NOTHING).await;
    let forwarder = Contender::forwarder().await;
    for (what, connections, batch) in
        [("16 connections", 16, 1), ("64 connections", 64, 1), ("batches of 100", 16, 100)]
    {
        let load = |load: Load| load.connections(connections).batch(batch);
        let rounds = alternate([&host, &forwarder], load).await;
        by_cpu(what, ["host", "forwarder"], &rounds, "at most 2.0, goal 1.5");
    }
}

/// (b) Throughput with and without the filter.
pub(crate) async fn with_against_without_filter() {
    let with = Contender::host(FILTERED, NOTHING).await;
    let without = Contender::host("", NOTHING).await;
    side_by_side([("with", &with), ("without", &without)], "at least 0.95").await;
}

/// (c) Throughput by when an append counts as durable.
pub(crate) async fn fsync_always_against_never() {
    let always = Contender::host(FILTERED, "journal: { fsync: always }").await;
    let never = Contender::host(FILTERED, "journal: { fsync: never }").await;
    let load = |load: Load| load.connections(64);
    let rounds = alternate([&always, &never], load).await;
    by_rate("64 connections", ["always", "never"], &rounds, "at least 0.8");
}

/// What seeing costs: everything that an operator can have, with one event in a hundred traced, against nothing of it.
pub(crate) async fn seen_against_unseen() {
    // Where spans go to is another machine's work: here a receiver that does not look at them.
    let collector = Sink::start().await;
    let settings = format!(
        "provenance: {{ enabled: true }}\n  tracing: {{ endpoint: \"{}\", protocol: http, sample: 0.01 }}",
        collector.origin()
    );
    let seen = Contender::host(FILTERED, &settings).await;
    let unseen = Contender::host(FILTERED, "provenance: { enabled: false }").await;
    let looking = tokio::spawn(look(seen.admin()));
    side_by_side([("seen", &seen), ("unseen", &unseen)], "at least 0.9").await;
    looking.abort();
    assert!(collector.taken() > 0, "spans were exported");
}

/// Throughput of two hosts, for single events and for batches.
async fn side_by_side([(one, first), (other, second)]: [(&str, &Contender); 2], bound: &str) {
    for (what, batch) in [("64 connections", 1), ("batches of 100", 100)] {
        let load = |load: Load| load.connections(64).batch(batch);
        let rounds = alternate([first, second], load).await;
        by_rate(what, [one, other], &rounds, bound);
        by_cpu("", [one, other], &rounds, "for information");
    }
}

fn by_rate(what: &str, names: [&str; 2], rounds: &[Vec<Round>; 2], bound: &str) {
    compare(what, "/s", medians(names, rounds, |round| round.rate), bound);
}

fn by_cpu(what: &str, names: [&str; 2], rounds: &[Vec<Round>; 2], bound: &str) {
    compare(what, "µs CPU an event", medians(names, rounds, |round| round.cpu), bound);
}

/// What an open dashboard asks for, and a monitoring system more often than usual.
async fn look(admin: SocketAddr) {
    let mut beat = tokio::time::interval(Duration::from_secs(2));
    loop {
        beat.tick().await;
        for path in ["/api/v1/status", "/metrics", "/api/v1/history", "/api/v1/events?limit=100&outcome=true"]
        {
            // A host that is too busy to answer is seen by its throughput.
            let _ = wire::send(admin, "GET", path, &[], b"").await;
        }
    }
}
