//! Each metric, and what moves it: break that thing, see that number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use stagewire_tests::brokers::Broker;
use stagewire_tests::host::{STRUCTURED, sum_of};
use stagewire_tests::load::Load;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Collector, Host, Receiver, Redis, places};

/// A metric, labels that its samples have, and which way it goes.
type Moved = (&'static str, &'static str, Way);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

use Way::{Down, Up};

/// What the document's "Monitoring & Observability" asks for, and the metrics that answer it.
const DOCUMENT: &[(&str, &[&str])] = &[
    ("events published per second", &["stagewire_events_published_total"]),
    ("publish latency (p50, p95, p99)", &["stagewire_publish_latency_seconds"]),
    ("publish failures", &["stagewire_publish_failures_total"]),
    (
        "backend-specific errors",
        &["stagewire_publish_failures_total", "stagewire_lane_breaker", "stagewire_lane_up"],
    ),
    ("events by type", &["stagewire_events_by_type_total"]),
    ("event payload size", &["stagewire_event_payload_bytes"]),
    ("time from processing to publish", &["stagewire_publish_age_seconds"]),
    ("consumer lag", &["stagewire_consumer_lag", "stagewire_consumer_pending"]),
    // How long a consumer works on an event only the consumer knows: its spans go on with the event's trace.
    ("processing time", &["stagewire_plugin_call_seconds"]),
    ("dead-letter queue size", &["stagewire_dead_letters_kept"]),
];

