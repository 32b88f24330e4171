//! The whole way of an event, against doing less.

use std::net::SocketAddr;
use std::time::Duration;

use stagewire_tests::load::Load;
use stagewire_tests::wire;

use crate::contenders::{Contender, FILTERED, alternate};
use crate::figures::{compare, median};
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
        let [a, b] = alternate([&host, &forwarder], load, |round| round.cpu).await;
        compare(what, "µs", [("host", median(a)), ("forwarder", median(b))], "at most 2.0, goal 1.5");
    }
}

/// (b) Throughput with and without the filter.
pub(crate) async fn with_against_without_filter() {
    let with = Contender::host(FILTERED, NOTHING).await;
    let without = Contender::host("", NOTHING).await;
    for (what, batch) in [("64 connections", 1), ("batches of 100", 100)] {
        let load = |load: Load| load.connections(64).batch(batch);
        let [a, b] = alternate([&with, &without], load, |round| round.rate).await;
        compare(what, "/s", [("with", median(a)), ("without", median(b))], "at least 0.95");
    }
}

/// (c) Throughput by when an append counts as durable.
pub(crate) async fn fsync_always_against_never() {
    let always = Contender::host(FILTERED, "journal: { fsync: always }").await;
    let never = Contender::host(FILTERED, "journal: { fsync: never }").await;
    let load = |load: Load| load.connections(64);
    let [a, b] = alternate([&always, &never], load, |round| round.rate).await;
    compare("64 connections", "/s", [("always", median(a)), ("never", median(b))], "at least 0.8");
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
    for (what, batch) in [("64 connections", 1), ("batches of 100", 100)] {
        let load = |load: Load| load.connections(64).batch(batch);
        let [a, b] = alternate([&seen, &unseen], load, |round| round.rate).await;
        compare(what, "/s", [("seen", median(a)), ("unseen", median(b))], "at least 0.9");
    }
    looking.abort();
    assert!(collector.taken() > 0, "spans were exported");
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
