//! The shipped plugins as wasm, by the examples in their readmes; and the page and the readmes that describe them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stagewire_tests::{Host, places};

/// What a route did with an event.
struct Tried {
    verdict: String,
    events: Vec<Value>,
}

/// An event with a type, a subject, extensions and data.
fn event(kind: &str, more: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": "1", "source": "/test", "type": kind });
    let all = event.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    event
}

fn readme(plugin: &str) -> String {
    let path = places::root().join("plugins").join(plugin).join("README.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs events through the route that a plugin's readme shows.
async fn tried(plugin: &str, events: &[Value]) -> Vec<Tried> {
    let readme = readme(plugin);
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.unwrap_or_else(|| panic!("{plugin}: its readme shows a route"));
    let (head, backend) = example.rsplit_once("deliver: [").expect("the route delivers");
    let (_, tail) = backend.split_once(']').expect("a list ends");
    let settings = format!(
        "events:\n  enabled: true\n  backend: redis_streams\n  redis_streams: {{ url: \"redis://127.0.0.1:1/0\" }}\n{head}deliver: [redis_streams]{tail}"
    );
    let host = Host::with(settings).plugins(&[plugin]).prepare();
    let mut all = Vec::new();
    for event in events {
        all.push(route_test(&host, event).await);
    }
    all
}

async fn route_test(host: &Host, event: &Value) -> Tried {
    let settings = host.settings_path();
    let file = settings.with_file_name("event.json");
    std::fs::write(&file, event.to_string()).expect("a file can be written");
    let (settings, file) = (settings.to_string_lossy(), file.to_string_lossy());
    let output = host.run(&["route", "test", "--json", "--config", &settings, "--event", &file]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trials: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    Tried {
        verdict: trials[0]["steps"][0]["verdict"].as_str().expect("a step was taken").to_owned(),
        events: trials[0]["events"].as_array().expect("a list").clone(),
    }
}

/// The one event that came out of each.
fn outs(tried: Vec<Tried>) -> Vec<Value> {
    let one = |tried: Tried| match <[Value; 1]>::try_from(tried.events) {
        Ok([event]) => event,
        Err(events) => panic!("{}: {} events", tried.verdict, events.len()),
    };
    tried.into_iter().map(one).collect()
}

fn verdicts(tried: &[Tried]) -> Vec<&str> {
    tried.iter().map(|tried| tried.verdict.as_str()).collect()
}

#[tokio::test]
async fn redact_removes_and_masks() {
    let data = json!({ "text": "t", "a": { "raw_html": "r" }, "customer": { "email": "e" }, "lines": [{ "note": "n" }] });
    let outs = outs(tried("redact", &[event("t", &json!({ "data": data }))]).await);
    let left = json!({ "a": {}, "customer": { "email": "***" }, "lines": [{ "note": "***" }] });
    assert_eq!(outs[0]["data"], left);
}

#[tokio::test]
async fn type_filter_drops_by_type() {
    let events = ["com.storytelling.nlp.made", "com.storytelling.nlp.debug", "org.made"]
        .map(|kind| event(kind, &json!({})));
    assert_eq!(
        verdicts(&tried("type-filter", &events).await),
        ["keep", "drop: type com.storytelling.nlp.debug is denied", "drop: type org.made is not allowed"]
    );
}

#[tokio::test]
async fn sample_keeps_the_same_keys_as_xxhash_elsewhere() {
    // By Python's xxhash 4.1: tenant-10 is at 0.002, acme at 0.731.
    let events = ["tenant-10", "acme"].map(|tenant| event("t", &json!({ "tenant": tenant })));
    assert_eq!(verdicts(&tried("sample", &events).await), ["keep", "drop: not in the sample of 0.1"]);
}

#[tokio::test]
async fn rename_renames() {
    let events = [
        event("com.old.made.v2", &json!({ "subject": "a/b" })),
        event("com.old.made", &json!({})),
        event("org.made", &json!({})),
    ];
    let outs = outs(tried("rename", &events).await);
    let named: Vec<_> = outs.iter().map(|event| (&event["type"], &event["subject"])).collect();
    assert_eq!(
        named,
        [
            (&json!("com.new.made.version2"), &json!("b/a")),
            (&json!("com.new.made"), &Value::Null),
            (&json!("org.made"), &Value::Null)
        ]
    );
}

#[tokio::test]
async fn project_keeps_what_is_named() {
    let data = json!({ "id": 1, "text": "…", "lines": [{ "sku": "a", "price": 2 }], "other": { "id": 3 } });
    let events = [
        event("t", &json!({ "data": data })),
        event("t", &json!({ "datacontenttype": "text/plain", "data": "x" })),
    ];
    let tried = tried("project", &events).await;
    assert!(tried[1].verdict.contains("data is not JSON"), "{}", tried[1].verdict);
    assert_eq!(tried[0].events[0]["data"], json!({ "id": 1, "lines": [{ "price": 2 }] }));
}

#[tokio::test]
async fn enrich_adds_attributes_and_fields() {
    let data = json!({ "order": { "id": 7 }, "meta": { "at": 1 } });
    let outs = outs(tried("enrich", &[event("t", &json!({ "data": data }))]).await);
    assert_eq!(outs[0]["data"]["meta"], json!({ "at": 1, "received_from": "/test", "version": 2 }));
    let attributes = ["region", "subject", "partitionkey"].map(|name| &outs[0][name]);
    assert_eq!(attributes, [&json!("eu-1"), &json!("order/7"), &json!("/test")]);
}

#[tokio::test]
async fn split_makes_an_event_of_each_element() {
    let data = json!({ "order": { "lines": [{ "sku": "a" }, { "sku": "b" }] } });
    let tried = tried("split", &[event("order", &json!({ "data": data, "tenant": "acme" }))]).await;
    let part = |index: usize, sku: &str| {
        json!({
            "specversion": "1.0", "id": format!("1-{index}"), "source": "/test", "type": "order.line",
            "subject": format!("sku/{sku}"), "tenant": "acme", "datacontenttype": "application/json",
            "partof": "1", "partindex": index, "partcount": 2, "data": { "sku": sku },
        })
    };
    assert_eq!(tried[0].events, [part(1, "a"), part(2, "b")]);
}

#[tokio::test]
async fn jmespath_replaces_data() {
    let data = json!({ "order": { "id": 7, "lines": [{ "price": 2 }, { "price": 3 }] } });
    let outs = outs(tried("jmespath", &[event("t", &json!({ "data": data }))]).await);
    assert_eq!(outs[0]["data"], json!({ "id": 7, "total": 5.0 }));
}

#[tokio::test]
async fn schema_check_names_the_place() {
    let data = [json!({ "id": 1 }), json!({ "id": 1, "lines": [{ "price": 1 }, { "secret": 2 }] })];
    let events = data.map(|data| event("t", &json!({ "data": data })));
    let tried = tried("schema-check", &events).await;
    assert_eq!(tried[0].verdict, "keep");
    let expected = "failed: data is not as its schema says at /lines/1: required";
    assert!(tried[1].verdict.starts_with(expected), "{}", tried[1].verdict);
}

/// The rows of the tables in a page: the cells between the bars.
fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What `stagewire plugin list` says of the shipped plugins.
async fn shipped() -> BTreeMap<String, Value> {
    let host = Host::with("").prepare();
    let directory = places::plugin("redact").parent().expect("a file is in a directory").to_owned();
    let output = host.run(&["plugin", "list", "--json", &directory.to_string_lossy()]).await;
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    listed
        .into_iter()
        .map(|plugin| (plugin["name"].as_str().unwrap_or_default().to_owned(), plugin))
        .collect()
}

#[tokio::test]
async fn the_page_lists_every_plugin_as_it_is() {
    let page =
        std::fs::read_to_string(places::root().join("docs/plugins/shipped.md")).expect("the page is there");
    let described: BTreeMap<String, Vec<String>> = rows(&page)
        .into_iter()
        .filter_map(|row| {
            let name = row[0].strip_prefix('[')?.split_once(']')?.0.to_owned();
            Some((name, row))
        })
        .collect();
    let shipped = shipped().await;
    assert_eq!(described.keys().collect::<Vec<_>>(), shipped.keys().collect::<Vec<_>>());
    for (name, plugin) in &shipped {
        let row = &described[name];
        assert_eq!(json!(row[1]), plugin["kind"], "{name}: its kind");
        assert_eq!(json!(row[2]), plugin["description"], "{name}: what it does");
        let size = plugin["size"].as_f64().expect("a size") / 1000.0;
        let said: f64 =
            row[3].strip_suffix(" KB").and_then(|size| size.replace(',', "").parse().ok()).expect("a size");
        assert!((said / size - 1.0).abs() < 0.1, "{name}: it has {size:.0} KB, not {said}");
        let stateful = plugin["imports"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|import| import.as_str().is_some_and(|import| import.contains("/keyvalue@")));
        assert_eq!(row[4], if stateful { "`keyvalue`" } else { "none" }, "{name}: its grants");
    }
}

#[tokio::test]
async fn each_readme_has_the_settings_of_the_schema() {
    for (name, plugin) in shipped().await {
        let settings =
            plugin["settings_schema"]["properties"].as_object().expect("its settings have a schema");
        let readme = readme(&name);
        let described: BTreeMap<String, String> = rows(&readme)
            .into_iter()
            .filter_map(|row| Some((row[0].strip_prefix('`')?.strip_suffix('`')?.to_owned(), row[1].clone())))
            .collect();
        assert_eq!(described.keys().collect::<Vec<_>>(), settings.keys().collect::<Vec<_>>(), "{name}");
        for (key, setting) in settings {
            let said = described[key].trim_matches('`');
            match setting.get("default") {
                None => assert_eq!(said, "required", "{name}: {key}"),
                Some(Value::Null) => assert!(!said.is_empty(), "{name}: {key}"),
                Some(Value::String(text)) => assert_eq!(said.trim_matches('"'), text, "{name}: {key}"),
                Some(default) => assert_eq!(said, default.to_string(), "{name}: {key}"),
            }
        }
    }
}