/// Every cause, and what it must move.
const CAUSES: &[(&str, &[Moved])] = &[
    (
        "an event is delivered",
        &[
            ("stagewire_events_received_total", "", Up),
            ("stagewire_events_by_type_total", "type=\"plain\"", Up),
            ("stagewire_event_payload_bytes_sum", "", Up),
            ("stagewire_route_matches_total", "route=\"through\"", Up),
            ("stagewire_events_published_total", "backend=\"redis_streams\"", Up),
            ("stagewire_publish_latency_seconds_count", "backend=\"redis_streams\"", Up),
            ("stagewire_publish_age_seconds_sum", "backend=\"redis_streams\"", Up),
            ("stagewire_plugin_kept_total", "plugin=\"counts\"", Up),
            ("stagewire_plugin_call_seconds_count", "plugin=\"counts\"", Up),
            ("stagewire_plugin_count_total", "name=\"plain\"", Up),
            ("stagewire_plugin_observation_count", "name=\"length\"", Up),
            ("stagewire_journal_size_bytes", "", Up),
        ],
    ),
    ("an event is malformed", &[("stagewire_events_refused_total", "reason=\"malformed\"", Up)]),
    (
        "an event carries a text",
        &[
            ("stagewire_privacy_events_total", "action=\"reject\"", Up),
            ("stagewire_events_refused_total", "reason=\"privacy\"", Up),
        ],
    ),
    ("a type is switched off", &[("stagewire_events_dropped_total", "reason=\"publish_events\"", Up)]),
    (
        "no rule takes an event, and one cannot be evaluated",
        &[
            ("stagewire_events_unmatched_total", "", Up),
            ("stagewire_condition_errors_total", "route=\"by-data\"", Up),
            ("stagewire_payloads_parsed_total", "", Up),
        ],
    ),
    (
        "a route thins what it takes",
        &[
            ("stagewire_route_left_out_total", "reason=\"duplicate\"", Up),
            ("stagewire_route_dedup_full_total", "route=\"thin\"", Up),
        ],
    ),
    ("a plugin drops", &[("stagewire_plugin_dropped_total", "plugin=\"drops-one\"", Up)]),
    (
        "a plugin traps",
        &[
            ("stagewire_plugin_traps_total", "plugin=\"trap\"", Up),
            ("stagewire_plugin_failed_total", "plugin=\"trap\"", Up),
            ("stagewire_events_dropped_total", "reason=\"dead_letter\"", Up),
            ("stagewire_dead_letters_kept", "", Up),
        ],
    ),
    ("a plugin remembers", &[("stagewire_plugin_state_bytes", "plugin=\"remembers\"", Up)]),
    ("a plugin reads a large event", &[("stagewire_plugin_memory_bytes", "plugin=\"redact\"", Up)]),
    (
        "a backend dies",
        &[
            ("stagewire_lane_up", "backend=\"redis_streams\"", Down),
            ("stagewire_publish_failures_total", "class=\"reconnect\"", Up),
            ("stagewire_lane_queued", "backend=\"redis_streams\"", Up),
            ("stagewire_lane_overflowed_total", "backend=\"redis_streams\"", Up),
            ("stagewire_lane_overflow_bytes", "backend=\"redis_streams\"", Up),
            ("stagewire_lane_refused_total", "backend=\"redis_streams\"", Up),
            ("stagewire_journal_unsettled_events", "", Up),
            ("stagewire_journal_unsettled_bytes", "", Up),
            ("stagewire_journal_oldest_unsettled_seconds", "", Up),
            ("stagewire_journal_segments", "", Up),
        ],
    ),
    (
        "a receiver answers 500",
        &[
            ("stagewire_publish_failures_total", "class=\"retry\"", Up),
            ("stagewire_publish_retries_total", "backend=\"webhook\"", Up),
            ("stagewire_lane_breaker", "backend=\"webhook\"", Up),
        ],
    ),
    (
        "a receiver rejects",
        &[
            ("stagewire_publish_failures_total", "class=\"reject\"", Up),
            ("stagewire_dead_letters_total", "backend=\"webhook\"", Up),
            ("stagewire_dead_letters_kept", "", Up),
        ],
    ),
    ("an operator pauses a backend", &[("stagewire_lane_paused", "backend=\"webhook\"", Up)]),
    ("rules change", &[("stagewire_swaps_total", "", Up), ("stagewire_snapshot_generation", "", Up)]),
    ("rules are wrong", &[("stagewire_swaps_refused_total", "", Up)]),
    (
        "the disk is full",
        &[
            ("stagewire_journal_writable", "", Down),
            ("stagewire_events_refused_total", "reason=\"journal_disk\"", Up),
        ],
    ),
    ("notes cannot be written", &[("stagewire_provenance_left_out_total", "", Up)]),
    ("a backend is taken away with what waits for it", &[("stagewire_journal_lost_tokens", "", Up)]),
    ("an event is traced", &[("stagewire_trace_spans_exported_total", "", Up)]),
    ("the collector is away", &[("stagewire_trace_spans_dropped_total", "reason=\"collector\"", Up)]),
    ("the host works", &[("process_cpu_seconds_total", "", Up)]),
];

/// Moved by a suite of their own, `consumers`.
const ELSEWHERE: &[&str] =
    &["stagewire_consumer_lag", "stagewire_consumer_pending", "stagewire_consumer_poll_errors_total"];

/// What stays as it is, or goes as the system likes.
const STANDING: &[&str] = &[
    "stagewire_build_info",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_threads",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
];

/// Does something, and waits until all that it must move has moved.
async fn moves(host: &Host, cause: &str, act: impl AsyncFnOnce()) {
    let (_, metrics) = CAUSES.iter().find(|(name, _)| *name == cause).expect("the cause is in the list");
    let before = exposition(host).await;
    act().await;
    let mut left = String::new();
    let moved = async || {
        let now = exposition(host).await;
        left.clear();
        for (name, label, way) in *metrics {
            let labels: Vec<&str> = if label.is_empty() { Vec::new() } else { vec![label] };
            let (was, is) = (sum_of(&before, name, &labels), sum_of(&now, name, &labels));
            let right = if *way == Up { is > was } else { is < was };
            if !right {
                let _ = write!(left, "{name}{{{label}}} was {was} and is {is}; ");
            }
        }
        left.is_empty()
    };
    let waiting = tokio::time::timeout(PATIENCE, until_true(cause, PATIENCE * 2, moved)).await;
    assert!(waiting.is_ok(), "{cause}: {left}");
}

