//! NATS: what the contract of all backends does not ask.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use nkeys::KeyPair;
use serde_json::{Value, json};
use stagewire_tests::brokers::nats::{Rules, Server, Sync};
use stagewire_tests::brokers::{Broker, Content, events};
use stagewire_tests::certificates::{Authority, Pair};
use stagewire_tests::waiting::{PATIENCE, until};
use stagewire_tests::{Host, JetStream};

/// Made for this test; it opens nothing else.
const SEED: &str = "SUAJBWPWUFRUTWGYRV77MSSZ4I3D2GX5EOKDW6NAJBF6DTAQEZ3XBNO6EI";
const PUBLIC: &str = "UAGVSMQ4H23URIEMCVU2N7BWT5CDFDKTQP3SFNEQ4PSODGHXID7T2TMW";
const STAGE2: &str = "{ user: stage2, password: right }";

fn event(id: &str, subject: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "com.example.x", "subject": subject })
}

async fn lane(host: &Host, holds: impl Fn(&Value) -> bool) -> Value {
    until("the lane is as it should be", PATIENCE, async || {
        host.status().await["lanes"].as_array()?.iter().find(|lane| holds(lane)).cloned()
    })
    .await
}

async fn lane_says(host: &Host, text: &str) -> Value {
    lane(host, |lane| lane["error"].as_str().is_some_and(|error| error.contains(text))).await
}

