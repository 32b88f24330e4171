//! Good settings load; broken ones say what is wrong, where, and what to write.

use std::path::Path;

use proptest::prelude::*;

use super::*;

pub(super) fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, String> {
    load_files(&[("s.yaml", text)], env)
}

/// Loads the first of these files, which lie in a directory of their own, and opens the backends.
pub(super) fn load_files(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Loaded, String> {
    // As `main` does; a webhook's client is not made without it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), files);
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let loaded = load(&dir.path().join(files[0].0), &env);
    let opened = loaded.and_then(|loaded| loaded.check_backends().map(|()| loaded));
    let prefix = format!("{}/", dir.path().display());
    opened.map_err(|faults| faults.to_strings().join("\n").replace(&prefix, ""))
}

fn put(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
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
    let shown = show(&load_text(text, &[]).unwrap()).to_string();
    assert!(!shown.contains("hunter2") && shown.contains("redis://u:(hidden)@h/0"), "{shown}");
}

#[test]
fn what_comes_from_a_file_is_a_secret_wherever_it_stands() {
    let text = "events: { backend: redis_streams, redis_streams: { url: 'redis://${file:host}/0', stream_name: 'a-${STREAM}', password: '${file:sub/pw}' } }\nhost: { http: { api_keys: ['${file:sub/pw}', '${MY_TOKEN}-x'] } }";
    let files = [("s.yaml", text), ("host", "r9.internal\n"), ("sub/pw", "0042\r\n")];
    let loaded = load_files(&files, &[("STREAM", "b"), ("MY_TOKEN", "zz")]).unwrap();
    let config = backends(&loaded.settings).remove(0).config;
    assert_eq!(config["url"], "redis://r9.internal/0");
    assert_eq!(config["password"], "0042", "text stays text, without its newline");
    let shown = show(&loaded);
    let redis = &shown["events"]["redis_streams"];
    assert_eq!(redis["url"], "redis://(hidden)/0");
    assert_eq!(redis["stream_name"], "a-b");
    assert_eq!(redis["password"], "(hidden)");
    assert_eq!(shown["host"]["http"]["api_keys"], serde_json::json!(["(hidden)", "(hidden)"]));
}

#[test]
fn no_fault_tells_a_secret() {
    let cases: [&[(&str, &str)]; 6] = [
        // Of the wrong type, short, and known by where it stands alone.
        &[("s.yaml", "host: { workers: '${file:a}' }"), ("a", "pq7")],
        &[("s.yaml", "host: { drain_timeout: '${file:a}' }"), ("a", "pq7")],
        &[("s.yaml", "events: { kafka: { security_protocol: '${file:a}' } }"), ("a", "pq7")],
        // Beside what is wrong, in the lines that are shown.
        &[(
            "s.yaml",
            "events:\n  kafka:\n    sasl_password: 'pq7-literal'\n    topik: x\n    sasl_username: u\n",
        )],
        // In what is no YAML at all.
        &[("s.yaml", "events:\n  kafka: { sasl_password: pq7-broken ]\n")],
        &[
            ("s.yaml", "include: b.yaml"),
            ("b.yaml", "events:\n  rabbitmq: { url: 'amqp://u:pq7-in-url@h/', urll: 1 }\n"),
        ],
    ];
    for files in cases {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), files);
        let faults = load(&dir.path().join("s.yaml"), &|_| None).unwrap_err();
        let said = format!("{faults}\n{}\n{}", faults.render(false), serde_json::json!(faults.reported()));
        // Its name is by chance, and begins with `.tmp`.
        let said = said.replace(&dir.path().display().to_string(), "");
        assert!(!said.contains("pq7"), "{said}");
    }
}

#[test]
fn secrets_in_files_are_bounded_text() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("s.yaml");
    std::fs::write(&settings, "host: { http: { api_keys: ['${file:key}'] } }").unwrap();
    let fault = || load(&settings, &|_| None).map(|_| ()).unwrap_err().to_string();
    assert!(fault().contains("s.yaml:1:28: there is no file key"), "{}", fault());
    std::fs::create_dir(dir.path().join("key")).unwrap();
    assert!(fault().contains("key is no regular file"), "{}", fault());
    std::fs::remove_dir(dir.path().join("key")).unwrap();
    for (bytes, wanted) in [
        (b"\n".to_vec(), "key is empty"),
        (b"\xff\xfe".to_vec(), "key is not UTF-8; write it as text"),
        (vec![b'x'; (64 << 10) + 1], "larger than 64 KiB"),
    ] {
        std::fs::write(dir.path().join("key"), bytes).unwrap();
        assert!(fault().contains(wanted), "{}", fault());
    }
    std::fs::write(dir.path().join("key"), "one\n\n").unwrap();
    let loaded = load(&settings, &|_| None).unwrap();
    assert_eq!(loaded.settings.host.http.api_keys, ["one\n"]);
    assert!(loaded.files.iter().any(|file| file.path.ends_with("key") && file.digest.is_some()));
}

