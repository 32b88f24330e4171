//! The shipped plugins as wasm, by their cases and in a running host; and the page and the readmes that describe them.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::{Value, json};
use stagewire_tests::{Host, Redis, places};

fn readme(plugin: &str) -> String {
    let path = places::root().join("plugins").join(plugin).join("README.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Settings with the route that a plugin's readme shows, delivering to a Redis that is not there.
fn example(plugin: &str) -> String {
    let readme = readme(plugin);
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.unwrap_or_else(|| panic!("{plugin}: its readme shows a route"));
    let (head, backend) = example.rsplit_once("deliver: [").expect("the route delivers");
    let (_, tail) = backend.split_once(']').expect("a list ends");
    format!(
        "events:\n  enabled: true\n  backend: redis_streams\n  redis_streams: {{ url: \"redis://127.0.0.1:1/0\" }}\n{head}deliver: [redis_streams]{tail}"
    )
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn each_plugin_passes_its_cases() {
    for name in &shipped() {
        let (wasm, cases) =
            (places::plugin(name), places::root().join("plugins").join(name).join("cases.yaml"));
        let host = Host::with("").prepare();
        let (wasm, cases) = (wasm.to_string_lossy(), cases.to_string_lossy());
        let output = host.run(&["plugin", "test", &wasm, "--cases", &cases]).await;
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
}

#[tokio::test]
async fn the_route_of_each_readme_is_accepted() {
    for name in &shipped() {
        let host = Host::with(example(name)).plugins(&[name]).prepare();
        let settings = host.settings_path();
        let output = host.run(&["validate", &settings.to_string_lossy()]).await;
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
}

/// The settings of a plugin in a route of its own, which delivers to Redis.
fn through(redis: &Redis, plugin: &str, settings: &str) -> String {
    format!(
        "{}routes:\n  - name: r\n    steps:\n      - plugin: {plugin}\n        grants: {{ keyvalue: true }}\n        settings: {settings}\n    deliver: [redis_streams]\n",
        redis.events_section()
    )
}

/// An event with what more it is to have.
fn event(id: &str, more: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "t", "subject": id });
    let all = event.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    event
}

#[tokio::test]
async fn dedupe_remembers_through_a_restart_on_all_workers() {
    let redis = Redis::start().await;
    let settings = through(&redis, "dedupe", "{ by: [/order], window: 1h }");
    let mut host = Host::with(settings).plugins(&["dedupe"]).start().await;
    let order = |id: &str, order: u32| event(id, &json!({ "data": { "order": order } }));
    // Each has a subject of its own, and so they are spread over the workers.
    let events: Vec<Value> = (0..40).map(|n| order(&n.to_string(), n % 4)).collect();
    host.send_all(&events).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await.len(), 4, "one for each order");
    host.terminate().await;
    host.restart().await;
    host.send_all(&[order("again", 1), order("new", 7)]).await;
    host.has_settled().await;
    let ids = redis.stream("nlp-events").ids().await;
    assert_eq!((ids.len(), ids.last().map(String::as_str)), (5, Some("new")));
}

#[tokio::test]
async fn throttle_has_a_bucket_for_each_key_on_all_workers() {
    let redis = Redis::start().await;
    let settings = through(&redis, "throttle", "{ rate: 3, per: 1h, by: [tenant] }");
    let host = Host::with(settings).plugins(&["throttle"]).start().await;
    let event =
        |n: u32| event(&n.to_string(), &json!({ "tenant": if n.is_multiple_of(5) { "b" } else { "a" } }));
    host.send_all(&(0..40).map(event).collect::<Vec<_>>()).await;
    host.has_settled().await;
    let events = redis.stream("nlp-events").events().await;
    let of = |tenant: &str| events.iter().filter(|event| event["tenant"] == tenant).count();
    assert_eq!((of("a"), of("b")), (3, 3));
}

/// The rows of the tables in a page: the cells between the bars.
fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// A cell in which code may stand.
fn plain(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// The shipped plugins, by their files.
fn shipped() -> Vec<String> {
    let file = places::plugin("redact");
    let files =
        std::fs::read_dir(file.parent().expect("a file is in a directory")).expect("it can be listed");
    let paths = files.map(|file| file.expect("it can be listed").path());
    let names = paths.filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".wasm").map(str::to_owned));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_page_and_the_readmes_describe_each_plugin_as_it_is() {
    let page =
        std::fs::read_to_string(places::root().join("docs/plugins/shipped.md")).expect("the page is there");
    let linked = |row: Vec<String>| Some((row[0].strip_prefix('[')?.split_once(']')?.0.to_owned(), row));
    let described: BTreeMap<String, Vec<String>> = rows(&page).into_iter().filter_map(linked).collect();
    assert_eq!(described.keys().cloned().collect::<Vec<_>>(), shipped());
    let host = Host::with("").prepare();
    for (name, row) in &described {
        let output =
            host.run(&["plugin", "inspect", "--json", &places::plugin(name).to_string_lossy()]).await;
        let plugin: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        as_the_page_says(name, row, &plugin);
        as_the_readme_says(name, &plugin);
    }
}

fn as_the_page_says(name: &str, row: &[String], plugin: &Value) {
    assert_eq!(json!(row[1]), plugin["kind"], "{name}: its kind");
    assert_eq!(json!(row[2]), plugin["description"], "{name}: what it does");
    let size = plugin["size"].as_f64().expect("a size") / 1000.0;
    let said = row[3].strip_suffix(" KB").and_then(|size| size.replace(',', "").parse::<f64>().ok());
    let said = said.unwrap_or_else(|| panic!("{name}: {} is no size", row[3]));
    assert!((said / size - 1.0).abs() < 0.1, "{name}: it has {size:.0} KB, not {said}");
    let grants = plugin["grants"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let grants = grants.collect::<Vec<_>>().join(", ");
    assert_eq!(plain(&row[4]), if grants.is_empty() { "none" } else { &grants }, "{name}: its grants");
}

fn as_the_readme_says(name: &str, plugin: &Value) {
    let settings = plugin["settings_schema"]["properties"].as_object().expect("its settings have a schema");
    let rows = rows(&readme(name)).into_iter().filter(|row| row[0].starts_with('`'));
    let described: BTreeMap<String, String> =
        rows.map(|row| (plain(&row[0]).to_owned(), plain(&row[1]).to_owned())).collect();
    assert_eq!(described.keys().collect::<Vec<_>>(), settings.keys().collect::<Vec<_>>(), "{name}");
    for (key, setting) in settings {
        let said = &described[key];
        match setting.get("default") {
            None => assert_eq!(said, "required", "{name}: {key}"),
            Some(Value::Null) => assert!(!said.is_empty(), "{name}: {key}"),
            Some(Value::String(text)) => assert_eq!(said.trim_matches('"'), text, "{name}: {key}"),
            Some(default) => assert_eq!(*said, default.to_string(), "{name}: {key}"),
        }
    }
}
