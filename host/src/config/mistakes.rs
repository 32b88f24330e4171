//! The mistakes that people make most in a backend's settings, and what they read then: `docs/backends/mistakes.md` is made
//! from this table. What only a broker can find wrong stands in the contract suite's pages beside it.

use std::fmt::Write;
use std::path::Path;

use super::tests::load_text;
use crate::backends;

/// What was wrong, and the section that has it.
type Mistake = (&'static str, &'static str);

const MISTAKES: &[(&str, &[Mistake])] = &[
    (
        "redis_streams",
        &[
            ("a key that is misspelt", "{ stream: nlp-events }"),
            ("a url without a scheme", "{ url: 'localhost:6379' }"),
            ("the url of something else", "{ url: 'http://localhost:6379' }"),
            ("a number in words", "{ max_len: many }"),
            ("a negative length", "{ max_len: -1 }"),
            ("a stream without a name", "{ stream_name: '' }"),
            ("a brace that is not closed", "{ stream_name: 'nlp.{type' }"),
            ("an unknown layout", "{ layout: json }"),
            ("a certificate without its key", "{ url: 'rediss://r/0', certificate: /etc/tls/c.pem }"),
            ("sentinels without nodes", "{ sentinel: { nodes: [], master: m } }"),
            (
                "sentinels and a cluster at once",
                "{ sentinel: { nodes: ['s:26379'], master: m }, cluster: { nodes: ['c:7000'] } }",
            ),
            ("a cluster without nodes", "{ cluster: { nodes: [] } }"),
        ],
    ),
    (
        "kafka",
        &[
            ("a key that is misspelt", "{ topik: nlp-events }"),
            ("one server instead of a list", "{ bootstrap_servers: 'kafka:9092' }"),
            ("no servers", "{ bootstrap_servers: [] }"),
            ("a topic without a name", "{ topic: '' }"),
            ("an unknown compression", "{ compression_type: zip }"),
            ("acks of two", "{ acks: 2 }"),
            ("an unknown protocol", "{ security_protocol: SASL }"),
            ("SASL without a user", "{ security_protocol: SASL_SSL, sasl_mechanism: PLAIN }"),
            (
                "SASL without a mechanism",
                "{ security_protocol: SASL_SSL, sasl_username: u, sasl_password: p }",
            ),
            ("a user without SASL", "{ sasl_username: u, sasl_password: p }"),
            ("idempotence without acks of all", "{ idempotence: true, acks: 1 }"),
            ("no requests in flight", "{ max_in_flight_requests: 0 }"),
            ("a property that has a key of ours", "{ properties: { acks: all } }"),
            ("a property that is not there", "{ properties: { no.such.property: 1 } }"),
        ],
    ),
    (
        "nats",
        &[
            ("a key that is misspelt", "{ subjekt: nlp.events }"),
            ("one server instead of a list", "{ servers: 'nats://nats:4222' }"),
            ("no servers", "{ servers: [] }"),
            ("the url of something else", "{ servers: ['http://nats:4222'] }"),
            ("a subject without a name", "{ subject: '' }"),
            ("a subject with a wildcard", "{ subject: 'nlp.*' }"),
            ("a subject with a space", "{ subject: 'nlp events' }"),
            ("an attribute that nothing has a name for", "{ subject: 'nlp.{Type!}' }"),
            ("two ways to sign in", "{ user: u, password: p, token: t }"),
            ("a password without a user", "{ password: p }"),
            ("a time without a unit", "{ timeout: 5 }"),
            ("a port that is none", "{ servers: ['nats://nats:99999'] }"),
        ],
    ),
    (
        "rabbitmq",
        &[
            ("a key that is misspelt", "{ exchange_typ: topic }"),
            ("a url without a scheme", "{ url: 'rabbit:5672' }"),
            ("the url of something else", "{ url: 'http://rabbit:15672' }"),
            ("no url", "{ url: '' }"),
            ("a brace that is not closed", "{ routing_key: '{type' }"),
            ("an attribute that nothing has a name for", "{ routing_key: '{Type!}' }"),
            ("a switch in words", "{ durable: perhaps }"),
            ("a time without a unit", "{ timeout: 5 }"),
            ("an unknown content mode", "{ content: batched }"),
            ("a certificate without its key", "{ url: 'amqps://r/', certificate: /etc/tls/c.pem }"),
            ("a heartbeat in words", "{ heartbeat: often }"),
        ],
    ),
    (
        "webhook",
        &[
            ("a key that is misspelt", "{ url: 'https://a/' }"),
            ("one url instead of a list", "{ urls: 'https://a/' }"),
            ("no urls", "{ urls: [] }"),
            ("a url without a scheme", "{ urls: ['a/hook'] }"),
            ("plain http to another machine", "{ urls: ['http://a.example/'] }"),
            ("a header that is none", "{ urls: ['https://a/'], headers: { 'X Key': v } }"),
            ("a secret that is none", "{ urls: ['https://a/'], signing_secrets: ['plain'] }"),
            ("a network that is none", "{ urls: ['https://a/'], deny_networks: ['10.0.0.0/33'] }"),
            ("an unknown mode", "{ urls: ['https://a/'], mode: json }"),
            ("no time at all", "{ urls: ['https://a/'], timeout_seconds: 0 }"),
            ("an unknown backoff", "{ urls: ['https://a/'], retry_backoff: random }"),
            ("an authority that is not there", "{ urls: ['https://a/'], ca_file: /nowhere/ca.pem }"),
            ("a proxy that is none", "{ urls: ['https://a/'], proxy: '::' }"),
        ],
    ),
];

/// What people read, without the place in the file.
fn message(kind: &str, config: &str) -> String {
    let text = format!("events: {{ enabled: true, backend: {kind}, {kind}: {config} }}");
    let settings = match load_text(&text, &[]) {
        Ok(loaded) => loaded.settings,
        Err(faults) => return faults.lines().map(without_place).collect::<Vec<_>>().join("; "),
    };
    let spec = super::backends(&settings).remove(0);
    let kind = backends::find(&spec.kind).expect("every backend is built in");
    match (kind.open)(spec.name.clone(), &spec.config, Path::new("data")) {
        Ok(_) => "(accepted)".into(),
        Err(problem) => format!("backend {}: {problem}", spec.name),
    }
}

fn without_place(fault: &str) -> &str {
    let rest = fault.trim_start_matches("s.yaml:");
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').trim_start()
}

fn page() -> String {
    let mut page = String::from(
        "# What is said of wrong settings\n\n`stagewire validate` finds these without any broker, with the line in the file. Made from a table of tests.\n",
    );
    for (kind, mistakes) in MISTAKES {
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {kind}\n\n| mistake | what is said |\n| --- | --- |\n");
        for (what, config) in *mistakes {
            let said = message(kind, config).replace('|', "\\|");
            let _ = writeln!(page, "| {what}: `{config}` | {said} |");
        }
    }
    page
}

#[test]
fn every_mistake_is_said_as_the_page_has_it() {
    // As `main` does; a webhook's client is not made without it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backends/mistakes.md");
    let now = page();
    assert!(!now.contains("(accepted)"), "a mistake is taken:\n{now}");
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, now,
        "docs/backends/mistakes.md is out of date: run this test with STAGEWIRE_UPDATE_DOCS=1"
    );
}
