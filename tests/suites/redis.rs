//! Redis: what the contract of all backends does not ask.

use serde_json::{Value, json};
use stagewire_tests::brokers::{Broker, Content, events};
use stagewire_tests::certificates::{Authority, Pair};
use stagewire_tests::process::free_port;
use stagewire_tests::redis::{Cluster, Keeps, Server};
use stagewire_tests::waiting::{PATIENCE, until};
use stagewire_tests::{Host, Redis};

fn event(id: &str, subject: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "com.example.x", "subject": subject })
}

/// Twenty of one key.
fn some() -> Vec<Value> {
    (0..20).map(|id| event(&id.to_string(), "document/1")).collect()
}

fn ids() -> Vec<String> {
    (0..20).map(|id| id.to_string()).collect()
}

fn to(server: &Server, more: &str) -> String {
    events("redis_streams", &format!("{{ url: \"redis://{}/0\", stream_name: s, {more} }}", server.address()))
}

async fn host(settings: String) -> Host {
    Host::with(settings).start().await
}

/// What its lane says, once that has the text in it.
async fn lane_says(host: &Host, text: &str) -> String {
    let what = format!("the lane says {text:?}");
    until(&what, PATIENCE, async || {
        let status = host.status().await;
        let errors = status["lanes"].as_array()?.iter().filter_map(|lane| lane["error"].as_str());
        errors.map(str::to_owned).find(|error| error.contains(text))
    })
    .await
}

async fn in_stream(server: &Server) -> Vec<String> {
    let entries: Vec<(String, Vec<String>)> =
        server.answer(&["XRANGE", "s", "-", "+"]).await.expect("Redis answers XRANGE");
    let id = |(_, fields): &(String, Vec<String>)| {
        let event: Value = serde_json::from_str(&fields[1]).expect("an entry is an event");
        event["id"].as_str().unwrap_or_default().to_owned()
    };
    entries.iter().map(id).collect()
}

