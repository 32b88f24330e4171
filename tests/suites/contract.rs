//! One contract for every backend, held against the real broker: a new backend passes all of it by its line in the list
//! at the end.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use stagewire_tests::arrival;
use stagewire_tests::brokers::{self, Broker, Mistake};
use stagewire_tests::host::BATCHED;
use stagewire_tests::load::{Load, Running};
use stagewire_tests::peers::{self, all_canonical};
use stagewire_tests::waiting::{PATIENCE, until};
use stagewire_tests::{Host, Redis, places};

/// Load that writes down what was acknowledged, and is some way under way.
async fn flowing(host: &Host) -> Running {
    let load = Load::on(host.ingress()).connections(8).pace(Duration::from_millis(1)).with_ledger().start();
    load.flows(300).await;
    load
}

/// What was acknowledged has arrived, in order per key; what arrived twice is counted and allowed.
async fn all_arrive<B: Broker>(broker: &B, host: &Host, load: Running) {
    let report = load.stop().await;
    let verdict = arrival::of(broker, host, &report.ledger).await;
    verdict.must_be_clean();
    assert_eq!(verdict.dead, 0, "no backend gives an event up because it was away: {verdict}");
    println!("{}: {verdict}", B::KIND);
}

/// Events of a key arrive in their order, from many senders at once.
async fn keeps_order_per_key<B: Broker>() {
    let broker = B::start().await;
    let host = Host::with(broker.events(B::CONTENTS[0], "")).start().await;
    let load = flowing(&host).await;
    load.flows(2_000).await;
    all_arrive(&broker, &host, load).await;
}

/// Every attribute with every kind of character, and data from nothing to 1 MiB, is read back by others unchanged.
async fn carries_everything_unchanged<B: Broker>() {
    let broker = B::start().await;
    for (round, content) in B::CONTENTS.iter().enumerate() {
        let host = Host::with(broker.events(*content, "")).start().await;
        let mut events = peers::delicate();
        events.extend([peers::bytes(), peers::text("empty", ""), peers::text("large", &"x".repeat(1 << 20))]);
        let documents: Vec<_> = events.iter().map(peers::document).collect();
        let answer = host.post(&[("content-type", BATCHED)], json!(documents).to_string().as_bytes()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let read = broker.described((round + 1) * events.len()).await;
        let read = &read[round * events.len()..];
        assert_eq!(all_canonical(read), all_canonical(&events), "{} in {content:?} mode", B::KIND);
    }
}

/// The broker dies while events flow and comes back: nothing acknowledged is lost, and order holds.
async fn outlives_a_crash_of_the_broker<B: Broker>() {
    let mut broker = B::start().await;
    let host = Host::with(broker.events(B::CONTENTS[0], "")).start().await;
    let load = flowing(&host).await;
    broker.kill().await;
    load.flows(200).await;
    broker.again().await;
    load.flows(200).await;
    all_arrive(&broker, &host, load).await;
}

/// The host is asked to end in the middle of a batch, and goes on later.
async fn ends_and_goes_on<B: Broker>() {
    let broker = B::start().await;
    let mut host = Host::with(broker.events(B::CONTENTS[0], "")).start().await;
    let load = flowing(&host).await;
    let ended = host.terminate().await;
    assert!(ended.success(), "{ended}");
    host.restart().await;
    load.flows(200).await;
    all_arrive(&broker, &host, load).await;
}

/// The host dies in the middle of a batch, and goes on later.
async fn outlives_a_crash_of_the_host<B: Broker>() {
    let broker = B::start().await;
    let mut host = Host::with(broker.events(B::CONTENTS[0], "")).start().await;
    let load = flowing(&host).await;
    host.kill().await;
    host.restart().await;
    load.flows(200).await;
    all_arrive(&broker, &host, load).await;
}

/// Each likely mistake is said by the lane in words that name the mend, as its page has them, and the host goes on.
async fn says_what_is_wrong<B: Broker>() {
    let broker = B::start().await;
    let redis = Redis::start().await;
    let mut rows = Vec::new();
    for (index, mistake) in broker.mistakes().into_iter().enumerate() {
        let settings = format!(
            "{}    - {{ name: beside, type: redis_streams, config: {{ url: \"{}\" }} }}\n",
            brokers::events(B::KIND, &mistake.config),
            redis.url()
        );
        let host = Host::with(settings).start().await;
        let event = json!({ "specversion": "1.0", "id": mistake.name, "source": "s", "type": "t" });
        host.send_all(&[event]).await;
        let error = lane_error(&host, B::KIND, mistake.name).await;
        for part in mistake.says {
            assert!(error.contains(part), "{} {}: {part:?} is missing: {error}", B::KIND, mistake.name);
        }
        assert!(!error.contains("wrong-secret"), "a secret is shown: {error}");
        // The lane beside it is not held up.
        redis.stream("nlp-events").has(index + 1).await;
        rows.push((mistake, error));
    }
    is_on_its_page::<B>(&rows);
}

/// The page of a broker in the docs, made anew where that is asked for (`STAGEWIRE_UPDATE_DOCS=1`).
fn page_of<B: Broker>(rows: &[(Mistake, String)]) -> String {
    let name = B::NAME.to_lowercase().replace(' ', "-");
    let file = places::root().join(format!("docs/backends/mistakes/{name}.md"));
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        let mut page = format!(
            "# {}: what is said when something is wrong\n\nMade from the contract suite; ports, directories and times differ.\n\n| mistake | what `stagewire status` says |\n| --- | --- |\n",
            B::NAME
        );
        for (mistake, said) in rows {
            let said = everywhere_the_same(said).replace('|', "\\|");
            // Writing to a string cannot fail.
            let _ = writeln!(page, "| {} | {said} |", mistake.name);
        }
        std::fs::write(&file, page).expect("the docs can be written");
    }
    std::fs::read_to_string(&file).unwrap_or_default()
}