fn tls(server: &Pair, clients: &Authority) -> String {
    format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        server.certificate.display(),
        server.key.display(),
        clients.file().display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_out_over_tls_with_a_certificate_of_their_own() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let more = tls(&authority.issue("server"), &authority);
    let rules = Rules { authorization: format!("users: [{STAGE2}]"), more, sync: Sync::Always };
    let server = Server::start(&rules).await;
    let own = authority.issue("client");
    let config = |ca: &Authority| {
        format!(
            "{{ servers: [\"tls://{}\"], user: stage2, password: right, subject: tls.x, stream: TLS, create_stream: true, ca_file: {}, certificate: {}, key: {} }}",
            server.address(),
            ca.file().display(),
            own.certificate.display(),
            own.key.display()
        )
    };
    let host = Host::with(events("nats", &config(&authority))).start().await;
    host.send_all(&[event("1", "a")]).await;
    host.has_settled().await;
    lane(&host, |lane| lane["delivered"] == 1).await;

    let host = Host::with(events("nats", &config(&stranger))).start().await;
    host.send_all(&[event("1", "a")]).await;
    lane_says(&host, "check ca_file, certificate and key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_signs_in() {
    let authorization = format!("users: [{STAGE2}, {{ nkey: {PUBLIC} }}]");
    let nats = JetStream::with(&Rules { authorization, more: String::new(), sync: Sync::Always }).await;
    let config = format!(
        "{{ servers: [\"nats://{}\"], nkey: {SEED}, subject: other.x, stream: OTHER }}",
        nats.server().address()
    );
    let host = Host::with(events("nats", &config)).start().await;
    host.send_all(&[event("1", "a")]).await;
    nats.has("OTHER", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_signs_in() {
    let rules = Rules { authorization: "token: right".into(), more: String::new(), sync: Sync::Always };
    let server = Server::start(&rules).await;
    for (token, delivered) in [("right", true), ("wrong", false)] {
        let config = format!(
            "{{ servers: [\"nats://{}\"], jetstream: false, subject: x, token: {token} }}",
            server.address()
        );
        signs_in(&config, delivered).await;
    }
}

/// A server that knows its accounts by tokens (JWT) that an operator has signed, and users by those that an account has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_signs_in() {
    let (operator, account, stranger) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let all = json!({ "subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "wildcards": true });
    let own = signed(&operator, &operator, &json!({ "type": "operator", "version": 2 }));
    let account_token =
        signed(&operator, &account, &json!({ "type": "account", "version": 2, "limits": all }));
    // JetStream wants one for the server itself.
    let system = KeyPair::new_account();
    let system_token = signed(&operator, &system, &json!({ "type": "account", "version": 2, "limits": all }));
    let (account_key, system_key) = (account.public_key(), system.public_key());
    let more = format!(
        "operator: \"{own}\"\nsystem_account: {system_key}\nresolver: MEMORY\nresolver_preload {{ {account_key}: \"{account_token}\", {system_key}: \"{system_token}\" }}"
    );
    let server = Server::start(&Rules { authorization: String::new(), more, sync: Sync::Usual }).await;
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for (by, delivered) in [(&account, true), (&stranger, false)] {
        let user = KeyPair::new_user();
        let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let (token, seed) =
            (signed(by, &user, &claims), user.seed().expect("a pair that is new has its seed"));
        let file = directory.path().join("stage2.creds");
        let credentials = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&file, credentials).expect("the file can be written");
        let config = format!(
            "{{ servers: [\"nats://{}\"], jetstream: false, subject: x, credentials_file: {} }}",
            server.address(),
            file.display()
        );
        signs_in(&config, delivered).await;
    }
}

/// What the first says of the second, as NATS has it: a JWT that is signed by an nkey.
fn signed(by: &KeyPair, of: &KeyPair, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL.encode(value.to_string());
    let head = part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let body = part(&json!({
        "jti": "1", "iat": 1_700_000_000, "name": "stage2", "iss": by.public_key(), "sub": of.public_key(), "nats": claims
    }));
    let signature = by.sign(format!("{head}.{body}").as_bytes()).expect("a pair that is new can sign");
    format!("{head}.{body}.{}", BASE64_URL.encode(signature))
}

/// An event is delivered, or the lane says why nobody gets in.
async fn signs_in(config: &str, delivered: bool) {
    let host = Host::with(events("nats", config)).start().await;
    host.send_all(&[event("1", "a")]).await;
    if delivered {
        lane(&host, |lane| lane["delivered"] == 1).await;
    } else {
        lane_says(&host, "refused the").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_and_the_next_stages_consumer_are_made_and_what_comes_twice_is_kept_once() {
    let nats = JetStream::start().await;
    let host = Host::with(nats.events(Content::Structured, "durable_name: next-stage")).start().await;
    host.send_all(&[event("1", "a"), event("1", "a"), event("2", "a")]).await;
    host.has_settled().await;
    assert_eq!(nats.ids().await, ["1", "2"]);
    assert_eq!(nats.consumers("STRUCTURED").await, ["next-stage"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_published_is_a_dead_letter_and_the_rest_goes_on() {
    let nats = JetStream::start().await;
    let config = nats.config(Content::Structured, "").replace("structured.{type}", "structured.{subject}");
    let host = Host::with(events("nats", &config)).start().await;
    let mut large = event("large", "large");
    large["data"] = "x".repeat(5 << 20).into();
    let mut homeless = event("homeless", "x");
    homeless.as_object_mut().expect("an event is an object").remove("subject");
    // One after the other: the log names one reason of a batch.
    for event in [event("1", "a b.*"), large, event("dots", "a..b"), homeless, event("2", "c")] {
        host.send_all(&[event]).await;
        host.has_settled().await;
    }
    let mut ids = nats.ids().await;
    ids.sort();
    assert_eq!(ids, ["1", "2"]);
    lane(&host, |lane| lane["dead"] == 3).await;
    let log = host.log();
    for reason in ["too large for nats", "has an empty part", "no attribute \\\"subject\\\""] {
        assert!(log.contains(reason), "{reason:?} is not said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_later_gets_what_waited_in_order() {
    let nats = JetStream::start().await;
    let config = nats.config(Content::Structured, "").replace("create_stream: true", "create_stream: false");
    let host = Host::with(events("nats", &config)).start().await;
    let sent: Vec<_> = (0..20).map(|id| event(&id.to_string(), "a")).collect();
    host.send_all(&sent).await;
    lane_says(&host, "does not exist").await;
    nats.create("STRUCTURED", "structured.>").await;
    host.has_settled().await;
    let ids: Vec<_> = (0..20).map(|id| id.to_string()).collect();
    assert_eq!(nats.ids().await, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_makes_its_key_wait_and_keeps_the_order() {
    let nats = JetStream::start().await;
    nats.create_small("STRUCTURED", "structured.>", 5).await;
    let host = Host::with(nats.events(Content::Structured, "")).start().await;
    let sent: Vec<_> = (0..12).map(|id| event(&id.to_string(), "a")).collect();
    host.send_all(&sent).await;
    lane_says(&host, "make room in the stream").await;
    assert_eq!(nats.length("STRUCTURED").await, 5);
    nats.raise("STRUCTURED", "structured.>").await;
    host.has_settled().await;
    let ids: Vec<_> = (0..12).map(|id| id.to_string()).collect();
    assert_eq!(nats.ids().await, ids);
    assert_eq!(lane(&host, |_| true).await["dead"], 0, "{}", host.log());
}
