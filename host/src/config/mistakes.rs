//! The mistakes that people make most in settings, and what they read then: `docs/backends/mistakes.md` is made from these
//! tables. What only a broker can find wrong stands in the contract suite's pages beside it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use super::tests::load_files;

/// What was wrong, and the settings that have it.
type Mistake = (&'static str, &'static str);

/// Whole settings files.
const SETTINGS: &[Mistake] = &[
    ("a section that is misspelt", "evnts: {}"),
    ("a key that is misspelt", "events: { enabld: true }"),
    ("a switch in words", "events: { enabled: 'yes' }"),
    ("a switch in quotes", "events: { enabled: 'true' }"),
    ("a key that is given twice", "events: { enabled: true, enabled: false }"),
    ("a backend that is misspelt", "events: { enabled: true, backend: redis_stream }"),
    ("no backend", "events: { enabled: true }"),
    ("one backend and several", "events: { backend: local, backends: [{ type: local }] }"),
    ("two backends of one name", "events: { backends: [{ type: local }, { type: local }] }"),
    ("a backend without a type", "events: { backends: [{ name: x }] }"),
    ("one backend instead of a list", "events: { backends: local }"),
    ("a key of another type of backend", "events: { backends: [{ type: webhook, config: { url: x } }] }"),
    ("dead letters for nobody", "events: { backend: local, dlq: { backend: kafak } }"),
    ("tries in words", "events: { dlq: { max_retries: often } }"),
    ("a number instead of a url", "events: { redis_streams: { url: 6379 } }"),
    ("a number instead of a section", "events: { redis_streams: { connection_pool: 5 } }"),
    ("a header that is a number", "events: { webhook: { headers: { A: 1 } } }"),
    ("an unknown level", "events: { monitoring: { log_level: LOUD } }"),
    ("an event that is misspelt", "events: { publish_events: { document_procesed: true } }"),
    ("an address in words", "host: { listen: everywhere }"),
    ("a port that is none", "host: { listen: '127.0.0.1:99999' }"),
    ("half a worker", "host: { workers: 1.5 }"),
    ("less than no worker", "host: { workers: -1 }"),
    ("a time without a unit", "host: { drain_timeout: 30 }"),
    ("a size in words", "host: { http: { max_body: 8 megabytes } }"),
    ("a size of another kind", "host: { journal: { segment: 64M } }"),
    ("an unknown durability", "host: { journal: { fsync: alway } }"),
    ("a breaker in percent", "host: { delivery: { breaker: { failure_rate: 50% } } }"),
    ("an open admin API", "host: { admin: { listen: '0.0.0.0:8081' } }"),
    ("a certificate that is not there", "host: { http: { tls: { certificate: /none, key: /none } } }"),
    ("a certificate without its key", "host: { http: { tls: { certificate: /none } } }"),
    ("one token instead of a list", "host: { http: { bearer_tokens: abc } }"),
    ("a grant that nothing knows", "plugins: { grants: { redact: { network: true } } }"),
    ("a url instead of a host", "plugins: { grants: { fetch: { http: ['https://a.example/'] } } }"),
    ("a directory without a place", "plugins: { grants: { fetch: { filesystem: [/srv/models] } } }"),
    ("a limit without a unit", "plugins: { limits: { memory: 32 } }"),
    ("a plugin by a tag", "plugins: { pull: { redact: 'registry.example.com/team/redact:1.2' } }"),
    ("a plugin in no registry", "plugins: { pull: { redact: 'team/redact@sha256:0f4d' } }"),
    ("a plugin by a url", "plugins: { pull: { redact: 'https://registry.example.com/redact:1.2' } }"),
    ("a registry by a url", "plugins: { registries: { 'https://registry.example.com': { user: u } } }"),
    (
        "a password without its user",
        "plugins: { registries: { registry.example.com: { password: horse-of-stage2 } } }",
    ),
    ("a public key that is not there", "plugins: { public_key: /nowhere/cosign.pub }"),
    ("a field that is no path", "privacy: [{ fields: ['a..b'] }]"),
    ("an unknown action", "privacy: [{ action: hide }]"),
    ("rules that are not there", "routes: /nowhere"),
    ("a route without a name", "routes: [{ deliver: [] }]"),
    ("a route that leads nowhere", "routes: [{ name: r, deliver: [] }]"),
    (
        "a backend that nobody configured",
        "events: { backend: local }\nroutes: [{ name: r, deliver: [locl] }]",
    ),
    (
        "two routes of one name",
        "events: { backend: local }\nroutes: [{ name: r, deliver: [local] }, { name: r, deliver: [local] }]",
    ),
    ("a condition that is misspelt", "routes: [{ name: r, match: [{ exakt: { type: x } }], deliver: [l] }]"),
    ("a condition on a number", "routes: [{ name: r, match: [{ exact: { type: 1 } }], deliver: [l] }]"),
    ("a condition without anything", "routes: [{ name: r, match: [exact], deliver: [l] }]"),
    (
        "two conditions in one",
        "routes: [{ name: r, match: [{ exact: { type: x }, prefix: { type: y } }], deliver: [l] }]",
    ),
    ("one condition instead of a list", "routes: [{ name: r, match: { exact: { type: x } }, deliver: [l] }]"),
    (
        "an expression that is none",
        "events: { backend: local }\nroutes: [{ name: r, match: [{ sql: 'type ==' }], deliver: [local] }]",
    ),
    (
        "a plugin that is not there",
        "events: { backend: local }\nroutes: [{ name: r, steps: [{ plugin: redact }], deliver: [local] }]",
    ),
    ("a step without a plugin", "routes: [{ name: r, steps: [{ settings: {} }], deliver: [l] }]"),
    (
        "an unknown way with errors",
        "routes: [{ name: r, steps: [{ plugin: p, on_error: ignore }], deliver: [l] }]",
    ),
    (
        "a share of more than all",
        "routes: [{ name: r, steps: [{ plugin: p, canary: { plugin: p, percent: 101 } }], deliver: [l] }]",
    ),
    ("a time of the day without its zero", "routes: [{ name: r, times: [{ from: '8:00' }], deliver: [l] }]"),
    ("a time zone that is none", "routes: [{ name: r, times: [{ zone: Atlantis }], deliver: [l] }]"),
    ("a day that is misspelt", "routes: [{ name: r, times: [{ days: [monday] }], deliver: [l] }]"),
    ("a share in percent", "routes: [{ name: r, sample: { share: 10 }, deliver: [l] }]"),
    ("a window without a unit", "routes: [{ name: r, dedup: { window: 60 }, deliver: [l] }]"),
    ("no rate at all", "routes: [{ name: r, rate: 0, deliver: [l] }]"),
    ("an order by what is no attribute", "routes: [{ name: r, order_by: data.id, deliver: [l] }]"),
    ("a variable that is not set", "events: { webhook: { headers: { X: '${NOT_SET}' } } }"),
    ("a variable that is not closed", "events: '${OPEN'"),
    ("a variable without a name", "host: { listen: '${}' }"),
    ("a secret in a file that is not there", "host: { http: { api_keys: ['${file:none}'] } }"),
    ("a secret in no file", "host: { http: { api_keys: ['${file:}'] } }"),
    ("a bracket that is not closed", "a: ["),
    ("an alias of nothing", "a: *b"),
    ("two documents", "---\n{}\n---\n{}"),
    ("a key that is a list", "{ [a]: b }"),
    ("a list instead of sections", "- a"),
    ("an include that is a section", "include: { file: a.yaml }"),
    ("an include of nothing", "include: ['']"),
    ("an include of itself", "include: s.yaml"),
    ("an include that is not there", "include: [none.yaml]"),
    ("a pattern over directories", "include: ['*/rules.yaml']"),
];

