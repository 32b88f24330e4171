//! A secret of the settings shows nowhere, whatever goes wrong: every output of a whole run is searched for each.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use stagewire_tests::brokers::Broker;
use stagewire_tests::brokers::nats::{Rules, Server};
use stagewire_tests::host::STRUCTURED;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, RabbitMq, Receiver, Redis, stories};
use tempfile::TempDir;

/// Secrets by where they stand, each unlike any other text.
const IN_FILES: [(&str, &str); 7] = [
    ("redis", "f1le-Redis-9c41!x"),
    ("kafka", "f1le\"Kafka\\5d02"),
    ("whsec", "whsec_ZjFsZS13ZWJob29rLXNpZ25pbmcta2V5LTAxMjM0NQ=="),
    ("bearer", "f1le-bearer-77ab31"),
    ("plugin", "f1le-plugin-e0aa12"),
    ("header", "f1le-header-21ffe9"),
    // By no name, and in no place, that says what it is.
    ("stream", "f1le-stream-name-4b"),
];
const IN_ENVIRONMENT: [(&str, &str); 4] = [
    ("NATS_PASSWORD", "env-Nats-30b1%41z"),
    ("RABBITMQ_PASSWORD", "env-Rabbit-8a8a44"),
    ("STAGE2_API_KEY", "env-api-key-5f5f5f"),
    ("REDIS_EVENTS_URL", "redis://nobody:env-redis-url-91@127.0.0.1:1/0"),
];
const LITERAL: [&str; 8] = [
    "lit-redis-url-8e72",
    "lit-nats-token-1d3c",
    "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
    "lit-header-c0ffee",
    "lit-url-user-44aa",
    "lit-query-9d9d01",
    "lit-proxy-55bb07",
    "lit-ssl-key-pass-3a",
];
/// All that there is, but for what compiles plugins and watches files: the one fills hundreds of megabytes, and the other
/// sees its own log grow.
const LOG: &str = "trace,cranelift=warn,regalloc=warn,wasmtime=warn,wasmparser=warn,notify=warn";
/// What somebody presented, and was not let in with.
const PRESENTED: &str = "presented-wrongly-6c6c";

fn secrets() -> Vec<String> {
    let environment = IN_ENVIRONMENT.iter().map(|(_, secret)| {
        // Of a url, the password.
        secret.strip_prefix("redis://nobody:").and_then(|rest| rest.split('@').next()).unwrap_or(secret)
    });
    let files = IN_FILES.iter().map(|(_, secret)| *secret);
    files.chain(environment).chain(LITERAL).chain([PRESENTED]).map(str::to_owned).collect()
}

/// Every way in which a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let escaped = json!(secret).to_string();
    let percent = secret.replace('%', "%25").replace('!', "%21");
    let mut forms = vec![secret.to_owned(), escaped[1..escaped.len() - 1].to_owned(), percent];
    forms.extend(secret.strip_prefix("whsec_").map(str::to_owned));
    forms.dedup();
    forms
}

/// Everything that was said, by who said it.
#[derive(Default)]
struct Said(BTreeMap<String, Vec<u8>>);

impl Said {
    fn note(&mut self, who: impl Into<String>, what: impl Into<Vec<u8>>) {
        self.0.entry(who.into()).or_default().extend(what.into());
    }

    async fn command(&mut self, host: &Host, arguments: &[&str]) {
        let output = host.run(arguments).await;
        self.note(arguments.join(" "), [output.stdout, output.stderr].concat());
    }

    async fn admin(&mut self, host: &Host, path: &str) {
        let answer = host.admin("GET", path).await.expect("the admin API answers");
        assert!(answer.status < 500, "{path}: {}", answer.text());
        self.note(path, answer.body);
    }

    fn files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("a directory can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.files(&path);
            } else {
                self.note(path.display().to_string(), std::fs::read(&path).unwrap_or_default());
            }
        }
    }

    /// Who tells one of these, in which words.
    fn told(&self, secrets: &[String]) -> Vec<String> {
        let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let mut found = Vec::new();
        for (who, what) in &self.0 {
            let text = String::from_utf8_lossy(what);
            for form in forms.iter().filter(|form| text.contains(form.as_str())) {
                let line = text.lines().find(|line| line.contains(form.as_str())).unwrap_or_default();
                let at = line.find(form.as_str()).unwrap_or_default();
                let before: String = line[..at].chars().rev().take(150).collect();
                let before: String = before.chars().rev().collect();
                let after: String = line[at..].chars().take(100).collect();
                found.push(format!("{who}: {before}{after}"));
            }
        }
        found
    }
}

