//! WASI as plugins see it, by guests that ask the standard library and a server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::*;
use crate::config::settings::Grants;

/// A machine that is busy with other tests takes its time.
const PATIENT: Limits = Limits { time: Duration::from_secs(20), ..LIMITS };
const LIMITS: Limits = Limits {
    time: Duration::from_secs(2),
    memory: 32 << 20,
    output: 8 << 20,
    events: 1000,
    state: 1 << 20,
    log: 100,
    calls: 4,
    recycle: None,
};

fn grants(yaml: &str) -> Grants {
    serde_saphyr::from_str(yaml).unwrap()
}

fn granted(grants: &Grants) -> Granted {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let denied = crate::config::settings::Plugins::default().deny_networks;
    Granted::new(grants, &denied, || Arc::new(Bucket::new(1 << 20))).unwrap()
}

fn step_of(plugin: &str, settings: &str, limits: Limits, grants: &Grants) -> Step {
    let spec =
        StepSpec { settings: settings.into(), limits, granted: granted(grants), ..spec(plugin).unwrap() };
    Step::prepare(spec, 2, StepMetrics::detached()).unwrap()
}

fn asks(yaml: &str) -> Step {
    step_of("asks", "{}", LIMITS, &grants(yaml))
}

fn answer_to(step: &Step, id: &str, kind: &str, about: &str) -> String {
    let event = Event::builder(id, "/test", kind).subject(about).build().unwrap();
    match step.run(0, &event, Passage::default()) {
        Outcome::Drop(answer) => answer,
        other => panic!("{kind} {about}: {other:?}"),
    }
}

fn answer(step: &Step, kind: &str, about: &str) -> String {
    answer_to(step, "1", kind, about)
}