/// Several files; the first is the settings file.
const SEVERAL: &[(&str, &[(&str, &str)])] = &[
    (
        "one setting in two files",
        &[("s.yaml", "include: a.yaml\nhost: { max_hops: 3 }"), ("a.yaml", "host: { max_hops: 4 }")],
    ),
    (
        "two routes of one name in two files",
        &[
            ("s.yaml", "include: rules\nevents: { backend: local }"),
            ("rules/a.yaml", "routes: [{ name: r, deliver: [local] }]"),
            ("rules/b.yaml", "routes: [{ name: r, deliver: [local] }]"),
        ],
    ),
    (
        "files that include one another",
        &[("s.yaml", "include: a.yaml"), ("a.yaml", "include: b.yaml"), ("b.yaml", "include: [a.yaml]")],
    ),
    ("a file that is included twice", &[("s.yaml", "include: [a.yaml, '*.yaml']"), ("a.yaml", "host: {}")]),
    ("a key that is misspelt in an included file", &[("s.yaml", "include: d"), ("d/a.yaml", "\nhosst: {}")]),
    ("settings among rules", &[("s.yaml", "routes: rules"), ("rules/a.yaml", "routes: []\nhost: {}")]),
    ("text instead of settings", &[("s.yaml", "include: a.yaml"), ("a.yaml", "hello")]),
    (
        "a list and a section",
        &[("s.yaml", "include: a.yaml\nprivacy: []"), ("a.yaml", "privacy: { fields: [a] }")],
    ),
];