#[test]
fn files_are_put_together_in_their_order() {
    let files = [
        (
            "s.yaml",
            "include: [more.yaml, rules.d, 'x/*.yml']\nevents: { backend: local }\nroutes: [{ name: own, deliver: [local] }]\nprivacy: [{ fields: [a] }]\n",
        ),
        (
            "more.yaml",
            "include: deeper/plugins.yaml\nprivacy: [{ fields: [b] }]\nevents: { dlq: { max_retries: 7 } }\nhost:\n",
        ),
        ("deeper/plugins.yaml", "include: ['../one.yaml']\nplugins: { directory: elsewhere }\n"),
        ("one.yaml", "name: one\ndeliver: [local]\n"),
        ("rules.d/20-b.yaml", "- { name: b, deliver: [local] }\n- { name: c, deliver: [local] }\n"),
        ("rules.d/10-a.yml", "routes:\n  - { name: a, deliver: [local] }\n"),
        ("rules.d/.hidden.yaml", "]"),
        ("rules.d/README.md", "]"),
        ("rules.d/30-empty.yaml", ""),
        ("x/d.yml", "{ name: d, deliver: [local] }"),
        ("x/e.yaml", "]"),
    ];
    let loaded = load_files(&files, &[]).unwrap();
    let settings = &loaded.settings;
    let names: Vec<_> = settings.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["own", "one", "a", "b", "c", "d"]);
    assert_eq!(settings.privacy.iter().map(|rule| rule.fields[0].as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let events = settings.events.as_ref().unwrap();
    assert_eq!((events.backend.as_deref(), events.dlq.max_retries), (Some("local"), 7));
    assert_eq!(settings.plugins.directory, Path::new("elsewhere"));
    // Six files with something to say, an empty one, and two directories.
    assert_eq!(loaded.files.len(), 10, "{:?}", loaded.files);
}

#[test]
fn a_refused_candidate_names_every_file_that_could_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[("s.yaml", "include: [a.yaml, none.yaml, d]"), ("a.yaml", "]"), ("d/x.yaml", "nonsense: 1")],
    );
    let faults = load(&dir.path().join("s.yaml"), &|_| None).unwrap_err();
    let names: Vec<_> =
        faults.files.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["s.yaml", "a.yaml", "none.yaml", "d", "x.yaml"]);
    assert!(faults.files.iter().all(|file| (file.digest.is_none()) == file.path.ends_with("none.yaml")));
}

#[test]
fn a_fault_in_two_files_shows_both() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "routes:\n  - name: twice\n    deliver: [local]\n";
    put(
        dir.path(),
        &[
            ("s.yaml", "include: rules\nevents: { backend: local }\n"),
            ("rules/a.yaml", rule),
            ("rules/b.yaml", rule),
        ],
    );
    let faults = load(&dir.path().join("s.yaml"), &|_| None).unwrap_err();
    let said = faults.to_string();
    assert!(
        said.contains("rules/b.yaml:2:11: two routes are called \"twice\" (and ")
            && said.contains("rules/a.yaml:2:11)"),
        "{said}"
    );
    let shown = faults.render(false);
    assert!(shown.contains("rules/b.yaml:2:11]") && shown.contains("rules/a.yaml:2:11]"), "{shown}");
    assert_eq!(faults.reported()[0].also.as_ref().unwrap().line, 2);
}

#[test]
fn rules_may_stand_in_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("s.yaml");
    put(
        dir.path(),
        &[
            ("s.yaml", "events: { backend: local }\nroutes: rules\n"),
            ("rules/a.yaml", "name: a\ndeliver: [local]\n"),
            ("rules/b.yaml", "- name: b\n  deliver: [lcal]\n"),
        ],
    );
    let error = load(&settings, &|_| None).unwrap_err().to_string();
    assert!(error.contains("b.yaml:2:13: there is no backend \"lcal\""), "{error}");
    std::fs::write(dir.path().join("rules/b.yaml"), "- name: b\n  deliver: [local]\n").unwrap();
    let loaded = load(&settings, &|_| None).unwrap();
    assert_eq!(loaded.settings.routes.len(), 2);
    assert_eq!(loaded.files.len(), 4);
}

proptest! {
    // What is learnt to be secret is hidden in what other tests of this process read: it must be nothing that they wait for.
    #[test]
    fn no_text_makes_the_loader_panic(text in "[ -~\n]{0,80}|(include|routes|privacy|password: x|: |\\[|\\]|\\{|\\}|, |\n|- |s\\.yaml|b|\\*|\\.\\.|\\$\\{file:b\\}|ä){0,20}") {
        let _ = load_files(&[("s.yaml", &text), ("b", &text)], &[]).map(|_| ());
    }
}

#[test]
fn no_bytes_make_the_loader_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.yaml");
    std::fs::write(&path, b"events:\n  a: \xff\n").unwrap();
    let error = load(&path, &|_| None).unwrap_err().to_string();
    assert!(error.contains("s.yaml:1:1: cannot read it: line 2 is not UTF-8"), "{error}");
}

#[test]
fn the_settings_page_says_what_the_types_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let now = format!("{}\n", reference().trim_end());
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == now,
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
    let env = |name: &str| match name {
        "EVENTS_ENABLED" => Some("true".to_owned()),
        "EVENTS_BACKEND" => None,
        _ => Some("a-secret".to_owned()),
    };
    let send = |text: &str| load_sent(text, &env, Known { rules: &rules, plugins, keys: &[] });
    let good = send(
        "events:\n  backend: redis_streams\n  redis_streams: { url: \"${URL}\" }\nhost:\n  workers: ${N:-3}\n",
    );
    let good = good.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(good.settings.host.workers, Some(3), "its default");
    assert_eq!(good.settings.events.unwrap().redis_streams.unwrap()["url"], "${URL}");
    assert!(good.unread[0].contains("${URL}"), "{:?}", good.unread);
    for sly in [
        "host: { workers: \"${N}\" }\n",
        "routes: /etc/passwd\n",
        "plugins: { directory: /etc }\n",
        "plugins: { public_key: /etc/passwd }\n",
        "events: { backend: local }\nroutes: [{ name: r, steps: [{ plugin: ../x }], deliver: [local] }]\n",
    ] {
        let faults = send(sly).unwrap_err().to_string();
        assert!(!faults.contains("a-secret") && !faults.contains("root:"), "{faults}");
    }
}
