//! Good settings load; broken ones say what is wrong, where, and what to write.

use std::path::Path;

use proptest::prelude::*;

use super::*;

pub(super) fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.yaml");
    std::fs::write(&path, text).unwrap();
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let prefix = format!("{}/", dir.path().display());
    load(&path, &env).map_err(|faults| faults.to_strings().join("\n").replace(&prefix, ""))
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(load_text("", &[]).unwrap().settings, Settings::default());
    assert_eq!(load_text("events:\nhost:\n", &[]).unwrap().settings.host, settings::Host::default());
}

#[test]
fn the_samples_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut files = vec![root.join("settings.yaml")];
    files.extend(std::fs::read_dir(root.join("samples")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.len() > 4);
    for file in files {
        let known = ["WEBHOOK_API_KEY", "KAFKA_USERNAME", "KAFKA_PASSWORD", "REDIS_PASSWORD"];
        let env = |name: &str| known.contains(&name).then(|| "key".to_owned());
        load(&file, &env).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

#[test]
fn the_settings_on_the_routing_page_load() {
    let page = include_str!("../../../docs/routing.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let settings = load_text(rest.split_once("```").unwrap().0, &[]).unwrap().settings;
    assert_eq!(settings.routes.len(), 2);
    // What is shown and handed on is what was written.
    let json = serde_json::to_value(&settings.routes[0].matches).unwrap();
    assert_eq!(json[1]["sql"], "subject LIKE 'document/%'");
}

#[test]
fn an_expression_that_is_none_is_pointed_at_within_its_line() {
    let fault = |condition: &str| {
        let routes = format!("routes:\n  - name: r\n    deliver: [local]\n    match:\n      - {condition}\n");
        load_text(&format!("events: {{ enabled: true, backend: local }}\n{routes}"), &[]).unwrap_err()
    };
    let cases = [
        (
            "sql: \"type = = 'x'\"",
            "s.yaml:6:22: expected a value, an attribute or a function, found \"=\"; text stands in quotes",
        ),
        (
            "sql: subject LIKE document",
            "s.yaml:6:27: expected a pattern in quotes, found \"document\"; write it like",
        ),
        (
            "sql: LENGHT(type) > 3",
            "s.yaml:6:14: there is no function LENGHT; did you mean LENGTH? known: INT, ",
        ),
        (
            "sql: attempt + 1",
            "s.yaml:6:14: the expression yields Integer, and a condition is a boolean; compare it",
        ),
        ("not: { any: [{ sql: type }, { sql: 'type =' }] }", "s.yaml:6:51: expected a value"),
        // Escapes: the text of the expression is not that of the file.
        (
            "sql: 'type = ''x'' AND'",
            "s.yaml:6:14: expected a value, an attribute or a function, found the end (at",
        ),
        ("sql: |\n          type = 'x'\n          AND AND", "(at character 16 of the expression)"),
        ("sql: 5", "expected text here, found a whole number (5); put it in quotes: \"5\""),
        ("cel: data.count >", "s.yaml:6:26: the expression ends here, and is not whole; write it like"),
        ("cel: type == = 'x'", "s.yaml:6:22: \"=\" cannot stand here"),
        ("cel: lenght(type) > 3", "s.yaml:6:14: there is no function \"lenght\""),
        ("sqll: TRUE", "unknown key \"sqll\"; did you mean \"sql\"?"),
    ];
    for (condition, wanted) in cases {
        let found = fault(condition);
        assert!(found.contains(wanted), "{condition}\n{found}");
    }
}

#[test]
fn variables_override_the_file() {
    let env = [
        ("EVENTS_ENABLED", "TRUE"),
        ("EVENTS_BACKEND", "redis_streams"),
        ("REDIS_EVENTS_URL", "redis://x:1/0"),
    ];
    let settings = load_text("", &env).unwrap().settings;
    let spec = backends(&settings).remove(0);
    assert!(settings.events.unwrap().enabled);
    assert_eq!((spec.kind.as_str(), &spec.config["url"]), ("redis_streams", &"redis://x:1/0".into()));
    let error = load_text("", &[("EVENTS_ENABLED", "perhaps")]).unwrap_err();
    assert!(error.contains("$EVENTS_ENABLED:1:1: expected true or false here"), "{error}");
}

#[test]
fn interpolated_values_keep_yamls_types_and_add_no_yaml() {
    let text =
        "events:\n  backend: redis_streams\n  redis_streams:\n    max_len: ${N}\n    stream_name: '${S}'\n";
    let settings = load_text(text, &[("N", "5"), ("S", "a, ttl_seconds: 1")]).unwrap().settings;
    let config = backends(&settings).remove(0).config;
    assert_eq!(config["max_len"], 5);
    assert_eq!(config["stream_name"], "a, ttl_seconds: 1");
}

#[test]
fn broken_settings_say_what_to_write() {
    let cases = [
        ("evnts: {}", "s.yaml:1:1: unknown key \"evnts\"; did you mean \"events\"?"),
        ("events:\n  enabld: true", "s.yaml:2:3: unknown key \"enabld\"; did you mean \"enabled\"?"),
        ("events:\n  enabled: 'yes'", "s.yaml:2:12: expected true or false here, found text (\"yes\")"),
        ("events:\n  enabled: 'true'", "leave the quotes out: true"),
        (
            "events: { enabled: true, enabled: false }",
            "s.yaml:1:26: key \"enabled\" is given twice; keep one of them",
        ),
        (
            "events: { backend: redis_stream, enabled: true }",
            "unknown backend type \"redis_stream\"; did you mean \"redis_streams\"?",
        ),
        ("events: { enabled: true }", "there is no backend; add backend: local"),
        (
            "events: { backend: local, backends: [{ type: local }] }",
            "both backend and backends are given; keep one of them",
        ),
        (
            "events: { backends: [{ type: local }, { type: local }] }",
            "two backends are called \"local\"; give each a name: of its own",
        ),
        ("events: { backends: [{ name: x }] }", "s.yaml:1:22: key \"type\" is missing here; add type: …"),
        ("events: { backends: local }", "make it a list: [\"local\"]"),
        ("events: { redis_streams: { max_lenn: 1 } }", "unknown key \"max_lenn\"; did you mean \"max_len\"?"),
        (
            "events: { redis_streams: { max_len: many } }",
            "expected a whole number here, found text (\"many\")",
        ),
        ("events: { redis_streams: { max_len: -1 } }", "-1 is out of range; write a number from 0 on"),
        ("events: { redis_streams: { url: 6379 } }", "put it in quotes: \"6379\""),
        (
            "events: { redis_streams: { connection_pool: 5 } }",
            "expected a section of keys here, found a whole number (5)",
        ),
        (
            "events: { backends: [{ type: webhook, config: { url: x } }] }",
            "unknown key \"url\"; did you mean \"urls\"?",
        ),
        ("events: { webhook: { urls: 'https://x' } }", "make it a list: [\"https://x\"]"),
        (
            "events: { webhook: { retry_backoff: exponentially } }",
            "did you mean \"exponential\"? known: exponential, fixed",
        ),
        ("events: { webhook: { headers: { A: 1 } } }", "put it in quotes: \"1\""),
        ("events: { kafka: { compression_type: zip } }", "known here"),
        ("events: { kafka: { topik: x } }", "did you mean \"topic\"?"),
        ("events: { kafka: { acks: 2 } }", "\"2\" is not known here; write one of 0, 1, -1, all"),
        (
            "events: { kafka: { security_protocol: SASL } }",
            "\"SASL\" is not known here; did you mean \"SSL\"? known: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
        ),
        ("events: { monitoring: { log_level: LOUD } }", "\"LOUD\" is not known here; write one of"),
        ("events: { publish_events: { document_procesed: true } }", "did you mean \"document_processed\"?"),
        ("host: { listen: everywhere }", "invalid socket address syntax"),
        ("host: { workers: 1.5 }", "expected a whole number here, found a number (1.5)"),
        (
            "host: { drain_timeout: 30 }",
            "\"30\" is not a number with a unit (ms, s, m, h, d); write it like 50ms or 24h",
        ),
        ("host: { http: { max_body: 8 megabytes } }", "write it like 64KiB or 32MiB"),
        ("host: { journal: { fsync: alway } }", "did you mean \"always\"? known: always, interval, never"),
        (
            "host: { admin: { listen: '0.0.0.0:8081' } }",
            "is beyond loopback, and the admin API has no tokens; add host.admin.tokens: ",
        ),
        ("host: { http: { tls: { certificate: /none, key: /none } } }", "cannot read /none"),
        ("host: { http: { tls: { certificate: /none } } }", "key \"key\" is missing here"),
        ("routes: /nowhere", "cannot read the rules in /nowhere"),
        ("routes: [{ deliver: [] }]", "key \"name\" is missing here; add name: …"),
        ("routes: [{ name: r, deliver: [] }]", "route \"r\" delivers nowhere; name a backend"),
        (
            "events: { backend: local }\nroutes: [{ name: r, deliver: [locl] }]",
            "s.yaml:2:31: there is no backend \"locl\"; did you mean \"local\"? configured: local",
        ),
        (
            "events: { backend: local }\nroutes: [{ name: r, deliver: [local] }, { name: r, deliver: [local] }]",
            "two routes are called \"r\"",
        ),
        (
            "routes: [{ name: r, match: [{ exakt: { type: x } }], deliver: [] }]",
            "unknown key \"exakt\"; did you mean \"exact\"?",
        ),
        ("routes: [{ name: r, match: [{ exact: { type: 1 } }], deliver: [] }]", "put it in quotes: \"1\""),
        ("routes: [{ name: r, match: [exact], deliver: [] }]", "expected one of"),
        (
            "routes: [{ name: r, match: [{ exact: { type: x }, prefix: { type: y } }], deliver: [] }]",
            "give each condition its own list item",
        ),
        (
            "routes: [{ name: r, match: { exact: { type: x } }, deliver: [] }]",
            "expected a list here, found a section of keys",
        ),
        (
            "events: { backend: local }\nroutes: [{ name: r, steps: [{ plugin: redact }], deliver: [local] }]",
            "there is no plugin \"redact\" in plugins; put redact.wasm there, or set plugins.directory",
        ),
        (
            "routes: [{ name: r, steps: [{ plugin: p, on_error: ignore }], deliver: [] }]",
            "write one of dead_letter, drop, pass, retry",
        ),
        (
            "routes: [{ name: r, steps: [{ plugin: p, limits: { memory: 32 } }], deliver: [] }]",
            "not a number with a unit",
        ),
        (
            "events: { webhook: { headers: { X: '${NOT_SET}' } } }",
            "environment variable NOT_SET is not set; set it, or give a default: ${NOT_SET:-…}",
        ),
        ("events: '${OPEN'", "a ${ has no }"),
        ("a: [", "s.yaml:1:4: not YAML: unclosed bracket"),
        ("a: *b", "not YAML"),
        ("---\n{}\n---\n{}", "a second document begins here"),
        ("{ [a]: b }", "a key must be a word"),
        ("- a", "expected a section of keys here, found a list"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let error = load_text(text, &[]).map(|_| ()).expect_err(text);
        if !error.contains(expected) {
            wrong.push(format!("{text}\nsays\n{error}\nand not\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_fault_is_said_at_once() {
    let error = load_text("events: { enabld: true, backend: 5 }\nhost: { drain_timeout: x }\nrouts: []", &[])
        .unwrap_err();
    assert_eq!(error.lines().count(), 4, "{error}");
}

#[test]
fn a_fault_is_shown_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.yaml");
    std::fs::write(&path, "events:\n  enabld: true\n").unwrap();
    let shown = load(&path, &|_| None).unwrap_err().render(false);
    assert!(
        shown.contains("enabld: true")
            && shown.contains("s.yaml:2:3")
            && shown.contains("help: did you mean"),
        "{shown}"
    );
}

#[test]
fn an_unknown_key_hides_no_other_fault() {
    let text =
        "events: { enabled: true, backend: local, monitorng: {} }\nroutes: [{ name: r, deliver: [locla] }]";
    let error = load_text(text, &[]).unwrap_err();
    assert!(error.contains("did you mean \"monitoring\"?"), "{error}");
    assert!(error.contains("there is no backend \"locla\"; did you mean \"local\"?"), "{error}");
}

#[test]
fn secrets_are_hidden() {
    let text = "events: { backends: [{ type: redis_streams, config: { url: 'redis://u:hunter2@h/0' } }, { type: webhook, config: { urls: ['https://a/'], headers: { X-API-Key: hunter2 } } }] }\nhost: { http: { bearer_tokens: [hunter2], api_keys: [hunter2] } }";
    let shown = show(&load_text(text, &[]).unwrap().settings).to_string();
    assert!(!shown.contains("hunter2") && shown.contains("redis://u:(hidden)@h/0"), "{shown}");
}

#[test]
fn rules_may_stand_in_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    std::fs::write(dir.path().join("rules/a.yaml"), "name: a\ndeliver: [local]\n").unwrap();
    std::fs::write(dir.path().join("rules/b.yaml"), "- name: b\n  deliver: [lcal]\n").unwrap();
    let settings = dir.path().join("s.yaml");
    let rules = dir.path().join("rules");
    std::fs::write(&settings, format!("events: {{ backend: local }}\nroutes: {}\n", rules.display()))
        .unwrap();
    let error = load(&settings, &|_| None).unwrap_err().to_string();
    assert!(error.contains("b.yaml:2:13: there is no backend \"lcal\""), "{error}");
    std::fs::write(dir.path().join("rules/b.yaml"), "- name: b\n  deliver: [local]\n").unwrap();
    let loaded = load(&settings, &|_| None).unwrap();
    assert_eq!(loaded.settings.routes.len(), 2);
    assert_eq!(loaded.files.len(), 4);
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "[ -~\n]{0,80}") {
        let _ = load_text(&text, &[]).map(|_| ());
    }
}

#[test]
fn the_settings_page_says_what_the_types_say() {
    let page = include_str!("../../../docs/settings.md");
    let fresh = reference();
    assert!(
        page.trim_end() == fresh.trim_end(),
        "docs/settings.md is out of date: `stagewire config reference > docs/settings.md` writes it anew"
    );
}

const TOKEN: &str = "0123456789abcdef";

#[test]
fn beyond_loopback_the_admin_listener_needs_tokens_and_tls() {
    let faults = |more: &str| {
        let admin = format!("host:\n  admin:\n    listen: 0.0.0.0:8081\n{more}");
        load_text(&admin, &[("SECRET", TOKEN)]).err().unwrap_or_default()
    };
    let tokens = "    tokens: [{ name: a, token: \"${SECRET}\", role: read }]\n";
    let none = faults("");
    assert!(
        none.contains("s.yaml:3:13") && none.contains("no tokens") && none.contains("in clear text"),
        "{none}"
    );
    let clear = faults(tokens);
    assert!(!clear.contains("no tokens") && clear.contains("host.admin.tls"), "{clear}");
    assert_eq!(faults(&format!("{tokens}    clear_text: true\n")), "");
}

#[test]
fn each_token_has_a_name_and_a_secret_of_its_own() {
    let faults = |tokens: &str| {
        let text = format!("host: {{ admin: {{ tokens: [{tokens}] }} }}\n");
        load_text(&text, &[]).err().unwrap_or_default()
    };
    let token = |name: &str, token: &str| format!("{{ name: {name}, token: {token}, role: operate }}");
    assert_eq!(faults(&token("a", TOKEN)), "");
    let short = faults(&token("a", "guessed"));
    assert!(short.contains("16 characters") && !short.contains("guessed"), "{short}");
    let same = faults(&format!("{}, {}", token("a", TOKEN), token("a", TOKEN)));
    assert!(same.contains("two tokens are the same") && same.contains("a name of its own"), "{same}");
    assert!(!same.contains(TOKEN), "{same}");
}

#[test]
fn a_document_that_was_sent_gets_at_nothing() {
    let (rules, plugins) = (["rules.yaml".into()], Path::new("plugins"));
    let env = |name: &str| Some(if name == "EVENTS_ENABLED" { "true" } else { "a-secret" }.to_owned());
    let send = |text: &str| load_sent(text, &env, Known { rules: &rules, plugins });
    let good = send(
        "events:\n  backend: redis_streams\n  redis_streams: { url: \"${URL}\" }\nhost:\n  workers: ${N:-3}\n",
    );
    let good = good.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(good.settings.host.workers, Some(3), "its default");
    assert_eq!(good.settings.events.unwrap().redis_streams.unwrap()["url"], "${URL}");
    assert!(good.warnings[0].contains("${URL}"), "{:?}", good.warnings);
    for sly in [
        "host: { workers: \"${N}\" }\n",
        "routes: /etc/passwd\n",
        "plugins: { directory: /etc }\n",
        "events: { backend: local }\nroutes: [{ name: r, steps: [{ plugin: ../x }], deliver: [local] }]\n",
    ] {
        let faults = send(sly).unwrap_err().to_string();
        assert!(!faults.contains("a-secret") && !faults.contains("root:"), "{faults}");
    }
}