/// What no schema of one file can see, and why.
const UNSEEN: &[(&str, &str)] = &[
    ("no backend", "the environment or another file may name one"),
    ("two backends of one name", "it compares no items of a list"),
    ("dead letters for nobody", "it knows no names that are given elsewhere"),
    ("an open admin API", "it holds no keys against each other"),
    ("a certificate that is not there", "it is on the disk"),
    ("a registry by a url", "any text may stand there"),
    ("a password without its user", "it holds no keys against each other"),
    ("a public key that is not there", "it is on the disk"),
    ("a field that is no path", "a path has a grammar of its own"),
    ("rules that are not there", "they are on the disk"),
    ("a backend that nobody configured", "it knows no names that are given elsewhere"),
    ("two routes of one name", "it compares no items of a list"),
    ("an expression that is none", "an expression has a grammar of its own"),
    ("a plugin that is not there", "it is on the disk"),
    ("a time zone that is none", "the system knows the zones"),
    ("a variable that is not set", "it is in the environment"),
    ("a secret in a file that is not there", "it is on the disk"),
    ("a secret in no file", "any text may stand there"),
    ("an include of itself", "it does not know what the file is called"),
    ("an include that is not there", "it is on the disk"),
    ("one setting in two files", "it sees one file"),
    ("two routes of one name in two files", "it sees one file"),
    ("files that include one another", "it sees one file"),
    ("a file that is included twice", "it sees one file"),
    ("settings among rules", "it sees one file"),
    ("an authority that is not there", "it is on the disk"),
];

/// In the section of a backend, which is in force.
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
fn message(files: &[(&str, &str)]) -> String {
    match load_files(files, &[]) {
        Ok(_) => "(accepted)".into(),
        Err(faults) => faults.lines().map(without_place).collect::<Vec<_>>().join("; "),
    }
}

/// The settings file itself goes without saying.
fn without_place(fault: &str) -> &str {
    let Some(rest) = fault.strip_prefix("s.yaml:") else { return fault };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').trim_start()
}

/// The schema, as a validator of another's making understands it.
struct Editor {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Editor {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("http://localhost/settings.schema.json", super::schema()).unwrap();
        let index = compiler.compile("http://localhost/settings.schema.json", &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    fn problems(&self, json: &Value) -> Option<String> {
        self.schemas.validate(json, self.index).err().map(|error| format!("{error:#}"))
    }
}

/// Whether an editor shows the mistake: by the schema, or because it is no YAML to it.
fn is_seen(schema: &Editor, files: &[(&str, &str)]) -> bool {
    let mut json = files.iter().map(|(_, text)| serde_saphyr::from_str::<Value>(text));
    json.any(|json| !json.is_ok_and(|json| schema.problems(&json).is_none()))
}

fn in_force(kind: &str, config: &str) -> String {
    format!("events: {{ enabled: true, backend: {kind}, {kind}: {config} }}")
}

struct Page<'a> {
    schema: &'a Editor,
    text: String,
    unseen: BTreeSet<&'static str>,
}

impl Page<'_> {
    fn section(&mut self, title: &str) {
        // Writing to a string cannot fail.
        let _ = write!(
            self.text,
            "\n## {title}\n\n| mistake | what is said | seen by the schema |\n| --- | --- | --- |\n"
        );
    }

    fn row(&mut self, what: &str, shown: &str, files: &[(&str, &str)]) {
        let said = message(files);
        let seen = if is_seen(self.schema, files) {
            "yes".into()
        } else {
            let reason = UNSEEN.iter().find(|(mistake, _)| *mistake == what);
            self.unseen.extend(reason.map(|(mistake, _)| mistake));
            reason.map_or("(no reason)".into(), |(_, why)| format!("no: {why}"))
        };
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ⏎ ");
        let _ = writeln!(self.text, "| {what}: `{}` | {} | {seen} |", cell(shown), cell(&said));
    }
}

