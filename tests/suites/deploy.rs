//! The files under `deploy/`, read by the programs that they are for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use stagewire_tests::{Host, Receiver, places, wire};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

fn deploy(file: &str) -> PathBuf {
    places::root().join("deploy").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(deploy(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

async fn promtool(arguments: &[&str], directory: &Path, input: &str) -> Output {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(directory).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is installed (cargo xtask setup)");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    child.wait_with_output().await.expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A host that has done a little of everything.
async fn used() -> Host {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[503]);
    let settings = format!(
        "events:\n  enabled: true\n  publish_events: {{ batch_started: false }}\n  backends: [{{ type: webhook, name: hook, config: {{ urls: [\"{}\"] }} }}]\nroutes:\n  - name: all\n    steps: [{{ plugin: step }}]\n    deliver: [hook]\n",
        receiver.url()
    );
    let host = Host::with(settings).plugin_file("step", &places::guest("keeps-all")).start().await;
    let event = |id: &str, kind: &str| serde_json::json!({ "specversion": "1.0", "id": id, "source": "s", "type": kind, "time": "2026-01-01T00:00:00Z", "data": 1 });
    host.send_all(&[event("one", "t"), event("two", "com.storytelling.nlp.batch.started")]).await;
    assert_eq!(host.send(&serde_json::json!({ "no": "event" })).await.status, 400);
    host.has_settled().await;
    host
}

/// Its metrics, for who accepts that.
async fn exposition(host: &Host, accept: &str) -> String {
    let answer = wire::send(host.admin_address(), "GET", "/metrics", &[("accept", accept)], b"").await;
    let answer = answer.expect("it answers");
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| accept.contains(kind.split(';').next().unwrap_or("?")))
    );
    answer.text()
}

/// What Prometheus sends.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Names of samples that the exposition declares.
fn declared(exposition: &str) -> BTreeSet<String> {
    let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, kind)| match kind {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["bucket", "sum", "count"].iter().map(|end| format!("{name}_{end}")).collect(),
            _ => vec![name.to_owned()],
        })
        .collect()
}

/// Every `stagewire_…` that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("stagewire_")
        .map(|(at, _)| text[at..].chars().take_while(|c| word(*c)).collect())
        .collect()
}

#[tokio::test]
async fn rules_and_dashboards_ask_for_metrics_that_there_are() {
    let declared = declared(&exposition(&used().await, PROMETHEUS).await);
    let mut asked = BTreeSet::new();
    for file in ["prometheus/alerts.yaml", "prometheus/recording.yaml", "prometheus/tests.yaml"] {
        asked.extend(named(&text(file)));
    }
    let dashboard: Value = serde_json::from_str(&text("grafana/stagewire.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<_> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(expressions.len() > 25, "{} expressions", expressions.len());
    asked.extend(expressions.iter().flat_map(|expression| named(expression)));
    asked.extend(named(&dashboard["templating"].to_string()));
    asked.extend(named(&dashboard["annotations"].to_string()));
    assert!(asked.len() > 20, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&declared).collect();
    assert!(unknown.is_empty(), "the host exports none of {unknown:?}; it has {declared:?}");
}

#[tokio::test]
async fn the_dashboards_expressions_are_understood_by_prometheus() {
    let dashboard: Value = serde_json::from_str(&text("grafana/stagewire.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules: Vec<_> = targets
        .filter_map(|target| target["expr"].as_str())
        .map(|expression| serde_json::json!({ "record": "r", "expr": expression.replace("$__rate_interval", "1m") }))
        .enumerate()
        .map(|(index, mut rule)| {
            rule["record"] = format!("panel:{index}").into();
            rule
        })
        .collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    std::fs::write(directory.path().join("panels.yaml"), file).expect("it can be written");
    let checked = promtool(&["check", "rules", "panels.yaml"], directory.path(), "").await;
    assert!(checked.status.success(), "{}", said(&checked));
}

#[tokio::test]
async fn each_alert_fires_on_its_cause_and_on_nothing_else() {
    let directory = deploy("prometheus");
    let checked = promtool(&["check", "rules", "recording.yaml", "alerts.yaml"], &directory, "").await;
    assert!(checked.status.success(), "{}", said(&checked));
    let tested = promtool(&["test", "rules", "tests.yaml"], &directory, "").await;
    assert!(tested.status.success(), "{}", said(&tested));
    let (alerts, tests) = (text("prometheus/alerts.yaml"), text("prometheus/tests.yaml"));
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        assert!(tests.contains(name), "{name} is not tested");
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_of_the_metrics() {
    let host = used().await;
    // promtool reads the older format.
    let checked = promtool(&["check", "metrics"], &deploy("."), &exposition(&host, "text/plain").await).await;
    assert!(checked.status.success() && said(&checked).is_empty(), "{}", said(&checked));
    assert!(exposition(&host, PROMETHEUS).await.ends_with("# EOF\n"), "OpenMetrics, whole");
}

#[tokio::test]
async fn the_unit_is_understood_and_shuts_the_host_in() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let unit = directory.path().join("stagewire.service");
    let program = places::stagewire().to_string_lossy().into_owned();
    std::fs::write(&unit, text("systemd/stagewire.service").replace("/usr/local/bin/stagewire", &program))
        .expect("it can be written");
    let analyze = async |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.args(arguments).arg(&unit).env("SYSTEMD_COLORS", "0").kill_on_drop(true);
        command.output().await.expect("systemd-analyze is installed (cargo xtask setup)")
    };
    let verified = analyze(&["verify", "--man=no"]).await;
    assert!(verified.status.success() && said(&verified).trim().is_empty(), "{}", said(&verified));
    // In tenths: 1.5 of 10.
    let secure = analyze(&["security", "--offline=true", "--threshold=15"]).await;
    assert!(secure.status.success(), "{}", said(&secure));
}
