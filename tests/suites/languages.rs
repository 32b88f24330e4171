//! Plugins in every language: from an empty folder to a live swap by following the pages in `docs/plugins/`, what each SDK
//! has, and plugins that misbehave in other languages than Rust.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use stagewire_tests::host::Host;
use stagewire_tests::languages::{Built, build, link_node_modules, toolchains};
use stagewire_tests::process::free_port;
use stagewire_tests::waiting::{PATIENCE, until, until_true};
use stagewire_tests::{places, wire};
use tokio::process::Command;

use crate::docs::{blocks, typed};

/// A runtime of ten megabytes is compiled before the host is ready, on a machine that builds plugins beside it.
const COMPILING: Duration = Duration::from_mins(5);

/// Each version that a page says to install is the one that the set-up installed.
fn names_what_is_installed(script: &str) {
    let file = places::root().join("tests/toolchains/python/requirements.txt");
    let pinned = std::fs::read_to_string(file).expect("the requirements are there");
    for word in script.split_whitespace().filter(|word| word.contains("==")) {
        assert!(pinned.lines().any(|line| line == word), "{word} is what the set-up installs");
    }
}

/// A page in the hands of somebody who types what it says.
async fn followed(language: &str) {
    let page = places::root().join(format!("docs/plugins/{language}.md"));
    let page = std::fs::read_to_string(page).expect("the page is there");
    let (scripts, settings) = (blocks(&page, "sh"), blocks(&page, "yaml"));
    let [new, tools, build, lay_out, _run, send, change, send_again] = &scripts[..] else {
        panic!("{language}.md has {} scripts", scripts.len())
    };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut environment = toolchains();
    typed(new, directory.path(), &environment).await;
    let project = directory.path().join("my-filter");
    match tools.as_str() {
        "npm install" => link_node_modules(&project),
        tools if tools.contains("pip install") => names_what_is_installed(tools),
        tools => typed(tools, &project, &environment).await,
    }
    typed(build, &project, &environment).await;
    typed(lay_out, &project, &environment).await;

    let demo = Demo::start(project.join("demo"), &settings[0]).await;
    environment.push(("STAGEWIRE_EVENTS", format!("http://{}/events", demo.ingress)));
    typed(send, &demo.directory, &environment).await;
    demo.has(&["kept"]).await;
    let before = demo.generation().await;
    typed(change, &project, &environment).await;
    until_true("the new build is in force", COMPILING, async || demo.generation().await > before).await;
    typed(send_again, &demo.directory, &environment).await;
    demo.has(&["kept", "now-kept"]).await;
}

/// The host of a page, on ports that are free.
struct Demo {
    directory: PathBuf,
    ingress: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    _process: tokio::process::Child,
}