/// The server refuses for that reason, until `mend` is told to it; then all arrives, in order and once.
async fn waits_until_mended(server: &Server, text: &str, mend: &[&str]) {
    let host = host(to(server, "")).await;
    host.send_all(&some()).await;
    lane_says(&host, text).await;
    let mended: redis::RedisResult<redis::Value> = server.answer(mend).await;
    mended.expect("the test may mend it");
    host.has_settled().await;
    assert_eq!(in_stream(server).await, ids());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_memory_waits_for_it() {
    let server = Server::start(Keeps::Nothing, &["--maxmemory", "1"]).await;
    let text =
        "is out of memory: OOM command not allowed when used memory > 'maxmemory'; raise its maxmemory";
    waits_until_mended(&server, text, &["CONFIG", "SET", "maxmemory", "0"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_too_few_replicas_waits_for_them() {
    let server = Server::start(Keeps::Nothing, &["--min-replicas-to-write", "1"]).await;
    let mend = ["CONFIG", "SET", "min-replicas-to-write", "0"];
    waits_until_mended(&server, "has too few replicas: NOREPLICAS", &mend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_a_disk_that_is_broken_waits_for_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    // Where the snapshot should go stands a directory.
    std::fs::create_dir(directory.path().join("dump.rdb")).expect("a directory can be made");
    std::fs::write(directory.path().join("dump.rdb/full"), "").expect("a file can be written");
    let more = ["--dbfilename", "other.rdb", "--enable-protected-configs", "yes"];
    let server = Server::start_in(directory, Keeps::Nothing, &more).await;
    let asked: redis::RedisResult<redis::Value> = server.answer(&["CONFIG", "SET", "save", "3600 1"]).await;
    asked.expect("the test may set it");
    let asked: redis::RedisResult<redis::Value> =
        server.answer(&["CONFIG", "SET", "dbfilename", "dump.rdb"]).await;
    asked.expect("the test may set it");
    until("Redis has failed to save", PATIENCE, async || {
        let _: redis::RedisResult<redis::Value> = server.answer(&["BGSAVE"]).await;
        let info: String = server.answer(&["INFO", "persistence"]).await.ok()?;
        info.contains("rdb_last_bgsave_status:err").then_some(())
    })
    .await;
    let mend = ["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"];
    waits_until_mended(&server, "cannot save to its disk: MISCONF", &mend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_a_server_loads_its_data_waits_for_it() {
    let server = Server::start(Keeps::Nothing, &[]).await;
    let script = "for n = 1, 2000 do redis.call('SET', 'key:' .. n, n) end";
    let filled: redis::RedisResult<redis::Value> = server.answer(&["EVAL", script, "0"]).await;
    filled.expect("the test may fill it");
    let saved: redis::RedisResult<redis::Value> = server.answer(&["SAVE"]).await;
    saved.expect("the test may save");
    let directory = server.into_directory().await;
    // It takes two milliseconds a key, and answers in between.
    let slowly = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    let server = Server::start_in(directory, Keeps::Nothing, &slowly).await;
    let host = host(to(&server, "")).await;
    host.send_all(&some()).await;
    lane_says(&host, "is still loading its data: LOADING").await;
    host.has_settled().await;
    assert_eq!(in_stream(&server).await, ids());
}

fn secured(pair: &Pair, ca: &Authority, port: &str) -> Vec<String> {
    let file = |path: &std::path::Path| path.display().to_string();
    let (certificate, key, ca) = (file(&pair.certificate), file(&pair.key), file(&ca.file()));
    [
        "--tls-port",
        port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]
    .map(str::to_owned)
    .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_said_and_passes_unchecked_only() {
    let (authority, port) = (Authority::new(), free_port().port().to_string());
    let more = secured(&authority.issue_expired("server"), &authority, &port);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let server = Server::start(Keeps::Nothing, &more).await;
    let config = |more: &str| {
        events(
            "redis_streams",
            &format!("{{ url: \"rediss://127.0.0.1:{port}/0\", stream_name: s, {more} }}"),
        )
    };
    let checking = host(config(&format!("ca_file: {}", authority.file().display()))).await;
    checking.send_all(&[event("1", "a")]).await;
    let error = lane_says(&checking, "no TLS with redis at rediss://127.0.0.1").await;
    assert!(error.to_lowercase().contains("expired") && error.contains("renew it"), "{error}");

    let trusting = host(config("verify_ssl: false")).await;
    trusting.send_all(&[event("1", "a")]).await;
    trusting.has_settled().await;
    assert_eq!(in_stream(&server).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_may_have_a_stream_of_its_own() {
    let redis = Redis::start().await;
    let config = format!("{{ url: \"{}\", stream_name: \"nlp.{{type}}\" }}", redis.url());
    let host = host(events("redis_streams", &config)).await;
    let mut other = event("other", "a");
    other["type"] = "com.example.y".into();
    host.send_all(&[event("1", "a"), other, event("2", "a")]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp.com.example.x").ids().await, ["1", "2"]);
    assert_eq!(redis.stream("nlp.com.example.y").ids().await, ["other"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_stream_waits_until_it_is_gone() {
    let server = Server::start(Keeps::Nothing, &[]).await;
    let set: redis::RedisResult<redis::Value> = server.answer(&["SET", "s", "x"]).await;
    set.expect("the test may set it");
    waits_until_mended(&server, "is no stream; delete it", &["DEL", "s"]).await;
}

/// The slot of the stream goes to another node while events come: first it is on its way (`ASK`), then gone (`MOVED`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_followed_to_the_node_that_takes_its_slot() {
    let cluster = Cluster::start().await;
    let (from, to) = cluster.owner_and_other("s").await;
    let config = format!("{{ {}, stream_name: s }}", cluster.place());
    let host = host(events("redis_streams", &config)).await;
    host.send_all(&some()[..5]).await;
    host.has_settled().await;

    let slot: u16 = from.answer(&["CLUSTER", "KEYSLOT", "s"]).await.expect("Redis answers");
    let (slot, port) = (slot.to_string(), to.address().port().to_string());
    let mut names = Vec::new();
    for node in [from, to] {
        names.push(node.answer::<String>(&["CLUSTER", "MYID"]).await.expect("Redis answers"));
    }
    let done = async |node: &Server, words: &[&str]| {
        node.answer::<redis::Value>(words).await.expect("the test may move a slot");
    };
    done(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &names[0]]).await;
    done(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &names[1]]).await;
    done(from, &["MIGRATE", "127.0.0.1", &port, "s", "0", "10000"]).await;
    host.send_all(&some()[5..10]).await;
    host.has_settled().await;

    for node in [to, from] {
        done(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &names[1]]).await;
    }
    host.send_all(&some()[10..]).await;
    host.has_settled().await;
    assert_eq!(in_stream(to).await, ids());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_is_known_leads_to_the_others() {
    let cluster = Cluster::start().await;
    let (_, other) = cluster.owner_and_other("{contract}.event").await;
    let config = cluster.config(Content::Structured, "").replace(
        &cluster.place(),
        &format!("cluster: {{ nodes: [\"{}\", \"{}\"] }}", free_port(), other.address()),
    );
    let host = host(events("redis_streams", &config)).await;
    host.send_all(&some()).await;
    host.has_settled().await;
    assert_eq!(cluster.ids().await, ids());
}
