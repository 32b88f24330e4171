//! TLS at the ingress, held against curl: a certificate that is trusted, and clients that must bring their own.

use std::path::Path;
use std::process::Output;

use stagewire_tests::certificates::{Authority, Pair};
use stagewire_tests::host::STRUCTURED;
use stagewire_tests::{Host, Redis, stories};
use tokio::process::Command;

fn tls(server: &Pair, clients: Option<&Path>) -> String {
    let Pair { certificate, key } = server;
    let clients = clients.map(|file| format!(", client_authorities: {}", file.display())).unwrap_or_default();
    format!("http: {{ tls: {{ certificate: {}, key: {}{clients} }} }}", certificate.display(), key.display())
}

/// Posts one event by curl, which trusts `authority` and brings `own`.
async fn curl(host: &Host, authority: &Path, own: Option<&Pair>) -> Output {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--write-out",
        "%{http_code} %{http_version}",
    ]);
    command.arg("--cacert").arg(authority);
    if let Some(own) = own {
        command.arg("--cert").arg(&own.certificate).arg("--key").arg(&own.key);
    }
    command.args(["--header", &format!("content-type: {STRUCTURED}"), "--data"]);
    command.args([stories::started().to_string(), format!("https://{}/events", host.ingress())]);
    command.output().await.expect("curl is installed (cargo xtask setup)")
}

#[tokio::test]
async fn events_come_in_over_tls_and_http_2() {
    let (authority, stranger, redis) = (Authority::new(), Authority::new(), Redis::start().await);
    let server = authority.issue("server");
    let host = Host::with(redis.events_section()).host(&tls(&server, None)).start().await;
    let answer = curl(&host, &authority.file(), None).await;
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "202 2", "{answer:?}");
    redis.stream("nlp-events").has(1).await;
    let answer = curl(&host, &stranger.file(), None).await;
    assert_eq!(answer.status.code(), Some(60), "curl does not trust a certificate of another authority");
}

#[tokio::test]
async fn clients_bring_a_certificate_where_they_must() {
    let (authority, stranger, redis) = (Authority::new(), Authority::new(), Redis::start().await);
    let server = authority.issue("server");
    let clients = tls(&server, Some(&authority.file()));
    let host = Host::with(redis.events_section()).host(&clients).start().await;
    for own in [None, Some(stranger.issue("client"))] {
        let answer = curl(&host, &authority.file(), own.as_ref()).await;
        assert!(!answer.status.success(), "refused: {answer:?}");
    }
    let answer = curl(&host, &authority.file(), Some(&authority.issue("client"))).await;
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "202 2", "{answer:?}");
    redis.stream("nlp-events").has(1).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_named() {
    let authority = Authority::new();
    let mut server = authority.issue("server");
    server.key = server.certificate.clone();
    let output = Host::with("events: { enabled: false }\n").host(&tls(&server, None)).refused().await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("host.http.tls.key") && said.contains("server.pem"), "{said}");
}