impl Demo {
    async fn start(directory: PathBuf, settings: &str) -> Self {
        let (ingress, admin) = (free_port(), free_port());
        let head = format!("host:\n  listen: {ingress}\n  admin: {{ listen: \"{admin}\" }}\n");
        std::fs::write(directory.join("config/settings.yaml"), head + settings + "\n")
            .expect("settings can be written");
        let log = std::fs::File::create(directory.join("log")).expect("the log can be written");
        let errors = log.try_clone().expect("a file handle can be doubled");
        let mut command = Command::new(places::stagewire());
        command
            .arg("run")
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true);
        let demo = Self { directory, ingress, admin, _process: command.spawn().expect("the host starts") };
        until_true("the host is ready", COMPILING, async || {
            wire::send(demo.admin, "GET", "/readyz", &[], b"").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        demo
    }

    async fn generation(&self) -> u64 {
        let answer =
            wire::send(self.admin, "GET", "/api/v1/status", &[], b"").await.expect("the admin API answers");
        answer.json()["generation"].as_u64().expect("status has a generation")
    }

    /// Waits until these and no others are in the local stream.
    async fn has(&self, ids: &[&str]) {
        until(&format!("{ids:?} are in the stream"), PATIENCE, async || {
            let output = Command::new(places::stagewire())
                .args(["tail", "local"])
                .current_dir(&self.directory)
                .output();
            let output = output.await.expect("the command can be started");
            let events = String::from_utf8_lossy(&output.stdout).into_owned();
            let found: Vec<_> =
                events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
            let found: Vec<_> = found.iter().filter_map(|event| event["id"].as_str()).collect();
            (found == ids).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_first_plugin_in_rust() {
    followed("rust").await;
}

#[tokio::test]
async fn a_first_plugin_in_python() {
    followed("python").await;
}

#[tokio::test]
async fn a_first_plugin_in_javascript() {
    followed("javascript").await;
}

#[tokio::test]
async fn a_first_plugin_in_typescript() {
    followed("typescript").await;
}

#[tokio::test]
async fn a_first_plugin_in_go() {
    followed("go").await;
}

#[tokio::test]
async fn a_first_plugin_in_c() {
    followed("c").await;
}

/// Builds a project of this repository; that takes seconds, so not on a thread that serves others.
async fn built(project: String) -> Built {
    tokio::task::spawn_blocking(move || build(&project)).await.expect("it builds")
}

fn route(steps: &str) -> String {
    format!(
        "events:\n  enabled: true\n  backends: [{{ type: local }}]\nroutes:\n  - name: through\n    match: [{{ not: {{ exact: {{ type: good }} }} }}]\n    steps:\n      - {steps}\n    deliver: [local]\n  - name: honest\n    match: [{{ exact: {{ type: good }} }}]\n    deliver: [local]\n"
    )
}

fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "s", "type": kind })
}

/// The events in the host's local stream.
async fn arrived(host: &Host) -> Vec<Value> {
    let output = host.run(&["tail", "local", "--config", &host.settings_path().to_string_lossy()]).await;
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    events.lines().map(|line| serde_json::from_str(line).expect("a line is an event")).collect()
}

/// A transform that passes, edits and makes events, reads every attribute, keeps state, logs and counts.
async fn an_sdk_has_everything(language: &str) {
    let plugin = built(format!("tests/plugins/everything/{language}")).await;
    let settings = route(
        "{ plugin: everything, grants: { keyvalue: true }, on_error: dead_letter, limits: { time: 2s, memory: 64MiB } }",
    );
    let host = Host::with(settings).plugin_file("everything", &plugin.file).start().await;
    let given = json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "x", "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "text/plain", "number": 41, "flag": true, "word": "w", "data": "daß"
    });
    let failing = [event("2", "transient"), event("3", "permanent"), event("4", "panic")];
    host.send_all(std::slice::from_ref(&given)).await;
    host.send_all(&failing).await;
    host.has_settled().await;

    let mut edited = given.clone();
    edited["number"] = json!(42);
    edited["flag"] = json!(false);
    edited["data"] = json!("größer");
    edited.as_object_mut().expect("an event is an object").remove("subject");
    let mut emptied = given.clone();
    emptied.as_object_mut().expect("an event is an object").remove("data");
    // What is emitted is bytes to the host, whatever they hold.
    let report = "x 2026-01-01T00:00:00Z text/plain \"\" false 4 4 daß false flag=true number=41 word=w true";
    let made = json!({
        "specversion": "1.0", "id": "new-1", "source": "/s", "type": "report", "datacontenttype": "text/plain",
        "claimed": true, "kept": "false true four false true", "many": 3, "data_base64": BASE64_STANDARD.encode(report)
    });
    assert_eq!(arrived(&host).await, [given, edited, emptied, made], "{language}");
    let counted = host.metric("stagewire_plugin_count_total", &["name=\"seen\""]).await;
    assert!((counted - 2.0).abs() < f64::EPSILON, "{language} counted {counted}");
    let observed = host.metric("stagewire_plugin_observation_count", &["name=\"size\""]).await;
    assert!(observed >= 1.0, "{language} observed nothing");
    let failed = host.metric("stagewire_plugin_failed_total", &["route=\"through\""]).await;
    assert!(failed >= 3.0, "{language}: {failed} failures are counted");
    let log = host.log();
    assert!(log.contains("one line"), "{language} logs");
    assert!(!log.contains("a secret"), "{language}: the message of a panic may quote an event");
}