struct Brokers {
    redis: Redis,
    nats: Server,
    rabbitmq: RabbitMq,
    receiver: Receiver,
}

impl Brokers {
    async fn start() -> Self {
        let authorization = "users: [{ user: stage2, password: another }]".to_owned();
        let rules = Rules { authorization, ..Rules::open() };
        let (redis, nats, rabbitmq) =
            tokio::join!(Redis::start(), Server::start(&rules), <RabbitMq as Broker>::start());
        let receiver = Receiver::start().await;
        // The first says no for good, the next two for now.
        receiver.answer_first(&[400, 503, 401]);
        Self { redis, nats, rabbitmq, receiver }
    }

    /// Backends with a secret in each setting that can hold one. All are refused, or cannot be reached.
    fn backends(&self, files: &Path) -> String {
        let (redis, nats) = (self.redis.url().replace("redis://", ""), self.nats.address());
        let rabbitmq = self.rabbitmq.url("stage2:${RABBITMQ_PASSWORD}");
        let receiver = self.receiver.url();
        let receiver_at = receiver.replace("http://", "");
        let proxy = receiver_at.split('/').next().unwrap_or_default().to_owned();
        let file = |name: &str| format!("${{file:{}}}", files.join(name).display());
        let [in_redis_url, nats_token, nkey, header, url_user, query, in_proxy, ssl_key] = LITERAL;
        format!(
            "  dlq: {{ max_retries: 1 }}
  backends:
    - {{ name: redis, type: redis_streams, config: {{ url: \"redis://{redis}\", username: nobody, password: '{}', stream_name: '{}' }} }}
    - {{ name: redis-url, type: redis_streams, config: {{ url: \"redis://nobody:{in_redis_url}@{redis}\" }} }}
    - {{ name: nats, type: nats, config: {{ servers: [\"nats://{nats}\"], user: stage2, password: \"${{NATS_PASSWORD}}\" }} }}
    - {{ name: nats-token, type: nats, config: {{ servers: [\"nats://{nats}\"], token: {nats_token} }} }}
    - {{ name: nats-nkey, type: nats, config: {{ servers: [\"nats://{nats}\"], nkey: {nkey} }} }}
    - {{ name: rabbitmq, type: rabbitmq, config: {{ url: \"{rabbitmq}\" }} }}
    - name: kafka
      type: kafka
      config: {{ bootstrap_servers: [\"{nats}\"], security_protocol: SASL_PLAINTEXT, sasl_mechanism: PLAIN, sasl_username: u, sasl_password: '{}', properties: {{ debug: all, ssl.key.password: {ssl_key} }} }}
    - name: webhook
      type: webhook
      config:
        urls: [\"http://user:{url_user}@{receiver_at}?token={query}\"]
        headers: {{ X-Custom: '{}', Authorization: 'Bearer {header}' }}
        signing_secrets: ['{}']
        retry_attempts: 1
        retry_delay_seconds: 0.05
    - name: proxied
      type: webhook
      config: {{ urls: [\"http://127.0.0.1:1/\"], proxy: \"http://user:{in_proxy}@{proxy}\", retry_attempts: 1, retry_delay_seconds: 0.05 }}
",
            file("redis"),
            file("stream"),
            file("kafka"),
            file("header"),
            file("whsec"),
        )
    }
}

const BACKENDS: &str = "[redis, redis-url, nats, nats-token, nats-nkey, rabbitmq, kafka, webhook, proxied]";

fn routes(files: &Path, refuse: bool) -> String {
    let token = files.join("plugin");
    format!(
        "routes:\n  - name: all\n    steps:\n      - {{ plugin: indiscreet, settings: {{ api_token: '${{file:{}}}', refuse: {refuse} }} }}\n    deliver: {BACKENDS}\n",
        token.display()
    )
}

async fn start(settings: &str, files: &Path) -> Host {
    let bearer = files.join("bearer");
    let mut plan = Host::with(settings)
        .host(&format!(
            "http: {{ bearer_tokens: ['${{file:{}}}'], api_keys: ['${{STAGE2_API_KEY}}'] }}",
            bearer.display()
        ))
        .host("drain_timeout: 2s")
        .guest("indiscreet")
        .env("STAGEWIRE_LOG", LOG);
    for (name, value) in IN_ENVIRONMENT {
        plan = plan.env(name, value);
    }
    plan.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_of_a_whole_run_tells_a_secret() {
    let files = TempDir::new().expect("a temporary directory can be made");
    for (name, secret) in IN_FILES {
        std::fs::write(files.path().join(name), format!("{secret}\n")).expect("a file can be written");
    }
    let brokers = Brokers::start().await;
    let events = format!(
        "events:\n  enabled: true\n  monitoring: {{ log_level: TRACE }}\n{}",
        brokers.backends(files.path())
    );
    let settings = format!("{events}{}", routes(files.path(), false));
    let mut host = start(&settings, files.path()).await;
    let mut said = Said::default();

    // In with a token, in with a key, and not in.
    let [token, key] = [IN_FILES[3].1, IN_ENVIRONMENT[2].1];
    let bearer = format!("Bearer {token}");
    let wrong = format!("Bearer {PRESENTED}");
    for (header, value, status) in [
        ("authorization", bearer.as_str(), 202),
        ("x-api-key", key, 202),
        ("authorization", wrong.as_str(), 403),
    ] {
        for event in [stories::STORIES[0].processed(), stories::started(), stories::completed()] {
            let headers = [("content-type", STRUCTURED), (header, value)];
            let answer = host.post(&headers, event.to_string().as_bytes()).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            said.note("answers of the ingress", answer.body);
        }
    }

    // Everybody has been refused at least once, and says so.
    until_true("every lane but one says why it fails", PATIENCE, async || {
        let status = host.status().await;
        let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
        lanes.iter().filter(|lane| !lane["error"].is_null()).count() >= 7
    })
    .await;
    until_true("there are dead letters of the plugin and the receiver", PATIENCE, async || {
        host.status().await["dead_letters"].as_u64().is_some_and(|count| count >= 3)
    })
    .await;

    let config = host.settings_path().display().to_string();
    for command in ["config show", "validate", "status", "status --json", "route list", "plugin list"] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        match command {
            "validate" => arguments.push(&config),
            "plugin list" => arguments = vec!["plugin", "list", "plugins"],
            _ => arguments.extend(["--config", &config]),
        }
        said.command(&host, &arguments).await;
    }
    said.command(&host, &["dead-letters", "list", "--json", "--config", &config]).await;
    for id in ["evt_batch_started", "evt_batch_completed"] {
        said.command(&host, &["explain", id, "--config", &config]).await;
        said.admin(&host, &format!("/api/v1/explain/{id}")).await;
    }
    // What the dashboard shows is what the API answers.
    for path in ["/livez", "/readyz", "/metrics", "/", "/api/v1/status", "/api/v1/history", "/api/v1/routes"]
    {
        said.admin(&host, path).await;
    }
    for path in ["/api/v1/events", "/api/v1/plugins", "/api/v1/dead-letters", "/api/v1/openapi.json"] {
        said.admin(&host, path).await;
    }

    // Candidates that are refused: by the plugin, for a type, for a key beside a secret, for a backend, as no YAML.
    let refused = [
        format!("{events}{}", routes(files.path(), true)),
        format!(
            "{settings}privacy: [{{ max_string: '${{file:{}}}' }}]\n",
            files.path().join("plugin").display()
        ),
        settings.replace("sasl_username: u", "sasl_usernam: u"),
        settings.replace("signing_secrets: ['", "signing_secrets: ['no-key-"),
        settings.replace("urls: [\"http://user:", "urls: [\"ftp://user:"),
        settings.replace("token: lit", "token: [lit"),
        settings.replace("nkey: S", "user: u, nkey: S"),
    ];
    for candidate in &refused {
        host.put_settings(candidate);
        let refusal = host.reload().await.expect_err("the candidate is refused");
        said.note("refusals", refusal);
        said.command(&host, &["validate", &config]).await;
        said.command(&host, &["validate", "--json", &config]).await;
        said.command(&host, &["reload", "--wait", "--config", &config]).await;
        said.command(&host, &["config", "show", "--config", &config]).await;
        said.command(&host, &["run", "--config", &config]).await;
        said.admin(&host, "/api/v1/status").await;
    }
    host.put_settings(&settings);
    host.reload().await.expect("what was good is good");

    host.terminate().await;
    let log = host.log();
    assert!(log.contains("is seen with (hidden)"), "the plugin has said what it knows");
    said.note("the log", log);
    said.files(&host.data());
    assert!(said.0["the log"].len() > 10_000, "the log of everything is long");
    assert!(
        said.0["refusals"].windows(8).any(|part| part == b"(hidden)"),
        "something was there to be hidden"
    );
    let told = said.told(&secrets());
    assert!(told.is_empty(), "{} times:\n{}", told.len(), told.join("\n"));
}