async fn exposition(host: &Host) -> String {
    host.admin("GET", "/metrics").await.expect("the admin API answers").text()
}

fn event(id: &str, more: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": id, "source": "/metrics", "type": "plain",
        "time": "2025-12-14T12:00:00Z", "datacontenttype": "application/json", "data": { "n": 1 } });
    event.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    event
}

async fn sends(host: &Host, event: &Value) -> u16 {
    host.send(event).await.status
}

#[tokio::test]
async fn an_event_on_its_way_moves_what_counts_it() {
    let redis = Redis::start().await;
    let settings = format!(
        "{}  publish_events: {{ batch_started: false }}\nprivacy: [{{ action: reject }}]\nroutes:\n\
         \x20 - {{ name: through, match: [{{ exact: {{ type: plain }} }}], steps: [{{ plugin: counts }}, {{ plugin: drops-one }}], deliver: [redis_streams] }}\n\
         \x20 - {{ name: by-data, match: [{{ cel: \"data.missing > 1\" }}], deliver: [redis_streams] }}\n\
         \x20 - {{ name: traps, match: [{{ exact: {{ type: trap }} }}], steps: [{{ plugin: trap }}], deliver: [redis_streams] }}\n\
         \x20 - {{ name: large, match: [{{ exact: {{ type: large }} }}], steps: [{{ plugin: redact, limits: {{ time: 5s }}, settings: {{ remove: [secret] }} }}], deliver: [redis_streams] }}\n\
         \x20 - {{ name: thin, match: [{{ exact: {{ type: thin }} }}], dedup: {{ window: 1h, memory: 2KiB }}, deliver: [redis_streams] }}\n\
         \x20 - {{ name: state, match: [{{ exact: {{ type: remember }} }}], steps: [{{ plugin: remembers, grants: {{ keyvalue: true }} }}], deliver: [redis_streams] }}\n",
        redis.events_section()
    );
    let host = Host::with(settings)
        .plugins(&["redact"])
        .guest("counts")
        .guest("drops-one")
        .guest("trap")
        .guest("remembers")
        .host("journal: { segment: 64KiB }")
        .start()
        .await;
    let send = async |event: Value| assert_eq!(sends(&host, &event).await, 202);
    moves(&host, "an event is delivered", async || {
        for id in 0..200 {
            send(event(&id.to_string(), &json!({ "data": "x".repeat(1_000) }))).await;
        }
    })
    .await;
    moves(&host, "an event is malformed", async || {
        assert_eq!(host.post(&[("content-type", STRUCTURED)], b"{").await.status, 400);
    })
    .await;
    moves(&host, "an event carries a text", async || {
        let text =
            json!({ "type": "com.storytelling.nlp.document.processed", "data": { "raw_text": "once" } });
        assert_eq!(sends(&host, &event("text", &text)).await, 422);
    })
    .await;
    moves(&host, "a type is switched off", async || {
        send(event("off", &json!({ "type": "com.storytelling.nlp.batch.started" }))).await;
    })
    .await;
    moves(&host, "no rule takes an event, and one cannot be evaluated", async || {
        send(event("nobody's", &json!({ "type": "com.example.other" }))).await;
    })
    .await;
    moves(&host, "a route thins what it takes", async || {
        for id in [0, 0].into_iter().chain(1..200) {
            send(event(&format!("thin{id}"), &json!({ "type": "thin" }))).await;
        }
    })
    .await;
    moves(&host, "a plugin drops", async || send(event("evt_7777", &json!({}))).await).await;
    moves(&host, "a plugin traps", async || send(event("trap", &json!({ "type": "trap" }))).await).await;
    moves(&host, "a plugin remembers", async || {
        send(event("remember", &json!({ "type": "remember", "subject": "document/1" }))).await;
    })
    .await;
    moves(&host, "a plugin reads a large event", async || {
        let data = json!({ "secret": 1, "text": "x".repeat(1 << 20) });
        send(event("large", &json!({ "type": "large", "data": data }))).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_backend_moves_what_shows_it() {
    let mut redis = <Redis as Broker>::start().await;
    let host = Host::with(redis.events_section())
        .host("delivery: { queue: 100, overflow: 1MiB, retry_max: 500ms }")
        .host("journal: { segment: 256KiB }")
        .start()
        .await;
    host.send_all(&[event("first", &json!({}))]).await;
    host.has_settled().await;
    moves(&host, "a backend dies", async || {
        let load = Load::on(host.ingress()).connections(8).with_ledger().start();
        load.flows(500).await;
        redis.kill().await;
        host.metric_reaches("stagewire_lane_refused_total", &[], 1.0).await;
        load.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_receiver_in_trouble_moves_what_shows_it() {
    let receiver = Receiver::start().await;
    let settings = format!(
        "events:\n  enabled: true\n  backend: webhook\n  webhook: {{ urls: [\"{}\"], retry_attempts: 100, retry_delay_seconds: 0.001 }}\n",
        receiver.url()
    );
    let host = Host::with(settings)
        .host("delivery: { breaker: { least: 10, pause: 2s }, retry_max: 2s }")
        .start()
        .await;
    let send = async |id: &str| assert_eq!(sends(&host, &event(id, &json!({ "subject": id }))).await, 202);
    moves(&host, "a receiver answers 500", async || {
        receiver.answer_first(&[500; 12]);
        for id in 0..5 {
            send(&id.to_string()).await;
        }
    })
    .await;
    host.has_settled().await;
    moves(&host, "a receiver rejects", async || {
        receiver.answer_first(&[400]);
        send("rejected").await;
    })
    .await;
    moves(&host, "an operator pauses a backend", async || {
        let paused = host.admin("POST", "/api/v1/backends/webhook/pause").await.expect("it answers");
        assert_eq!(paused.status, 200);
    })
    .await;
}

#[tokio::test]
async fn swaps_move_what_counts_them() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).start().await;
    moves(&host, "rules change", async || {
        host.reload().await.expect("the settings are right");
    })
    .await;
    moves(&host, "rules are wrong", async || {
        host.put_settings("events: { enabled: maybe }\n");
        host.reload().await.expect_err("the settings are wrong");
    })
    .await;
    moves(&host, "the host works", async || {
        host.put_settings(&redis.events_section());
        for id in 0..2_000 {
            host.send(&event(&id.to_string(), &json!({}))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_moves_what_shows_it() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).host("journal: { segment: 1GiB }").start().await;
    host.send_all(&[event("first", &json!({}))]).await;
    host.has_settled().await;
    moves(&host, "the disk is full", async || {
        host.process().limit_files(Some(1));
        assert_eq!(sends(&host, &event("second", &json!({}))).await, 503);
    })
    .await;
    host.process().limit_files(None);
}

#[tokio::test]
async fn notes_that_cannot_be_written_are_counted() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).host("journal: { segment: 1GiB }").start().await;
    host.send_all(&[event("first", &json!({}))]).await;
    host.has_settled().await;
    // The event must be in before the disk is full, and its notes be written after that.
    moves(&host, "notes cannot be written", async || {
        until_true("notes are lost", PATIENCE, async || {
            host.process().limit_files(None);
            until_true("an event is in", PATIENCE, async || {
                sends(&host, &event("more", &json!({}))).await == 202
            })
            .await;
            host.process().limit_files(Some(1));
            host.metric("stagewire_provenance_left_out_total", &[]).await >= 1.0
        })
        .await;
    })
    .await;
    host.process().limit_files(None);
}

#[tokio::test]
async fn what_is_let_go_of_unsettled_is_counted() {
    let (mut away, there) = (<Redis as Broker>::start().await, Redis::start().await);
    let entry = |name: &str, url: String| {
        format!(
            "    - {{ name: {name}, type: redis_streams, config: {{ url: \"{url}\", stream_name: s }} }}\n"
        )
    };
    let one = format!("events:\n  enabled: true\n  backends:\n{}", entry("there", there.url()));
    let two = format!("{one}{}", entry("away", away.url()));
    let host = Host::with(two).host("drain_timeout: 100ms").start().await;
    away.kill().await;
    host.send_all(&[event("first", &json!({}))]).await;
    there.stream("s").has(1).await;
    moves(&host, "a backend is taken away with what waits for it", async || {
        host.put_settings(&one);
        host.reload().await.expect("the settings are right");
    })
    .await;
}

#[tokio::test]
async fn spans_are_counted_as_the_collector_takes_them() {
    let redis = Redis::start().await;
    let mut collector = Collector::start().await;
    let tracing = format!("tracing: {{ endpoint: \"{}\", sample: 1, timeout: 1s }}", collector.grpc());
    let host = Host::with(redis.events_section()).host(&tracing).start().await;
    moves(&host, "an event is traced", async || host.send_all(&[event("1", &json!({}))]).await).await;
    collector.kill().await;
    moves(&host, "the collector is away", async || host.send_all(&[event("2", &json!({}))]).await).await;
}

/// The names in the table of `docs/observability.md`, which is made of the declarations.
fn declared() -> BTreeSet<String> {
    let page =
        std::fs::read_to_string(places::root().join("docs/observability.md")).expect("the page is there");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.filter(|name| name.starts_with("stagewire_") || name.starts_with("process_"))
        .map(Into::into)
        .collect()
}

/// `…_sum` and `…_count` are a histogram's.
fn family(sample: &str) -> &str {
    let ends = ["_bucket", "_sum", "_count"];
    ends.iter().find_map(|end| sample.strip_suffix(end)).unwrap_or(sample)
}

/// A list is no test: each cause is brought about by one here, and what is moved elsewhere is asked for there.
#[test]
fn every_cause_is_brought_about() {
    let here = include_str!("metrics.rs");
    for (cause, metrics) in CAUSES {
        assert!(here.contains(&format!("moves(&host, \"{cause}\"")), "no test brings about: {cause}");
        assert!(!metrics.is_empty(), "{cause} moves nothing");
    }
    let elsewhere = include_str!("consumers.rs");
    for name in ELSEWHERE {
        assert!(elsewhere.contains(name), "no other suite asks for {name}");
    }
}

#[tokio::test]
async fn every_metric_has_a_cause_and_the_documents_list_is_complete() {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for (cause, metrics) in CAUSES {
        known.extend(metrics.iter().map(|(name, ..)| (family(name).to_owned(), *cause)));
    }
    known.extend(ELSEWHERE.iter().map(|name| ((*name).to_owned(), "elsewhere")));
    known.extend(STANDING.iter().map(|name| ((*name).to_owned(), "standing")));
    let declared = declared();
    let without: Vec<_> = declared.iter().filter(|name| !known.contains_key(*name)).collect();
    assert!(without.is_empty(), "no cause moves {without:?}; add one to CAUSES");
    let unknown: Vec<_> = known.keys().filter(|name| !declared.contains(*name)).collect();
    assert!(unknown.is_empty(), "no such metric: {unknown:?}");
    for (asked, answers) in DOCUMENT {
        for name in *answers {
            assert!(declared.contains(*name), "{asked}: there is no {name}");
        }
    }
    let host = Host::with("").start().await;
    let shown = exposition(&host).await;
    for name in STANDING {
        assert!(sum_of(&shown, name, &[]) > 0.0, "{name} says nothing:\n{shown}");
    }
}
