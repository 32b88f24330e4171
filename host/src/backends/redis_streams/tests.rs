//! The backend against a Redis of its own.

use std::path::Path;

use super::super::{Receipt, Settings as _};
use super::*;
use crate::Event;
use crate::backends::testing::{Redis as Server, items};

fn open(settings: RedisStreams) -> Box<dyn Backend> {
    settings.open("redis".into(), Path::new("")).unwrap().remove(0).backend
}

fn refusal(settings: RedisStreams) -> String {
    match settings.open("redis".into(), Path::new("")) {
        Ok(_) => panic!("it is refused"),
        Err(text) => text,
    }
}

fn settings(server: &Server) -> RedisStreams {
    RedisStreams { url: server.url(), stream_name: "s".into(), ..RedisStreams::default() }
}

async fn connected(settings: RedisStreams) -> Box<dyn Backend> {
    let mut backend = open(settings);
    backend.connect().await.unwrap();
    backend
}

#[tokio::test]
async fn a_batch_is_in_the_stream_in_order() {
    let server = Server::start().await;
    let mut backend = connected(settings(&server)).await;
    let outcomes = backend.publish(&items(0..100)).await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Ok(Receipt::Entry { millis, .. }) if *millis > 0))
    );
    let ids: Vec<_> = server.events("s").await.iter().map(|event| event.id().to_owned()).collect();
    assert_eq!(ids, (0..100).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_stream_is_trimmed_by_length() {
    let server = Server::start().await;
    let mut backend = connected(RedisStreams { max_len: 100, ..settings(&server) }).await;
    for start in 0..10 {
        backend.publish(&items(start * 100..start * 100 + 100)).await;
    }
    // Redis trims by whole nodes of 100 entries.
    assert!(server.events("s").await.len() <= 200);
}

#[tokio::test]
async fn each_stream_of_several_is_trimmed_by_length() {
    let server = Server::start().await;
    let several = RedisStreams { stream_name: "by.{subject}".into(), max_len: 10, ..settings(&server) };
    let mut backend = connected(several).await;
    for start in 0..10 {
        backend.publish(&items(start * 100..start * 100 + 100)).await;
    }
    for document in 0..7 {
        let length = server.events(&format!("by.document/{document}")).await.len();
        assert!((10..=110).contains(&length), "{length} of 142");
    }
}

#[tokio::test]
async fn streams_are_trimmed_by_age() {
    let server = Server::start().await;
    // Of 1970.
    for _ in 0..300 {
        server.command(&["XADD", "old.t", "1000-*", "event", "x"]).await;
    }
    let old = RedisStreams { stream_name: "old.{type}".into(), max_len: 0, ..settings(&server) };
    let mut backend = connected(old).await;
    backend.publish(&items(0..1)).await;
    let length: u64 = redis::from_redis_value(server.command(&["XLEN", "old.t"]).await).unwrap();
    assert!(length <= 101, "{length}");
}

#[tokio::test]
async fn attributes_are_fields_where_they_shall_be() {
    let server = Server::start().await;
    let mut backend = connected(RedisStreams { layout: Layout::Attributes, ..settings(&server) }).await;
    assert!(backend.publish(&items(0..1)).await[0].is_ok());
    let entries = server.command(&["XRANGE", "s", "-", "+"]).await;
    let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(entries).unwrap();
    let fields = entries[0].1.join(" ");
    assert!(fields.starts_with("specversion 1.0 id 0 source s type t"), "{fields}");
    assert!(fields.ends_with("data {\"n\":1}"), "{fields}");
}

#[tokio::test]
async fn one_stream_of_several_that_is_none_stops_its_keys_alone() {
    let server = Server::start().await;
    server.command(&["SET", "by.document/3", "no stream"]).await;
    let mut backend =
        connected(RedisStreams { stream_name: "by.{subject}".into(), ..settings(&server) }).await;
    let mut batch = items(0..14);
    batch.push(Item { event: Event::builder("homeless", "s", "t").build().unwrap(), key: 99, trace: None });
    let outcomes = backend.publish(&batch).await;
    assert!(matches!(&outcomes[3], Err(Failure::Unroutable(text)) if text.contains("is no stream")));
    assert_eq!(outcomes[10], Err(Failure::Held));
    assert!(matches!(&outcomes[14], Err(Failure::Reject(text)) if text.contains("no attribute \"subject\"")));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 12);
    assert_eq!(server.events("by.document/0").await.len(), 2);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let server = Server::start().await;
    server.command(&["SET", "s", "no stream"]).await;
    let mut backend = connected(settings(&server)).await;
    let failure = backend.publish(&items(0..2)).await.remove(0).unwrap_err();
    assert!(matches!(&failure, Failure::BackOff(_, text) if text.contains("is no stream")), "{failure:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let mut backend = connected(RedisStreams { stream_name: "t".into(), ..settings(&server) }).await;
    let failure = backend.publish(&items(0..2)).await.remove(0).unwrap_err();
    assert!(matches!(&failure, Failure::BackOff(_, text) if text.contains("out of memory")), "{failure:?}");
}

#[tokio::test]
async fn replicas_that_are_missing_are_waited_for_and_the_batch_is_written_once() {
    let server = Server::start().await;
    let pool = ConnectionPool { timeout: 1, ..ConnectionPool::default() };
    let mut backend =
        connected(RedisStreams { replicas: 1, connection_pool: pool, ..settings(&server) }).await;
    for _ in 0..2 {
        let failure = backend.publish(&items(0..2)).await.remove(0).unwrap_err();
        assert!(
            matches!(&failure, Failure::BackOff(_, text) if text.contains("0 of 1 replicas")),
            "{failure:?}"
        );
    }
    assert_eq!(server.events("s").await.len(), 2);
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let server = Server::start().await;
    server.command(&["CONFIG", "SET", "requirepass", "right"]).await;
    let url = server.url().replace("redis://", "redis://:hunter2@");
    let mut backend = open(RedisStreams { url, ..settings(&server) });
    let message = backend.connect().await.unwrap_err().to_string();
    assert!(message.contains("refused the user or password") && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_password_of_its_own_goes_before_that_of_the_url() {
    let server = Server::start().await;
    server.command(&["ACL", "SETUSER", "stage2", "on", ">right", "~s", "+@all"]).await;
    let url = server.url().replace("redis://", "redis://other:hunter2@");
    let (username, password) = (Some("stage2".into()), Some("right".into()));
    connected(RedisStreams { url, username, password, ..settings(&server) }).await;
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let mut backend = open(RedisStreams { url: "redis://127.0.0.1:1/0".into(), ..RedisStreams::default() });
    let message = backend.connect().await.unwrap_err().to_string();
    assert!(message.contains("cannot connect to redis at redis://127.0.0.1:1/0"), "{message}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let sentinel = Sentinel { nodes: vec!["a:1".into()], ..Sentinel::default() };
    let cluster = Cluster { nodes: vec!["a:1".into()] };
    let refused = |settings, part: &str| {
        let text = refusal(settings);
        assert!(text.contains(part), "{part:?} is missing: {text}");
    };
    let base = RedisStreams::default;
    refused(
        RedisStreams { sentinel: Some(sentinel.clone()), cluster: Some(cluster.clone()), ..base() },
        "sentinel and cluster are both set",
    );
    refused(RedisStreams { cluster: Some(Cluster::default()), ..base() }, "cluster.nodes is empty");
    refused(
        RedisStreams { cluster: Some(Cluster { nodes: vec!["u:secret@a:1".into()] }), ..base() },
        "cluster.nodes: \"a:1\" is no address",
    );
    refused(
        RedisStreams { sentinel: Some(Sentinel { master: String::new(), ..sentinel }), ..base() },
        "sentinel.master is empty",
    );
    refused(RedisStreams { username: Some("u".into()), ..base() }, "username is set without password");
    refused(RedisStreams { certificate: Some("c".into()), ..base() }, "certificate and key go together");
    refused(RedisStreams { ca_file: Some("c".into()), ..base() }, "ca_file is set, and url has no TLS");
    refused(RedisStreams { stream_name: String::new(), ..base() }, "stream_name is empty");
    refused(RedisStreams { stream_name: "{x".into(), ..base() }, "a brace without its other");
}

#[test]
fn a_cluster_keeps_the_streams_of_a_template_on_one_node() {
    let cluster = Some(Cluster { nodes: vec!["a:1".into()] });
    let with = |stream: &str| RedisStreams {
        stream_name: stream.into(),
        cluster: cluster.clone(),
        ..RedisStreams::default()
    };
    for fine in ["nlp-events", "{{nlp}}.{type}", "x{{nlp}}"] {
        assert!(with(fine).open("redis".into(), Path::new("")).is_ok(), "{fine}");
    }
    for spread in ["nlp.{type}", "{type}.{{nlp}}", "{{}}{type}"] {
        assert!(refusal(with(spread)).contains("begin it with a hash tag"), "{spread}");
    }
}
