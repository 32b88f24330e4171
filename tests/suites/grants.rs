//! What steps are granted beside the host's own functions, in a running host: requests to a real server that hold up nobody,
//! variables, and a language's runtime that imports WASI without needing it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use serde_json::{Value, json};
use stagewire_tests::languages::{build, toolchains};
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, places};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server that is asked about events. Those whose id begins with `slow` wait until it is open.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    gate: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let gate = watch::Sender::new(false);
        let (named, seen, opens) = (address.clone(), Arc::clone(&asked), gate.clone());
        let answer = move |Path(id): Path<String>| {
            let (named, seen, mut open) = (named.clone(), Arc::clone(&seen), opens.subscribe());
            async move {
                seen.lock().expect("no panic").push(id.clone());
                if id.starts_with("slow") {
                    let _ = open.wait_for(|open| *open).await;
                }
                format!("{named} on {id}")
            }
        };
        let app = Router::new().route("/{id}", axum::routing::any(answer));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { address, asked, gate, task }
    }

    fn open(&self) {
        self.gate.send_replace(true);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }

    async fn is_asked(&self, id: &str) {
        until_true("the server is asked", PATIENCE, async || self.asked().iter().any(|asked| asked == id))
            .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A route that asks that server, and one beside it that asks nobody. One worker has them all.
fn asking(server: &Server, granted: &str) -> String {
    format!(
        "events:\n  enabled: true\n  backends: [{{ type: local }}]\nroutes:\n  - name: asks\n    match: [{{ exact: {{ type: ask }} }}]\n    steps:\n      - plugin: fetches\n        settings: {{ authority: \"{}\" }}\n        grants: {{ http: [\"{granted}\"] }}\n        limits: {{ time: 100s }}\n    deliver: [local]\n  - name: passes\n    match: [{{ exact: {{ type: pass }} }}]\n    deliver: [local]\n",
        server.address
    )
}

async fn host(server: &Server) -> Host {
    Host::with(asking(server, &server.address)).host("workers: 1").guest("fetches").start().await
}

fn event(id: &str, kind: &str, subject: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": kind, "subject": subject })
}

/// The events in the embedded stream: their ids and what the server had to say.
async fn delivered(host: &Host) -> Vec<(String, String)> {
    let settings = host.settings_path();
    let output = host.run(&["tail", "local", "--config", &settings.to_string_lossy()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let field = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    events.map(|event| (field(&event, "id"), field(&event, "answer"))).collect()
}

async fn ids(host: &Host) -> Vec<String> {
    delivered(host).await.into_iter().map(|(id, _)| id).collect()
}

async fn arrives(host: &Host, id: &str) {
    until_true("the event arrives", PATIENCE, async || ids(host).await.iter().any(|there| there == id)).await;
}

async fn step(host: &Host) -> Value {
    host.status().await["steps"][0].clone()
}

#[tokio::test]
async fn a_step_that_waits_holds_up_no_other_route_and_no_other_key() {
    let server = Server::start().await;
    let host = host(&server).await;
    assert_eq!(step(&host).await["grants"], json!([format!("http: {}", server.address)]));
    assert_eq!(step(&host).await["apart"], true);
    host.send_all(&[event("slow-1", "ask", "a")]).await;
    server.is_asked("slow-1").await;
    host.send_all(&[event("2", "ask", "a"), event("3", "ask", "b"), event("4", "pass", "a")]).await;
    arrives(&host, "3").await;
    arrives(&host, "4").await;
    assert_eq!(ids(&host).await.len(), 2, "the first of its key is still with the server");
    assert_eq!(server.asked(), ["slow-1", "3"], "and the second waits for it");
    server.open();
    host.has_settled().await;
    let ids = ids(&host).await;
    let place = |id: &str| ids.iter().position(|there| there == id).expect("it arrived");
    assert!(place("slow-1") < place("2"), "{ids:?}");
    assert_eq!(ids.len(), 4);
    assert!(delivered(&host).await.contains(&("3".into(), format!("{} on 3", server.address))));
}

#[tokio::test]
async fn an_event_that_is_with_its_step_goes_on_by_the_rules_that_it_began_with() {
    let (first, second) = (Server::start().await, Server::start().await);
    let host = host(&first).await;
    host.send_all(&[event("slow-1", "ask", "a"), event("slow-2", "ask", "b")]).await;
    first.is_asked("slow-2").await;
    let before = host.generation().await;
    host.put_settings(&asking(&second, &second.address));
    host.generation_after(before).await;
    host.send_all(&[event("3", "ask", "c"), event("4", "ask", "a")]).await;
    arrives(&host, "3").await;
    first.open();
    host.has_settled().await;
    let delivered = delivered(&host).await;
    for (id, by) in [("slow-1", &first), ("slow-2", &first), ("3", &second), ("4", &second)] {
        let expected = (id.to_owned(), format!("{} on {id}", by.address));
        assert!(delivered.contains(&expected), "{expected:?} is not among {delivered:?}");
    }
    assert_eq!(delivered.len(), 4);
}

#[tokio::test]
async fn what_is_with_its_step_when_the_host_is_killed_is_asked_again() {
    let server = Server::start().await;
    let mut host = host(&server).await;
    host.send_all(&[event("slow-1", "ask", "a"), event("2", "ask", "a"), event("slow-3", "ask", "b")]).await;
    server.is_asked("slow-3").await;
    host.kill().await;
    server.open();
    host.restart().await;
    host.has_settled().await;
    let ids = ids(&host).await;
    let place = |id: &str| ids.iter().position(|there| there == id).expect("it arrived");
    assert!(place("slow-1") < place("2"), "{ids:?}");
    assert_eq!((ids.len(), place("slow-3") < 3), (3, true), "{ids:?}");
}

#[tokio::test]
async fn a_route_that_has_too_much_waiting_is_read_again_and_others_go_on() {
    let server = Server::start().await;
    let mut host = host(&server).await;
    // More than are held for one route, and more than a worker holds in all; the first of each key waits with the server.
    let waiting: Vec<_> =
        (0..2_000).map(|n| event(&format!("slow-{n}"), "ask", &format!("s{}", n % 500))).collect();
    for batch in waiting.chunks(500) {
        assert_eq!(host.send_batch(batch).await.status, 202);
    }
    host.send_all(&[event("other", "pass", "s1")]).await;
    arrives(&host, "other").await;
    assert_eq!(ids(&host).await, ["other"]);
    server.open();
    host.has_settled().await;
    let there = ids(&host).await;
    let mut numbers = vec![Vec::new(); 500];
    for number in there.iter().filter_map(|id| id.strip_prefix("slow-")?.parse::<usize>().ok()) {
        numbers[number % 500].push(number);
    }
    assert_eq!(there.len(), 2_001, "each once");
    assert!(numbers.iter().all(|of_key| of_key.len() == 4 && of_key.is_sorted()), "in order by key");
    // Nothing is left that would be asked again.
    assert!(host.terminate().await.success());
    let asked = server.asked().len();
    host.restart().await;
    host.has_settled().await;
    assert_eq!(server.asked().len(), asked);
}

#[tokio::test]
async fn a_host_that_stops_waits_for_what_is_with_its_step() {
    let server = Server::start().await;
    let mut host = host(&server).await;
    host.send_all(&[event("slow-1", "ask", "a"), event("2", "ask", "a")]).await;
    server.is_asked("slow-1").await;
    let ingress = host.ingress();
    let open = async {
        until_true("it takes no more in", PATIENCE, async || TcpStream::connect(ingress).await.is_err())
            .await;
        server.open();
    };
    let (ended, ()) = tokio::join!(host.terminate(), open);
    assert!(ended.success());
    assert_eq!(server.asked(), ["slow-1", "2"]);
    host.restart().await;
    host.has_settled().await;
    assert_eq!(ids(&host).await, ["slow-1", "2"]);
    assert_eq!(server.asked(), ["slow-1", "2"], "nothing is asked again");
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_not_asked_and_the_log_says_what_to_write() {
    let server = Server::start().await;
    let host = Host::with(asking(&server, "api.example.com")).guest("fetches").start().await;
    host.send_all(&[event("1", "ask", "a")]).await;
    host.has_settled().await;
    assert_eq!(server.asked(), [""; 0]);
    let failure = step(&host).await["last_failure"]["reason"].to_string();
    assert!(failure.contains("HttpRequestDenied"), "{failure}");
    let mend = format!("http: [\\\"{0}\\\"]", server.address);
    let plain = format!("http: [\"{0}\"]", server.address);
    let log = host.log();
    assert!(log.contains(&mend) || log.contains(&plain), "{log}");
}

#[tokio::test]
async fn what_is_tried_out_asks_nobody() {
    let server = Server::start().await;
    let host = host(&server).await;
    let file = host.settings_path().with_file_name("event.json");
    std::fs::write(&file, event("1", "ask", "a").to_string()).expect("the file can be written");
    let (file, settings) = (file.to_string_lossy(), host.settings_path());
    let settings = settings.to_string_lossy();
    let output = host.run(&["route", "test", "--event", &file, "--config", &settings]).await;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("HttpRequestDenied"), "{said}");
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn a_plugin_without_the_grant_that_it_needs_is_refused_by_name() {
    let settings = "events:\n  enabled: true\n  backends: [{ type: local }]\nroutes:\n  - name: r\n    steps: [{ plugin: fetches, settings: { authority: a } }]\n    deliver: [local]\n";
    let ended = Host::with(settings).guest("fetches").refused().await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("needs http") && said.contains("grants: { http: [api.example.com] }"), "{said}");
}

#[tokio::test]
async fn a_variable_that_is_granted_is_seen_and_a_secret_one_is_hidden_in_what_is_shown() {
    let settings = "events:\n  enabled: true\n  backends: [{ type: local }]\nroutes:\n  - name: r\n    steps: [{ plugin: asks, grants: { environment: [MODEL, SERVICE_TOKEN] } }]\n    deliver: [local]\n";
    let plan = Host::with(settings).env("MODEL", "large").env("SERVICE_TOKEN", "sesame-open-42");
    let host = plan.env("OTHER", "unseen").guest("asks").start().await;
    host.send_all(&[event("1", "variables", "a")]).await;
    host.has_settled().await;
    assert_eq!(step(&host).await["last_drop"]["reason"], "MODEL=large SERVICE_TOKEN=(hidden) ");
    assert!(!host.log().contains("sesame-open-42"));
}

/// A componentize-py that leaves WASI in, as people build who do not know of `--stub-wasi`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_plugin_that_imports_all_of_wasi_runs_without_a_grant() {
    let built = build("examples/plugins/python/filter");
    let tools = tempfile::tempdir().expect("a temporary directory can be made");
    let wrapper = tools.path().join("componentize-py");
    let real = places::toolchain("python").join("bin/componentize-py");
    let script = format!(
        "#!/bin/sh\nfor word do shift; [ \"$word\" = --stub-wasi ] || set -- \"$@\" \"$word\"; done\nexec {} \"$@\"\n",
        real.display()
    );
    std::fs::write(&wrapper, script).expect("the script can be written");
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).expect("it can be made a program");
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(places::stagewire());
    command.args(["plugin", "build"]).current_dir(&built.project).envs(toolchains()).env("PATH", path);
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut inspect = Command::new(places::stagewire());
    let inspect = inspect.args(["plugin", "inspect", "--json"]).arg(&built.file).output();
    let inspect = inspect.expect("it can be started");
    assert!(inspect.status.success(), "{}", String::from_utf8_lossy(&inspect.stderr));
    let about: Value = serde_json::from_slice(&inspect.stdout).expect("it is JSON");
    assert!(about["imports"].to_string().contains("wasi:cli/environment"), "{about}");
    assert_eq!(about["grants"], json!([]), "{about}");
    let settings = "events:\n  enabled: true\n  backends: [{ type: local }]\nroutes:\n  - name: r\n    steps: [{ plugin: python, settings: { prefix: wanted }, limits: { memory: 64MiB, time: 5s } }]\n    deliver: [local]\n";
    let host = Host::with(settings).plugin_file("python", &built.file).start().await;
    host.send_all(&[event("1", "wanted", "a"), event("2", "other", "a")]).await;
    host.has_settled().await;
    assert_eq!(ids(&host).await, ["1"]);
    assert_eq!(step(&host).await["replaced"], 0);
}