#[tokio::test]
async fn the_go_sdk_has_everything() {
    an_sdk_has_everything("go").await;
}

#[tokio::test]
async fn the_c_sdk_has_everything() {
    an_sdk_has_everything("c").await;
}

#[tokio::test]
async fn the_python_sdk_has_everything() {
    an_sdk_has_everything("python").await;
}

#[tokio::test]
async fn the_javascript_sdk_has_everything() {
    an_sdk_has_everything("javascript").await;
}

/// One plugin that misbehaves in as many ways as the event's type names: good events go on, and memory stays bounded.
async fn misbehaviour_hurts_nobody_else(language: &str, memory: &str) {
    let plugin = built(format!("tests/plugins/hostile/{language}")).await;
    let limits = format!("{{ time: 100ms, memory: {memory}, output: 64KiB, events: 100 }}");
    let settings = route(&format!("{{ plugin: hostile, on_error: drop, limits: {limits} }}"));
    let host = Host::with(settings).plugin_file("hostile", &plugin.file).start().await;
    let mut owed = Vec::new();
    for kind in ["loop", "bomb", "deep", "trap", "bytes"] {
        let failed = async || host.metric("stagewire_plugin_failed_total", &["route=\"through\""]).await;
        let before = failed().await;
        let (fine, good) = (format!("fine-{kind}"), format!("good-{kind}"));
        host.send_all(&[event(kind, kind), event(&fine, "fine"), event(&good, "good")]).await;
        host.has_settled().await;
        assert!(failed().await > before, "{language}: a {kind} is counted as a failure");
        owed.extend([fine, good]);
    }
    host.send_all(&[event("flood", "flood")]).await;
    host.has_settled().await;
    owed.push("flood".into());
    let mut ids: Vec<_> =
        arrived(&host).await.iter().filter_map(|event| event["id"].as_str().map(String::from)).collect();
    ids.sort();
    owed.sort();
    assert_eq!(ids, owed, "{language}");
    assert!(host.log().len() < 1 << 20, "{language}: the log has {} bytes", host.log().len());
    assert!(host.process().peak_resident() < 512 << 20, "{language}: the host's memory stays bounded");
}

#[tokio::test]
async fn misbehaviour_in_c_hurts_nobody_else() {
    misbehaviour_hurts_nobody_else("c", "8MiB").await;
}

#[tokio::test]
async fn misbehaviour_in_go_hurts_nobody_else() {
    misbehaviour_hurts_nobody_else("go", "32MiB").await;
}

#[tokio::test]
async fn the_sdks_pass_their_own_tests() {
    let sdk = places::root().join("sdk");
    let caches = "export PYTHONDONTWRITEBYTECODE=1; pytest -p no:cacheprovider";
    typed(caches, &sdk.join("python"), &toolchains()).await;
    typed("npm test", &sdk.join("javascript"), &toolchains()).await;
    typed("go vet ./... && go test ./... && test -z \"$(gofmt -l .)\"", &sdk.join("go"), &toolchains()).await;
}

/// The example transform of a language passes its own tests, and does what it does in the others.
async fn the_example_transform(language: &str, tests: &str) {
    let plugin = built(format!("examples/plugins/{language}/transform")).await;
    typed(tests, &plugin.project, &toolchains()).await;
    let given = json!({
        "specversion": "1.0", "id": "1", "source": "s", "type": "t", "datacontenttype": "application/json",
        "data": { "text": "long", "n": 1, "of": { "text": [1, "\u{fc}\""] } }
    });
    let mut expected = given.clone();
    expected["stamp"] = json!("checked");
    expected["data"] = json!({ "n": 1, "of": { "text": [1, "\u{fc}\""] } });
    let mut list = given.clone();
    list["id"] = json!("2");
    list["data"] = json!([1]);
    let step = "{ plugin: stamp, settings: { stamp: checked, remove: [text] }, limits: { memory: 64MiB, time: 2s } }";
    let host = Host::with(route(step)).plugin_file("stamp", &plugin.file).start().await;
    host.send_all(&[given, list]).await;
    host.has_settled().await;
    assert_eq!(arrived(&host).await, [expected], "{language}");
}

