//! Distributed tracing: the way of an event as spans in an OTLP receiver that others wrote.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewire_tests::brokers::{Broker, Content};
use stagewire_tests::certificates::{Authority, Pair};
use stagewire_tests::collector::Span;
use stagewire_tests::host::{Plan, STRUCTURED};
use stagewire_tests::load::Load;
use stagewire_tests::waiting::{PATIENCE, until, until_true};
use stagewire_tests::{Collector, Host, JetStream, Kafka, RabbitMq, Receiver, Redis, peers};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn tracing(collector: &Collector, more: &str) -> String {
    format!("tracing: {{ endpoint: \"{}\", {more} }}", collector.grpc())
}

fn event(id: &str, more: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": id, "source": "/tracing", "type": "com.example.t",
        "subject": format!("document/{id}"), "datacontenttype": "application/json", "data": { "n": 1 } });
    let members = event.as_object_mut().expect("an object");
    members.extend(more.as_object().cloned().unwrap_or_default());
    event
}

fn to(receiver: &Receiver, more: &str) -> String {
    format!(
        "events:\n  enabled: true\n  backends:\n    - {{ type: webhook, config: {{ urls: [\"{}\"], mode: binary, {more} }} }}\n",
        receiver.url()
    )
}

fn header(received: &stagewire_tests::receiver::Received, name: &str) -> String {
    let value =
        received.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    value.unwrap_or_default()
}

/// Each is the parent of the next.
fn is_a_chain(spans: &[&Span]) {
    for pair in spans.windows(2) {
        let [above, below] = pair else { continue };
        assert_eq!(below.parent(), above.id(), "{} is below {}", below.name(), above.name());
        assert_eq!(below.trace(), above.trace(), "{} and {} are of one trace", below.name(), above.name());
    }
}

/// A real producer, the host, a broker and a real consumer: one trace, in which each span is below the one before.
async fn is_one_trace_through<B: Broker>(
    destination: &str,
    settings: impl Fn(&B) -> String,
    place: impl Fn(&B) -> Vec<String>,
) {
    let broker = B::start().await;
    let collector = Collector::start().await;
    let host = Host::with(settings(&broker)).host(&tracing(&collector, "")).start().await;
    let produced = ["produce", &collector.grpc(), &host.events_url(), "one", "both"];
    let produced = peers::traced(&produced).await;
    let place = place(&broker);
    let collector_url = collector.grpc();
    let mut arguments = vec!["consume", &collector_url];
    arguments.extend(place.iter().map(String::as_str));
    let consumed = peers::traced(&arguments).await;

    let work = collector.one("work").await;
    let receive = collector.one("receive http").await;
    let process = collector.one("process default").await;
    let send = collector.one(&format!("send {destination}")).await;
    let embed = collector.one("embed").await;
    is_a_chain(&[&work, &receive, &process, &send, &embed]);
    // The extension names the start of the transmission, and the transport the host's own span.
    assert_eq!(consumed["event"], produced["event"]);
    // Its last figures are flags, of which the SDK sets one that says how the id was drawn.
    let names = |value: &Value, span: &Span| {
        value.as_str().is_some_and(|text| text[..53] == span.traceparent()[..53])
    };
    assert!(names(&produced["event"], &work), "{produced} {work:?}");
    assert!(names(&consumed["transport"], &send), "{consumed} {send:?}");
    assert_eq!(send.0["kind"], "producer");
    assert_eq!(receive.0["kind"], "consumer");
    assert_eq!(send.attribute("messaging.operation.type"), "send");
    assert_eq!(send.attribute("cloudevents.event_id"), "one");
    assert_eq!(send.attribute("stagewire.backend"), B::KIND);
    assert_eq!(send.0["resource"]["service.name"], "stagewire");
    for span in collector.spans() {
        assert_eq!(span.trace(), work.trace(), "{} is of another trace", span.name());
    }
}