#[test]
fn what_a_plugin_needs_and_what_it_may_be_given_are_named() {
    let asks = load("asks").unwrap();
    assert_eq!(asks.needs, []);
    assert_eq!(asks.takes, [Grant::Clocks, Grant::Random, Grant::Filesystem, Grant::Environment]);
    assert_eq!(load("fetches").unwrap().needs, [Grant::Http]);
    insta::assert_snapshot!(
        prepare("fetches", r#"{"authority":"a"}"#, LIMITS).unwrap_err(),
        @r#"route "orders", step 1: plugin "fetches" needs http, which the step does not grant; write `grants: { http: [api.example.com] }` under the step if it may have it"#
    );
}

#[test]
fn without_a_grant_all_of_it_is_there_and_nothing_is_in_it() {
    let step = asks("{}");
    assert!(!step.status().apart);
    assert_eq!(answer(&step, "variables", "-"), "");
    assert_eq!(answer(&step, "read", "/etc/passwd"), "error: No such file or directory (os error 44)");
    assert_eq!(answer(&step, "list", "/"), "error: No such file or directory (os error 44)");
    assert_eq!(answer(&step, "list", "."), "error: No such file or directory (os error 44)");
    assert_eq!(answer(&step, "connect", "127.0.0.1:1"), "error: Permission denied (os error 2)");
    let looked_up = answer(&step, "look-up", "localhost");
    assert!(looked_up.starts_with("error: "), "{looked_up}");
    assert_eq!(answer(&step, "print", "to the log"), "done");
    assert_eq!(step.replaced(), 0);
}

#[test]
fn without_a_grant_the_time_is_that_of_the_call_and_no_wait_lasts() {
    let step = asks("{}");
    let said = answer(&step, "time", "-");
    let (time, now) = said.split_once(' ').unwrap();
    assert_eq!(time, now, "the host's own `now`");
    let begun = Instant::now();
    assert_eq!(answer(&step, "wait", "3600000"), "0");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn without_a_grant_an_event_meets_the_same_numbers_each_time() {
    let [one, other] = [asks("{}"), asks("{}")];
    let first = answer_to(&one, "1", "random", "-");
    assert_ne!(answer_to(&one, "2", "random", "-"), first);
    assert_eq!(answer_to(&one, "1", "random", "-"), first, "also after others");
    assert_eq!(answer_to(&other, "1", "random", "-"), first, "and in another instance");
}

#[test]
fn with_a_grant_numbers_differ_and_time_passes() {
    let random = asks("random: true");
    assert!(!random.status().apart, "it waits for nothing");
    assert_ne!(answer(&random, "random", "-"), answer(&random, "random", "-"));
    let clocks = asks("clocks: true");
    assert!(clocks.status().apart);
    let waited: u64 = answer(&clocks, "wait", "50").parse().unwrap();
    assert!((50..2_000).contains(&waited), "{waited}");
    let said = answer(&clocks, "time", "-");
    let (time, now) =
        said.split_once(' ').map(|(a, b)| (a.parse::<u64>().unwrap(), b.parse::<u64>().unwrap())).unwrap();
    assert_ne!(time, now);
    assert!(time.abs_diff(now) < 60_000_000_000);
}

#[test]
fn variables_are_seen_by_name_and_no_others() {
    let step = asks("environment: [PATH, STAGEWIRE_TEST_NOT_SET]");
    assert!(!step.status().apart);
    assert_eq!(step.status().grants, ["environment: PATH"]);
    assert_eq!(answer(&step, "variables", "-"), format!("PATH={} ", std::env::var("PATH").unwrap()));
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_directory_is_read_and_neither_written_nor_left() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("inside"), dir.path().join("secret"));
    write(&inside.join("model.txt"), "weights");
    write(&inside.join("deep/er.txt"), "deeper");
    write(&outside, "secret");
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
    std::os::unix::fs::symlink("model.txt", inside.join("alias")).unwrap();
    let step = asks(&format!("filesystem: {{ /models: {} }}", inside.display()));
    assert!(step.status().apart);
    assert_eq!(step.status().grants, [format!("filesystem: /models: {}", inside.display())]);
    assert_eq!(answer(&step, "read", "/models/model.txt"), "weights");
    assert_eq!(answer(&step, "read", "/models/alias"), "weights");
    assert_eq!(answer(&step, "read", "/models/deep/../deep/er.txt"), "deeper");
    assert_eq!(answer(&step, "list", "/models"), "alias deep link model.txt up");
    for path in [
        "/models/link",
        "/models/up/secret",
        "/models/../secret",
        "/models/deep/../../secret",
        "/secret",
        "/etc/passwd",
        &outside.display().to_string(),
    ] {
        let said = answer(&step, "read", path);
        assert!(said.starts_with("error: "), "{path}: {said}");
    }
    for (kind, path) in [
        ("write", "/models/model.txt"),
        ("write", "/models/new.txt"),
        ("write", "/models/link"),
        ("remove", "/models/model.txt"),
    ] {
        let said = answer(&step, kind, path);
        assert!(said.starts_with("error: "), "{kind} {path}: {said}");
    }
    assert_eq!(std::fs::read_to_string(inside.join("model.txt")).unwrap(), "weights");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "secret");
    assert!(!inside.join("new.txt").exists());
    std::fs::remove_dir_all(dir.path()).unwrap();
    let gone = Granted::new(
        &grants(&format!("filesystem: {{ /models: {} }}", inside.display())),
        &[],
        || unreachable!(),
    );
    assert!(gone.unwrap_err().contains("cannot read"));
}