#[tokio::test]
async fn the_example_transform_in_rust() {
    the_example_transform("rust", "cargo test").await;
}

#[tokio::test]
async fn the_example_transform_in_python() {
    the_example_transform("python", "pytest").await;
}

#[tokio::test]
async fn the_example_transform_in_javascript() {
    the_example_transform("javascript", "npm test").await;
}

#[tokio::test]
async fn the_example_transform_in_typescript() {
    the_example_transform("typescript", "npm run check && npm test").await;
}

#[tokio::test]
async fn the_example_transform_in_go() {
    the_example_transform("go", "go vet ./... && go test ./...").await;
}

#[tokio::test]
async fn the_example_transform_in_c() {
    the_example_transform("c", "make test").await;
}

/// A JSON text with some bytes wrong, in most cases.
fn spoilt(random: &mut fastrand::Rng) -> Vec<u8> {
    const SEEDS: [&str; 4] = [
        r#"{"a": [1, -2.5e+3, 0.1, true, false, null], "b\n": {"": "\u00fc\ud83d\ude00\\"}}"#,
        r#"[[], {}, [{}], "plain", "größer", 1E9, "\/\b\f"]"#,
        r#""only \u0041 text""#,
        "  -0.5e-7 ",
    ];
    const BYTES: &[u8] = b"{}[]\",:\\u0123eE+-.tfn \0\x1f";
    let mut text = SEEDS[random.usize(..SEEDS.len())].as_bytes().to_vec();
    for _ in 0..random.usize(..4) {
        let (place, byte) = (random.usize(..text.len()), BYTES[random.usize(..BYTES.len())]);
        match random.u8(..3) {
            0 => text[place] = byte,
            1 => text.insert(place, byte),
            _ => drop(text.remove(place)),
        }
    }
    text.truncate(if random.u8(..8) == 0 { random.usize(..text.len()) } else { usize::MAX });
    text
}

#[test]
fn the_c_sdk_reads_json_as_serde_does_and_not_a_byte_too_far() {
    let mut random = fastrand::Rng::with_seed(42);
    let mut texts: Vec<_> = (0..20_000).map(|_| spoilt(&mut random)).collect();
    texts.extend([vec![b'['; 100_000], "[".repeat(120).into_bytes(), Vec::new()]);
    let input = texts.iter().flat_map(|text| {
        [&u32::try_from(text.len()).expect("texts are short").to_le_bytes()[..], text].concat()
    });
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let (file, program) = (directory.path().join("texts"), directory.path().join("reads"));
    std::fs::write(&file, input.collect::<Vec<u8>>()).expect("it can be written");
    let sdk = places::root().join("sdk/c/stagewire");
    let sources = ["json.c", "text.c", "settings.c", "native.c"].map(|name| sdk.join(name));
    let compiled = std::process::Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover",
            "-I",
        ])
        .args([&sdk, &places::root().join("tests/plugins/json/reads.c")])
        .args(sources)
        .args(["-o".as_ref(), program.as_os_str()])
        .output()
        .expect("cc can be started");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let input = std::fs::File::open(&file).expect("it was written");
    let read = std::process::Command::new(&program).stdin(input).output().expect("it can be started");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(read.stdout.len(), texts.len());
    for (text, answer) in texts.iter().zip(read.stdout) {
        let good = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        assert_eq!(answer == b'1', good, "{:?}", String::from_utf8_lossy(text));
    }
}