#[tokio::test]
async fn a_trace_through_redis_is_one_from_a_python_producer_to_a_python_consumer() {
    is_one_trace_through::<Redis>("nlp-events", Redis::events_section, |redis| {
        vec!["redis".into(), redis.url(), "nlp-events".into()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_through_kafka_is_one() {
    is_one_trace_through::<Kafka>(
        "contract",
        |kafka| kafka.events(Content::Structured, ""),
        |kafka| vec!["kafka".into(), kafka.server(), "contract".into()],
    )
    .await;
}

#[tokio::test]
async fn a_trace_through_jetstream_is_one() {
    is_one_trace_through::<JetStream>(
        "structured.{type}",
        |nats| nats.events(Content::Structured, ""),
        |nats| {
            let url = format!("nats://stage2:right@{}", nats.server().address());
            vec!["nats".into(), url, "STRUCTURED".into()]
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_through_rabbitmq_is_one() {
    is_one_trace_through::<RabbitMq>(
        "contract",
        |rabbit| rabbit.events(Content::Structured, ""),
        |rabbit| {
            let url = format!("{}/%2f", rabbit.url("stage2:right"));
            vec!["rabbitmq".into(), url, "contract".into()]
        },
    )
    .await;
}

#[tokio::test]
async fn steps_are_spans_with_their_plugin_and_what_it_made_of_the_event() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    let routes = "routes:\n  - name: through\n    steps:\n      - { plugin: redact, settings: { remove: [secret] } }\n      - { plugin: rename, settings: { type: [{ from: \"com.example.*\", to: \"com.renamed.$1\" }] } }\n    deliver: [webhook]\n  - name: not\n    steps: [{ plugin: drops-one }]\n    deliver: [webhook]\n";
    let host = Host::with(format!("{}{routes}", to(&receiver, "")))
        .plugins(&["redact", "rename"])
        .guest("drops-one")
        .host(&tracing(&collector, ""))
        .start()
        .await;
    host.send_all(&[event("evt_7777", &json!({ "traceparent": PARENT, "data": { "n": 1, "secret": 2 } }))])
        .await;
    let received = receiver.has(1).await;
    let receive = collector.one("receive http").await;
    let process = collector.one("process through").await;
    let redact = collector.one("step redact").await;
    let rename = collector.one("step rename").await;
    let dropped = collector.one("process not").await;
    let drops = collector.one("step drops-one").await;
    let send = collector.named(&format!("send {}", receiver.url()), 1).await.remove(0);
    is_a_chain(&[&receive, &process, &redact]);
    is_a_chain(&[&receive, &process, &rename]);
    is_a_chain(&[&receive, &process, &send]);
    is_a_chain(&[&receive, &dropped, &drops]);
    assert_eq!(redact.attribute("stagewire.verdict"), "change");
    assert!(
        redact
            .attribute("stagewire.plugin.digest")
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:"))
    );
    assert_eq!(process.attribute("stagewire.outcome"), "sent");
    assert_eq!(drops.attribute("stagewire.verdict"), "drop");
    assert_eq!(dropped.attribute("stagewire.outcome"), "dropped");
    assert_eq!(header(&received[0], "ce-traceparent"), PARENT);
    assert_eq!(header(&received[0], "traceparent"), send.traceparent());
}

#[tokio::test]
async fn each_try_is_a_span_and_a_failure_says_why() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    receiver.answer_first(&[500, 503]);
    let host =
        Host::with(to(&receiver, "retry_delay_seconds: 0.01")).host(&tracing(&collector, "")).start().await;
    host.send_all(&[event("1", &json!({ "traceparent": PARENT }))]).await;
    receiver.has(1).await;
    let tries = collector.named(&format!("send {}", receiver.url()), 3).await;
    let numbers: Vec<_> = tries.iter().map(|span| span.attribute("stagewire.try").as_i64()).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
    assert!(tries[0].error().is_some_and(|error| error.contains("500")), "{:?}", tries[0]);
    assert_eq!(tries[0].attribute("error.type"), "retry");
    assert_eq!((tries[2].error(), tries[2].attribute("stagewire.receipt")), (None, &json!("status 200")));
    let process = collector.one("process default").await;
    tries.iter().for_each(|span| is_a_chain(&[&process, span]));
}

#[tokio::test]
async fn what_is_given_up_says_so_in_its_trace() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    receiver.answer_first(&[400]);
    let routes = "routes:\n  - { name: out, deliver: [webhook] }\n  - { name: broken, steps: [{ plugin: trap }], deliver: [webhook] }\n";
    let host = Host::with(format!("{}{routes}", to(&receiver, "")))
        .guest("trap")
        .host(&tracing(&collector, ""))
        .start()
        .await;
    host.send_all(&[event("1", &json!({ "traceparent": PARENT, "type": "trap" }))]).await;
    let given_up = collector.one("dead letter").await;
    let out = collector.one("process out").await;
    is_a_chain(&[&out, &given_up]);
    assert!(given_up.error().is_some_and(|error| error.contains("400")), "{given_up:?}");
    let broken = collector.one("process broken").await;
    let step = collector.one("step trap").await;
    is_a_chain(&[&broken, &step]);
    assert_eq!(step.attribute("error.type"), "plugin");
    assert!(step.error().is_some() && broken.error().is_some(), "{step:?} {broken:?}");
}

#[tokio::test]
async fn a_trace_outlives_a_crash_between_the_journal_and_the_backend() {
    let (mut receiver, collector) = (<Receiver as Broker>::start().await, Collector::start().await);
    receiver.kill().await;
    let mut host = Host::with(to(&receiver, "")).host(&tracing(&collector, "")).start().await;
    host.send_all(&[event("1", &json!({ "traceparent": PARENT }))]).await;
    let receive = collector.one("receive http").await;
    host.kill().await;
    receiver.again().await;
    host.restart().await;
    let received = receiver.has(1).await;
    let sent = header(&received[0], "traceparent");
    until_true("the span of the delivery has arrived", PATIENCE, async || {
        collector.spans().iter().any(|span| span.traceparent() == sent)
    })
    .await;
    let send = collector.spans().into_iter().find(|span| span.traceparent() == sent).expect("it has arrived");
    let process = collector.named("process default", 1).await;
    let process = process.iter().find(|span| span.id() == send.parent()).expect("its route was traced");
    is_a_chain(&[&receive, process, &send]);
    assert_eq!(header(&received[0], "ce-traceparent"), PARENT);
}

#[tokio::test]
async fn a_trace_that_nobody_records_is_passed_on_and_not_recorded() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    let host = Host::with(to(&receiver, "")).host(&tracing(&collector, "sample: 1")).start().await;
    let unsampled = PARENT.replace("-01", "-00");
    host.send_all(&[event("not", &json!({ "traceparent": unsampled }))]).await;
    host.send_all(&[event("own", &json!({}))]).await;
    let received = receiver.has(2).await;
    let of = |id: &str| received.iter().find(|one| one.id() == id).expect("it has arrived").clone();
    assert_eq!(header(&of("not"), "traceparent"), unsampled);
    // Without a trace one begins here, and the event says so.
    let receive = collector.one("receive http").await;
    assert_eq!(receive.parent(), "");
    assert_eq!(header(&of("own"), "ce-traceparent"), receive.traceparent());
    let process = collector.one("process default").await;
    let send = collector.one(&format!("send {}", receiver.url())).await;
    is_a_chain(&[&receive, &process, &send]);
    assert_eq!(header(&of("own"), "traceparent"), send.traceparent());
}

#[tokio::test]
async fn without_tracing_and_without_luck_events_stay_as_they_are() {
    let receiver = Receiver::start().await;
    let collector = Collector::start().await;
    let off = Host::with(to(&receiver, "")).start().await;
    let none = Host::with(to(&receiver, "")).host(&tracing(&collector, "sample: 0")).start().await;
    for host in [&off, &none] {
        host.send_all(&[event("1", &json!({}))]).await;
    }
    off.post(
        &[("content-type", STRUCTURED), ("traceparent", PARENT)],
        event("2", &json!({})).to_string().as_bytes(),
    )
    .await;
    for received in receiver.has(3).await {
        assert_eq!(
            (header(&received, "traceparent"), header(&received, "ce-traceparent")),
            (String::new(), String::new())
        );
    }
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn the_transports_trace_is_the_events_where_it_has_none() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    let host = Host::with(to(&receiver, "")).host(&tracing(&collector, "")).start().await;
    let body = event("1", &json!({})).to_string();
    let headers = [("content-type", STRUCTURED), ("traceparent", PARENT), ("tracestate", "vendor=1")];
    assert_eq!(host.post(&headers, body.as_bytes()).await.status, 202);
    let received = receiver.has(1).await;
    assert_eq!(header(&received[0], "ce-traceparent"), PARENT);
    assert_eq!(header(&received[0], "ce-tracestate"), "vendor=1");
    assert_eq!(header(&received[0], "tracestate"), "vendor=1");
    let receive = collector.one("receive http").await;
    assert_eq!((receive.trace(), receive.parent()), ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"));
}

#[tokio::test]
async fn events_of_several_traces_in_one_publish_are_linked() {
    let (redis, collector) = (Redis::start().await, Collector::start().await);
    let host = Host::with(redis.events_section()).host(&tracing(&collector, "sample: 1")).start().await;
    let events: Vec<_> = (0..20).map(|id| event(&id.to_string(), &json!({}))).collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    let (tries, publishes) = until("every try and a publish have arrived", PATIENCE, async || {
        let spans = collector.spans().into_iter().filter(|span| span.name() == "send nlp-events");
        let (tries, publishes): (Vec<_>, Vec<_>) = spans.partition(|span| span.0["kind"] == "producer");
        (tries.len() == events.len() && !publishes.is_empty()).then_some((tries, publishes))
    })
    .await;
    let links = publishes[0].0["links"].as_array().cloned().unwrap_or_default();
    assert!(links.len() > 1, "{links:?}");
    for link in &links {
        assert!(
            tries.iter().any(|span| link["trace"] == span.trace() && link["span"] == span.id()),
            "{link}"
        );
    }
    assert!(
        publishes[0].attribute("messaging.batch.message_count").as_i64() >= i64::try_from(links.len()).ok()
    );
    assert!(tries.iter().all(|span| span.trace() != publishes[0].trace()));
}

#[tokio::test]
async fn http_works_as_grpc_does_with_headers_and_resource_attributes() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    let settings = format!(
        "tracing: {{ endpoint: \"{}\", protocol: http, headers: {{ x-key: sesame }}, resource: {{ deployment.environment.name: test }} }}",
        collector.http()
    );
    let host = Host::with(to(&receiver, "")).host(&settings).start().await;
    host.send_all(&[event("1", &json!({ "traceparent": PARENT }))]).await;
    let receive = collector.one("receive http").await;
    assert_eq!((&receive.0["way"], &receive.0["headers"]["x-key"]), (&json!("http"), &json!("sesame")));
    assert_eq!(receive.0["resource"]["deployment.environment.name"], "test");
    let shown = host.run(&["config", "show", "--config", &host.settings_path().to_string_lossy()]).await;
    assert!(!String::from_utf8_lossy(&shown.stdout).contains("sesame"));
}

/// Both ways that spans go, to that collector.
fn ways(collector: &Collector) -> [(&'static str, String); 2] {
    [("grpc", collector.grpc()), ("http", collector.http())]
}

/// A host whose spans go to a collector over TLS, which it trusts by that authority.
async fn traced_over_tls(
    receiver: &Receiver,
    (way, url): &(&str, String),
    authority: &Path,
    own: Option<&Pair>,
) -> Host {
    let own = own.map(|Pair { certificate, key }| {
        format!(", certificate: {}, key: {}", certificate.display(), key.display())
    });
    let settings = format!(
        "tracing: {{ endpoint: \"{url}\", protocol: {way}, timeout: 1s, ca_file: {}{} }}",
        authority.display(),
        own.unwrap_or_default()
    );
    let host = Host::with(to(receiver, "")).host(&settings).start().await;
    host.send_all(&[event(&format!("over-{way}"), &json!({ "traceparent": PARENT }))]).await;
    host
}

#[tokio::test]
async fn spans_go_over_tls_to_a_collector_that_is_trusted() {
    let (authority, receiver) = (Authority::new(), Receiver::start().await);
    let collector = Collector::secured(&authority.issue("collector"), None).await;
    for way in ways(&collector) {
        let _host = traced_over_tls(&receiver, &way, &authority.file(), None).await;
        until_true("its spans have arrived", PATIENCE, async || {
            collector.spans().iter().any(|span| span.name() == "receive http" && span.0["way"] == way.0)
        })
        .await;
    }
}

#[tokio::test]
async fn a_collector_that_asks_for_a_certificate_is_shown_one() {
    let (authority, receiver) = (Authority::new(), Receiver::start().await);
    let collector = Collector::secured(&authority.issue("collector"), Some(&authority.file())).await;
    let own = authority.issue("host");
    for way in ways(&collector) {
        let _host = traced_over_tls(&receiver, &way, &authority.file(), Some(&own)).await;
        until_true("its spans have arrived", PATIENCE, async || {
            collector.spans().iter().any(|span| span.name() == "receive http" && span.0["way"] == way.0)
        })
        .await;
        let without = traced_over_tls(&receiver, &way, &authority.file(), None).await;
        is_refused(&without, "certificate and key").await;
    }
    assert_eq!(receiver.has(4).await.len(), 4, "events are not touched by it");
}

#[tokio::test]
async fn a_collector_that_is_not_trusted_gets_nothing_and_the_log_says_why() {
    let (authority, stranger, receiver) = (Authority::new(), Authority::new(), Receiver::start().await);
    for (pair, trusted, mend) in [
        (authority.issue_for("other", &["elsewhere.example"]), &authority, "reach it by a name"),
        (authority.issue_expired("old"), &authority, "expired"),
        (authority.issue("good"), &stranger, "set ca_file"),
    ] {
        let collector = Collector::secured(&pair, None).await;
        for way in ways(&collector) {
            let host = traced_over_tls(&receiver, &way, &trusted.file(), None).await;
            is_refused(&host, mend).await;
        }
        assert_eq!(collector.spans().len(), 0, "{mend}");
    }
    assert_eq!(receiver.has(6).await.len(), 6, "events are not touched by it");
}

/// Spans are left out, counted, and one line says why and what to do.
async fn is_refused(host: &Host, said: &str) {
    host.metric_reaches("stagewire_trace_spans_dropped_total", &["reason=\"collector\""], 1.0).await;
    let log = host.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("spans cannot be exported")).collect();
    assert!(lines.len() == 1 && lines[0].contains(said), "{said}: {lines:#?}");
    host.has_settled().await;
}

#[tokio::test]
async fn opentelemetrys_own_variables_are_enough() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    let plan: Plan = Host::with(to(&receiver, ""));
    let host = plan
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.http())
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=sesame")
        .env("OTEL_SERVICE_NAME", "router")
        .env("OTEL_TRACES_SAMPLER", "always_on")
        .start()
        .await;
    host.send_all(&[event("1", &json!({}))]).await;
    let receive = collector.one("receive http").await;
    assert_eq!(receive.0["headers"]["x-key"], "sesame");
    assert_eq!(receive.0["resource"]["service.name"], "router");
}

#[tokio::test]
async fn a_host_with_a_wrong_variable_says_so() {
    let refused = Host::with("")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_TRACES_SAMPLER", "sometimes")
        .refused()
        .await;
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("OTEL_TRACES_SAMPLER"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_collector_that_is_away() {
    let receiver = Redis::start().await;
    let mut collector = Collector::absent();
    let host = Host::with(receiver.events_section())
        .host(&tracing(&collector, "sample: 1, queue: 64, timeout: 1s"))
        .start()
        .await;
    let load = Load::on(host.ingress()).connections(4).with_ledger().start();
    load.flows(2_000).await;
    let report = load.stop().await;
    receiver.stream("nlp-events").has(report.ledger.owed()).await;
    host.metric_reaches("stagewire_trace_spans_dropped_total", &["reason=\"queue\""], 1.0).await;
    collector.again().await;
    let begin = Instant::now();
    host.send_all(&[event("after", &json!({ "traceparent": PARENT }))]).await;
    until_true("spans arrive again", PATIENCE, async || {
        host.send_all(&[event("after", &json!({ "traceparent": PARENT }))]).await;
        collector.spans().iter().any(|span| span.trace() == "4bf92f3577b34da6a3ce929d0e0e4736")
    })
    .await;
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(host.metric("stagewire_trace_spans_exported_total", &[]).await >= 1.0);
}

#[tokio::test]
async fn a_histogram_shows_the_trace_of_an_event_that_was_in_it() {
    let (receiver, collector) = (Receiver::start().await, Collector::start().await);
    let host = Host::with(to(&receiver, "")).host(&tracing(&collector, "sample: 0")).start().await;
    host.send_all(&[event("1", &json!({}))]).await;
    receiver.has(1).await;
    host.has_settled().await;
    let text = async || host.admin("GET", "/metrics").await.expect("the admin API answers").text();
    assert!(!text().await.contains("trace_id"));
    host.send_all(&[event("2", &json!({ "traceparent": PARENT }))]).await;
    receiver.has(2).await;
    host.metric_reaches("stagewire_events_published_total", &[], 2.0).await;
    let text = text().await;
    let exemplar = text.lines().find(|line| line.contains("trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""));
    assert!(
        exemplar.is_some_and(|line| line.starts_with("stagewire_publish_latency_seconds_bucket")),
        "{text}"
    );
}