#[test]
fn a_plugin_that_ends_itself_or_runs_on_breaks_alone() {
    for yaml in ["{}", "clocks: true"] {
        let limits = Limits { time: Duration::from_millis(300), ..LIMITS };
        let step = step_of("asks", "{}", limits, &grants(yaml));
        assert_eq!(
            reason(step.run(0, &event("exit"), Passage::default())),
            r#"plugin "asks" broke: Exited with i32 exit status 1"#
        );
        assert_eq!(
            reason(step.run(0, &event("loop"), Passage::default())),
            r#"plugin "asks" took longer than 300ms"#
        );
        assert_eq!(step.run(0, &event("other"), Passage::default()), Outcome::Keep);
    }
    let waits =
        step_of("asks", "{}", Limits { time: Duration::from_millis(100), ..LIMITS }, &grants("clocks: true"));
    let long = Event::builder("1", "/test", "wait").subject("3600000").build().unwrap();
    assert_eq!(reason(waits.run(0, &long, Passage::default())), r#"plugin "asks" took longer than 100ms"#);
}

/// A server that answers by the path.
async fn server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |uri: axum::http::Uri, body: String| async move {
        match uri.path() {
            "/slow" => std::future::pending::<axum::response::Response>().await,
            "/large" => "x".repeat(4 << 20).into_response(),
            "/elsewhere" => (StatusCode::FOUND, [("location", "/answer")]).into_response(),
            path => format!("{path}{body}").into_response(),
        }
    };
    let app = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn fetches(authority: &str, hosts: &str, limits: Limits) -> Step {
    let settings = format!(r#"{{"authority":"{authority}"}}"#);
    step_of("fetches", &settings, limits, &grants(&format!("http: [\"{hosts}\"]")))
}

/// What came of the event of that id: the answer, or why it failed.
async fn fetched(step: &Arc<Step>, id: &str) -> Result<String, String> {
    let (step, event) =
        (Arc::clone(step), Event::builder(id, "/test", "t").json(r#"{"n":1}"#).build().unwrap());
    let outcome = tokio::task::spawn_blocking(move || step.run(0, &event, Passage::default())).await.unwrap();
    match outcome {
        Outcome::Out(events) => match events[0].attribute("answer") {
            Some(crate::event::Value::String(text)) => Ok(text.to_owned()),
            other => panic!("{other:?}"),
        },
        Outcome::Failed(failed) => Err(failed.reason),
        other => panic!("{other:?}"),
    }
}

async fn step_of_async(settings: String, yaml: String) -> Arc<Step> {
    let step = move || step_of("fetches", &settings, PATIENT, &grants(&yaml));
    Arc::new(tokio::task::spawn_blocking(step).await.unwrap())
}

async fn made(authority: String, hosts: String, limits: Limits) -> Arc<Step> {
    Arc::new(tokio::task::spawn_blocking(move || fetches(&authority, &hosts, limits)).await.unwrap())
}

#[tokio::test]
async fn a_host_that_is_granted_is_asked_and_no_other() {
    let (address, other) = (server().await.to_string(), server().await.to_string());
    let granted = made(address.clone(), address.clone(), PATIENT).await;
    assert!(granted.status().apart);
    assert_eq!(fetched(&granted, "answer").await.unwrap(), "/answer");
    assert_eq!(fetched(&granted, "elsewhere").await.unwrap_err(), "status 302", "no redirect is followed");
    let posts = format!(r#"{{"authority":"{address}","post":true}}"#);
    let posts = step_of_async(posts, format!("http: [\"{address}\"]")).await;
    assert_eq!(fetched(&posts, "posted").await.unwrap(), r#"/posted{"n":1}"#);
    let denied = made(other, address, PATIENT).await;
    assert_eq!(fetched(&denied, "answer").await.unwrap_err(), "ErrorCode::HttpRequestDenied");
}

#[tokio::test]
async fn a_name_that_leads_to_a_denied_network_is_not_connected_to() {
    let port = server().await.port();
    let step = made(format!("localhost:{port}"), format!("localhost:{port}"), PATIENT).await;
    assert_eq!(fetched(&step, "answer").await.unwrap_err(), "ErrorCode::DestinationIpProhibited");
}

#[tokio::test]
async fn an_answer_is_bounded_in_time_and_size() {
    let address = server().await.to_string();
    let limits = Limits { time: Duration::from_millis(500), ..LIMITS };
    let step = made(address.clone(), address.clone(), limits).await;
    assert_eq!(fetched(&step, "slow").await.unwrap_err(), r#"plugin "fetches" took longer than 500ms"#);
    assert_eq!(fetched(&step, "answer").await.unwrap(), "/answer", "on a fresh instance");
    let small = made(address.clone(), address, Limits { memory: 3 << 20, ..PATIENT }).await;
    let said = fetched(&small, "large").await.unwrap_err();
    assert!(said.contains("BodySize") || said.contains("needed more than 3MiB"), "{said}");
}

#[tokio::test]
async fn calls_go_side_by_side_as_many_as_the_limit_says() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (going, seen) = (Arc::clone(&now), Arc::clone(&most));
    let app = Router::new().fallback(move || {
        let (going, seen) = (Arc::clone(&going), Arc::clone(&seen));
        async move {
            seen.fetch_max(going.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            going.fetch_sub(1, Ordering::SeqCst);
            "ok"
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let step = made(address.clone(), address, PATIENT).await;
    let calls = (0..12).map(|id| {
        let step = Arc::clone(&step);
        tokio::spawn(async move { fetched(&step, &id.to_string()).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap(), "ok");
    }
    let most = most.load(Ordering::SeqCst);
    assert!((2..=LIMITS.calls).contains(&most), "{most} at once");
}
