//! Five faults, planted in a real host: each is found from the dashboard alone, and from the terminal alone.
//!
//! `docs/operating.md` tells how; its pictures are made here (`STAGEWIRE_UPDATE_DOCS=1`).

use std::time::Duration;

use serde_json::{Value, json};
use stagewire_tests::browser::Look;
use stagewire_tests::load::Load;
use stagewire_tests::process::free_port;
use stagewire_tests::waiting::{PATIENCE, until, until_true};
use stagewire_tests::{Browser, Host, Receiver, places};

/// As wide as the pictures of the page, and as high as what is to be seen on them.
const LOOK: Look = Look { width: 1100, height: 620, theme: "light" };
/// The most bytes of a picture in the docs.
const LARGEST: usize = 100 * 1024;

fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "stage2", "type": kind, "subject": "document/1", "data": { "text": "a secret" } })
}

/// What a command says.
async fn said(host: &Host, arguments: &[&str]) -> String {
    let settings = host.settings_path();
    let output = host.run(&[arguments, &["--config", &settings.to_string_lossy()]].concat()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    // A terminal of its own width wraps; words are what counts.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A fault as it is told: what is wrong, why, and what to do.
struct Fault {
    /// The name of its picture.
    name: &'static str,
    kind: &'static str,
    what: String,
    cause: String,
    next: String,
}

/// It is told first, by each surface alone, with cause and next step.
async fn is_found(host: &Host, fault: &Fault) -> Browser {
    let Fault { name, kind, what, cause, next } = fault;
    let found = until(&format!("the host finds {kind}"), PATIENCE, async || {
        let problems = host.status().await["problems"].clone();
        problems.as_array()?.iter().find(|problem| problem["kind"] == *kind).cloned()
    })
    .await;
    for (part, wanted) in [("what", what), ("cause", cause), ("next", next)] {
        assert!(found[part].as_str().is_some_and(|text| text.contains(wanted.as_str())), "{part}: {found}");
    }
    for command in [&["status"][..], &["top", "--once"]] {
        let text = said(host, command).await;
        for wanted in [what, cause, next] {
            assert!(text.contains(wanted.as_str()), "{command:?} does not say {wanted:?}: {text}");
        }
        assert!(!text.contains("a secret"), "{command:?} shows the data of an event");
    }

    let browser = Browser::start().await;
    browser.look(LOOK).await;
    browser.open(&format!("http://{}/", host.admin_address())).await;
    let selector = format!("[data-kind='{kind}']");
    for wanted in [what, cause, next] {
        browser.shows(&selector, wanted).await;
    }
    browser.shows("#pages li:first-child .mark", "wrong").await;
    // A page that was just opened shows rates, too.
    browser.shows("[data-key='received'] .big", "/s").await;
    browser.shows("[data-key='dropped'] .big", "/s").await;
    picture(&browser, name).await;
    browser
}

/// Keeps what is seen for the docs.
async fn picture(browser: &Browser, name: &str) {
    let picture = browser.picture().await;
    assert!(picture.len() <= LARGEST, "{name}: {} bytes", picture.len());
    let directory = if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        places::root().join("docs/images")
    } else {
        places::target().join("screenshots")
    };
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    std::fs::write(directory.join(format!("{name}.png")), picture).expect("the directory can be written");
}

/// Waits until it is noted that the event was delivered.
async fn is_explained(host: &Host, id: &str) {
    until_true(&format!("it is noted what became of {id}"), PATIENCE, async || {
        let story = host.admin("GET", &format!("/api/v1/explain/{id}")).await.expect("it answers").json();
        story["events"][0]["state"] == "delivered"
    })
    .await;
}

async fn is_over(host: &Host, kind: &str) {
    until_true(&format!("{kind} is over"), PATIENCE, async || {
        let problems = host.status().await["problems"].clone();
        problems.as_array().is_some_and(|all| all.iter().all(|problem| problem["kind"] != kind))
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_is_dead() {
    let away = free_port();
    let host = Host::with(format!(
        "events:
  enabled: true
  backends:
    - type: local
    - {{ type: redis_streams, name: search, config: {{ url: \"redis://{away}/0\" }} }}
routes:
  - {{ name: to-search, match: [{{ exact: {{ type: com.example.found }} }}], deliver: [search] }}
  - {{ name: others, match: [{{ exact: {{ type: com.example.other }} }}], deliver: [local] }}
"
    ))
    .start()
    .await;
    host.send_all(&[event("evt-1", "com.example.found"), event("evt-2", "com.example.other")]).await;
    let fault = Fault {
        name: "dead-backend",
        kind: "backend_down",
        what: "backend search is down".into(),
        cause: "Connection refused".into(),
        next: "see whether".into(),
    };
    let browser = is_found(&host, &fault).await;
    let story = said(&host, &["explain", "evt-1"]).await;
    assert!(story.contains("pending") && story.contains("still owed to 1 backend"), "{story}");
    let story = said(&host, &["explain", "evt-2"]).await;
    assert!(story.contains("delivered to local"), "nobody else waits: {story}");
    browser.go("#/backends").await;
    browser.shows("[data-key='backend-search']", "Connection refused").await;
    browser.shows("[data-key='backend-search']", "down").await;
}

#[tokio::test]
async fn a_plugin_that_traps() {
    let settings = "events:
  enabled: true
  backends: [{ type: local }]
routes:
  - name: greetings
    steps: [{ plugin: trap }]
    deliver: [local]
";
    let host = Host::with(settings).guest("trap").start().await;
    host.send_all(&[event("evt-1", "com.example.hello"), event("evt-2", "trap"), event("evt-3", "trap")])
        .await;
    until_true("both are dead letters", PATIENCE, async || host.status().await["dead_letters"] == 2).await;
    let fault = Fault {
        name: "trapping-plugin",
        kind: "plugin_failing",
        what: "plugin trap breaks on 2 of 3 events".into(),
        cause: "plugin \"trap\"".into(),
        next: "stagewire plugin rollback trap".into(),
    };
    let browser = is_found(&host, &fault).await;
    let story = said(&host, &["explain", "evt-2"]).await;
    assert!(
        story.contains("dead letter") && story.contains("step 1 trap") && story.contains("fail:"),
        "{story}"
    );
    let letters = said(&host, &["dead-letters", "list"]).await;
    assert!(
        letters.contains("evt-2") && letters.contains("trap") && letters.contains("greetings"),
        "{letters}"
    );
    browser.go("#/plugins").await;
    browser.shows("[data-key='failure-greetings-0']", "plugin \"trap\"").await;
    browser.go("#/dead-letters").await;
    browser.shows(".letters", "evt-3").await;
}

#[tokio::test]
async fn a_rule_that_drops_everything() {
    let settings = |deny: &str, kind: &str| {
        format!(
            "events:
  enabled: true
  backends: [{{ type: local }}]
routes:
  - name: greetings
    match: [{{ exact: {{ type: {kind} }} }}]
    steps: [{{ plugin: type-filter, settings: {{ deny: [\"{deny}\"] }} }}]
    deliver: [local]
"
        )
    };
    let host = Host::with(settings("com.*", "com.example.hello")).plugins(&["type-filter"]).start().await;
    let events = |from: u32| {
        (from..from + 12).map(|n| event(&format!("evt-{n}"), "com.example.hello")).collect::<Vec<_>>()
    };
    host.send_all(&events(1)).await;
    host.has_settled().await;
    // They go on coming, so that it is seen how many.
    let load = Load::on(host.ingress()).kind("com.example.hello").connections(1).batch(5);
    let load = load.every(Duration::from_millis(200)).start();
    let fault = Fault {
        name: "drops-everything",
        kind: "plugin_drops_all",
        what: "plugin type-filter drops every event: ".into(),
        cause: "type com.example.hello is denied".into(),
        next: "step 1 of route greetings".into(),
    };
    let browser = is_found(&host, &fault).await;
    assert_eq!(load.stop().await.failures(), 0);
    let story = said(&host, &["explain", "evt-7"]).await;
    assert!(story.contains("dropped") && story.contains("type com.example.hello is denied"), "{story}");
    browser.go("#/events/evt-7").await;
    browser.shows(".timeline", "type com.example.hello is denied").await;

    // The rule before the plugin, for once: it takes no event at all.
    let before = host.generation().await;
    host.put_settings(&settings("secret.*", "com.example.hallo"));
    host.generation_after(before).await;
    host.send_all(&events(20)).await;
    host.has_settled().await;
    let fault = Fault {
        name: "no-rule-matches",
        kind: "nothing_matches",
        what: "no rule takes any event: 12".into(),
        cause: "none of the 1 rules matches".into(),
        next: "stagewire route test --event FILE".into(),
    };
    let browser = is_found(&host, &fault).await;
    let sample = host.data().join("event.json");
    std::fs::write(&sample, event("tried", "com.example.hello").to_string())
        .expect("the directory can be written");
    let trial = said(&host, &["route", "test", "--event", &sample.to_string_lossy()]).await;
    assert!(trial.contains("com.example.hallo"), "the deciding part is named: {trial}");
    browser.go("#/routes").await;
    browser.fill("One event", &event("tried", "com.example.hello").to_string()).await;
    browser.press("Try it").await;
    browser.shows("[data-key='route-greetings'] mark", "com.example.hallo").await;
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let plan = Host::with("events:\n  enabled: true\n  backends: [{ type: local }]\n");
    let host = plan.host("journal: { segment: 1GiB }").start().await;
    host.send_all(&[event("evt-1", "com.example.hello")]).await;
    is_explained(&host, "evt-1").await;
    host.process().limit_files(Some(1));
    let refused = host.send(&event("evt-2", "com.example.hello")).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let fault = Fault {
        name: "full-disk",
        kind: "journal_unwritable",
        what: "the journal cannot write: every event is refused with 503".into(),
        cause: "File too large".into(),
        next: "make room on the disk of".into(),
    };
    is_found(&host, &fault).await;
    assert_eq!(host.admin("GET", "/readyz").await.expect("it answers").status, 503);

    host.process().limit_files(None);
    until_true("it is taken again", PATIENCE, async || {
        host.send(&event("evt-2", "com.example.hello")).await.status == 202
    })
    .await;
    is_over(&host, "journal_unwritable").await;
    let story = said(&host, &["explain", "evt-1"]).await;
    assert!(story.contains("delivered"), "{story}");
    is_explained(&host, "evt-2").await;
}

#[tokio::test]
async fn a_receiver_that_is_slow() {
    let receiver = Receiver::start().await;
    receiver.answer_slowly(Duration::from_millis(1_200));
    let settings = format!(
        "events:\n  enabled: true\n  backends:\n    - {{ type: webhook, name: search, config: {{ urls: [\"{}\"] }} }}\n",
        receiver.url()
    );
    let host = Host::with(settings).start().await;
    // All of one key: one after the other.
    let events: Vec<_> = (1..40).map(|n| event(&format!("evt-{n}"), "com.example.found")).collect();
    host.send_all(&events).await;
    let fault = Fault {
        name: "slow-receiver",
        kind: "backend_slow",
        what: "backend search is slow: it takes".into(),
        cause: String::new(),
        next: "ask what holds".into(),
    };
    let browser = is_found(&host, &fault).await;
    let story = said(&host, &["explain", "evt-39"]).await;
    assert!(story.contains("still owed to 1 backend"), "{story}");
    browser.go("#/backends").await;
    browser.shows("[data-key='backend-search']", "The oldest waits").await;

    receiver.answer_slowly(Duration::ZERO);
    host.has_settled().await;
    is_over(&host, "backend_slow").await;
}

#[test]
fn the_page_shows_a_picture_of_each_fault() {
    let page = std::fs::read_to_string(places::root().join("docs/operating.md")).expect("the page is there");
    for file in std::fs::read_dir(places::root().join("docs/images")).expect("there are pictures") {
        let file = file.expect("it can be listed");
        let name = file.file_name().into_string().expect("names are plain");
        assert!(page.contains(&format!("(images/{name})")), "{name} is shown");
        assert!(file.metadata().expect("it is there").len() <= LARGEST as u64, "{name} is small");
    }
    let shown = page.matches("](images/").count();
    assert!(shown >= 5, "{shown} pictures");
}