fn page(schema: &Editor) -> String {
    let mut page = Page { schema, text: String::new(), unseen: BTreeSet::new() };
    page.text.push_str(
        "# What is said of wrong settings\n\n`stagewire validate` finds these without any broker, with the line in the file. Many are marked in an editor as they are \
         written, by `config/settings.schema.json`. Made from a table of tests.\n",
    );
    page.section("Settings and rules");
    for (what, text) in SETTINGS {
        page.row(what, text, &[("s.yaml", text)]);
    }
    page.section("Several files");
    for (what, files) in SEVERAL {
        let shown: Vec<_> = files.iter().map(|(name, text)| format!("{name}: {text}")).collect();
        page.row(what, &shown.join("\n"), files);
    }
    for (kind, mistakes) in MISTAKES {
        page.section(kind);
        for (what, config) in *mistakes {
            page.row(what, config, &[("s.yaml", &in_force(kind, config))]);
        }
    }
    let superfluous: Vec<_> = UNSEEN.iter().filter(|(what, _)| !page.unseen.contains(what)).collect();
    assert!(superfluous.is_empty(), "the schema sees these: {superfluous:?}");
    page.text
}

#[test]
fn every_mistake_is_said_as_the_page_has_it() {
    let schema = Editor::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backends/mistakes.md");
    let now = page(&schema);
    assert!(!now.contains("(accepted)"), "a mistake is taken:\n{now}");
    assert!(!now.contains("(no reason)"), "the schema could see it, or UNSEEN says why not:\n{now}");
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, now,
        "docs/backends/mistakes.md is out of date: run this test with STAGEWIRE_UPDATE_DOCS=1"
    );
}

/// Every settings file that is shown to people.
fn samples() -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let yaml = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    let samples = std::fs::read_dir(root.join("config/samples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = samples.filter(yaml).collect();
    assert!(files.len() > 10);
    files.extend([root.join("config/settings.yaml"), root.join("examples/pipeline/settings.yaml")]);
    files
}

#[test]
fn every_sample_conforms_to_the_schema_that_it_names() {
    let schema = Editor::new();
    for file in samples() {
        let text = std::fs::read_to_string(&file).unwrap();
        let json: Value = serde_saphyr::from_str(&text).unwrap();
        let problems = schema.problems(&json);
        assert!(problems.is_none(), "{}: {}", file.display(), problems.unwrap_or_default());
        let named =
            text.strip_prefix("# yaml-language-server: $schema=").and_then(|rest| rest.lines().next());
        let named = file.parent().unwrap().join(named.unwrap_or_default());
        assert!(
            named.ends_with("settings.schema.json") && named.is_file(),
            "{}: {}",
            file.display(),
            named.display()
        );
    }
}

#[test]
fn the_schema_that_is_checked_in_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.schema.json");
    let now = format!("{:#}\n", super::schema());
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == now,
        "config/settings.schema.json is out of date: `stagewire config schema > config/settings.schema.json`"
    );
}

/// Every key of the schema, with the way to it.
fn keys<'a>(way: &str, schema: &'a Value, found: &mut Vec<(String, &'a Value, bool)>) {
    for (name, key) in schema["properties"].as_object().into_iter().flatten() {
        let required =
            schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
        found.push((format!("{way}.{name}"), key, required));
        keys(&format!("{way}.{name}"), key, found);
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        keys(name, definition, found);
    }
    for parts in ["oneOf", "anyOf"] {
        schema[parts].as_array().into_iter().flatten().for_each(|part| keys(way, part, found));
    }
}

#[test]
fn every_key_has_a_description_a_default_and_an_example() {
    let schema = super::schema();
    let definitions = &schema["$defs"];
    let mut found = Vec::new();
    keys("", &schema, &mut found);
    assert!(found.len() > 150, "{}", found.len());
    let mut wrong = Vec::new();
    for (way, key, required) in found {
        let says = |what: &str| key.get(what).is_some_and(|value| !value.is_null() || what == "default");
        let of = |part: &Value| super::schema::resolve(part, definitions).clone();
        let resolved = of(key);
        let options = resolved["anyOf"].as_array().cloned().unwrap_or_else(|| vec![resolved.clone()]);
        let is_one = |wanted: &dyn Fn(&Value) -> bool| options.iter().any(|part| wanted(&of(part)));
        let is = |part: &Value, kind: &str| {
            part["type"] == kind
                || part["type"].as_array().is_some_and(|kinds| kinds.iter().any(|it| it == kind))
        };
        let words = is_one(&|part| super::check::words(part).is_some() || is(part, "boolean"));
        let section = is_one(&|part| is(part, "object") || part["oneOf"].is_array());
        let list = is_one(&|part| part["items"].is_object() || part["additionalProperties"].is_object());
        if !says("description") {
            wrong.push(format!("{way}: no description"));
        }
        if !required && !says("default") {
            wrong.push(format!("{way}: no default"));
        }
        if !words && !section && !list && !says("examples") {
            wrong.push(format!("{way}: no example"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