/// The page has a row for each mistake, and in it what the lane must say. The details in between are the libraries' own words, which
/// differ by timing: whether a peer closes or resets, for one.
fn is_on_its_page<B: Broker>(rows: &[(Mistake, String)]) {
    let page = page_of::<B>(rows);
    let said: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    let update = "run this test with STAGEWIRE_UPDATE_DOCS=1";
    assert_eq!(
        said.len(),
        rows.len(),
        "docs/backends/mistakes: {} has not a row for each mistake; {update}",
        B::NAME
    );
    for (row, (mistake, _)) in said.iter().zip(rows) {
        let whole = row.starts_with(&format!("| {} |", mistake.name))
            && mistake.says.iter().all(|part| row.contains(part));
        assert!(
            whole,
            "docs/backends/mistakes: {}: {:?} is out of date: {row}; {update}",
            B::NAME,
            mistake.name
        );
    }
}

/// A message without what is chosen anew for each run: ports, and temporary directories.
fn everywhere_the_same(message: &str) -> String {
    let mut same = String::new();
    let mut rest = message;
    while let Some(at) = ["127.0.0.1:", "localhost:", "[::1]:"]
        .iter()
        .filter_map(|host| rest.find(host).map(|at| at + host.len()))
        .min()
    {
        same += &rest[..at];
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        same += "PORT";
    }
    same += rest;
    let temporary = std::env::temp_dir();
    let temporary = format!("{}/.tmp", temporary.display());
    while let Some(at) = same.find(&temporary) {
        let end = same[at + temporary.len()..]
            .find(['/', '"', ' '])
            .map_or(same.len(), |end| at + temporary.len() + end);
        same.replace_range(at..end, "DIRECTORY");
    }
    same
}

async fn lane_error(host: &Host, backend: &str, mistake: &str) -> String {
    let what = format!("{backend} says what is wrong ({mistake})");
    until(&what, PATIENCE, async || {
        let status = host.status().await;
        let lanes = status["lanes"].as_array()?;
        let mut errors = lanes.iter().filter(|lane| lane["name"] == backend).map(|lane| &lane["error"]);
        errors.find_map(Value::as_str).map(str::to_owned)
    })
    .await
}

macro_rules! contract {
    // What keeps nothing cannot give back what it had confirmed before it crashed.
    (that keeps nothing: $($name:ident: $broker:ty),* $(,)?) => {$(
        mod $name {
            contract!(@tests $broker: keeps_order_per_key, carries_everything_unchanged, ends_and_goes_on,
                outlives_a_crash_of_the_host, says_what_is_wrong);
        }
    )*};
    ($($name:ident: $broker:ty),* $(,)?) => {$(
        mod $name {
            contract!(@tests $broker: keeps_order_per_key, carries_everything_unchanged,
                outlives_a_crash_of_the_broker, ends_and_goes_on, outlives_a_crash_of_the_host, says_what_is_wrong);
        }
    )*};
    (@tests $broker:ty: $($test:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$test::<$broker>().await;
        }
    )*};
}

contract! {
    redis_streams: stagewire_tests::Redis,
    redis_tls: stagewire_tests::redis::Secured,
    redis_sentinel: stagewire_tests::redis::Sentinel,
    redis_cluster: stagewire_tests::redis::Cluster,
    kafka: stagewire_tests::Kafka,
    kafka_in_sync: stagewire_tests::KafkaInSync,
    jetstream: stagewire_tests::JetStream,
    rabbitmq: stagewire_tests::RabbitMq,
    webhook: stagewire_tests::Receiver,
    webhook_tls: stagewire_tests::SecuredReceiver,
}

contract! {
    that keeps nothing:
    nats_core: stagewire_tests::CoreNats,
}
