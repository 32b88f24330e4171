//! Every guest of `tests/guests/` against a real engine.

mod hostile;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::*;
use crate::config::settings::OnError;
use crate::event::{Event, OwnedValue};
use crate::telemetry::StepMetrics;

mod wasi;

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| Engine::new(None).unwrap());

fn bytes(name: &str) -> Vec<u8> {
    // This program is in `target/debug/deps/`.
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(3).unwrap().join(format!("guests/{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("guest {name}: {error}; `cargo xtask guests` builds it"))
}

fn load(name: &str) -> Result<Arc<Plugin>, PluginError> {
    Plugin::load(&ENGINE, &name.into(), &bytes(name))
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    Plugin::load(&ENGINE, &name.into(), bytes).unwrap_err().to_string()
}

fn prepare(name: &str, settings: &str, limits: Limits) -> Result<Step, PluginError> {
    let spec = StepSpec { settings: settings.into(), limits, ..spec(name)? };
    Step::prepare(spec, 2, StepMetrics::detached())
}

fn spec(name: &str) -> Result<StepSpec, PluginError> {
    Ok(StepSpec {
        route: "orders".into(),
        index: 0,
        plugin: load(name)?,
        settings: "{}".into(),
        limits: Limits::default(),
        granted: Granted::default(),
        on_error: OnError::DeadLetter,
    })
}

/// A step under the usual limits, but with time enough for a machine that is busy with other tests.
fn step(name: &str) -> Step {
    prepare(name, "{}", Limits { time: Duration::from_secs(2), ..Limits::default() }).unwrap()
}

fn passage(identity: u64) -> Passage {
    Passage { identity: Some(identity), key: 0 }
}

fn event(kind: &str) -> Event {
    Event::builder("1", "/test", kind).json(r#"{"n":1}"#).build().unwrap()
}

fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(failed) => failed.reason,
        other => panic!("{other:?} is not a failure"),
    }
}

#[test]
fn a_filter_keeps_and_a_plugin_says_what_it_is() {
    let plugin = load("keeps-all").unwrap();
    assert_eq!(plugin.kind, Kind::Filter);
    assert_eq!(plugin.interface.to_string(), INTERFACE);
    assert_eq!(plugin.description().name, "keeps-all");
    assert_eq!(plugin.description().description, "Keeps every event");
    assert_eq!(plugin.size, bytes("keeps-all").len());
    let step = step("keeps-all");
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
    assert_eq!(step.run(7, &event("a"), Passage::default()), Outcome::Keep);
    assert_eq!(step.replaced(), 0);
}

#[test]
fn a_million_handles_do_not_add_up() {
    let step = step("edits-one");
    let event = event("a");
    for _ in 0..20_000 {
        assert!(matches!(step.run(0, &event, Passage::default()), Outcome::Out(_)));
    }
    assert_eq!(step.replaced(), 0);
}

#[test]
fn a_transform_edits_a_copy_and_passes_without_one() {
    let step = step("edits-one");
    assert_eq!(step.run(0, &event("pass"), Passage::default()), Outcome::Keep);
    let Outcome::Out(events) = step.run(0, &event("a"), Passage::default()) else {
        panic!("nothing came out")
    };
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].subject(), Some("edited"));
    assert_eq!(events[0].data(), event("a").data());
    assert_eq!(events[0].data_kind(), event("a").data_kind());
    insta::assert_snapshot!(
        reason(step.run(0, &event("invalid"), Passage::default())),
        @r#"handed out an event that is not valid: required attribute "source" is missing"#
    );
}

#[test]
fn a_transform_splits_in_order_and_drops_by_handing_out_nothing() {
    let step = step("splits");
    let Outcome::Out(events) = step.run(0, &event("a"), Passage::default()) else {
        panic!("nothing came out")
    };
    assert_eq!(events.len(), 3);
    assert_eq!(events[0], event("a"));
    assert_eq!(events[1].attribute("part"), Some(crate::event::Value::Integer(2)));
    assert_eq!((events[2].id(), events[2].kind(), events[2].data()), ("1-3", "part", &b"{\"part\":3}"[..]));
    assert_eq!(events[2].data_kind(), crate::event::DataKind::Json);
    assert_eq!(
        step.run(0, &event("none"), Passage::default()),
        Outcome::Drop("the transform handed nothing out".into())
    );
}

#[test]
fn an_endless_loop_is_stopped_and_the_next_event_goes_on() {
    let step = prepare("endless-loop", "{}", Limits::default()).unwrap();
    let outcome = step.run(0, &event("loop"), Passage::default());
    assert!(matches!(&outcome, Outcome::Failed(failed) if failed.transient));
    insta::assert_snapshot!(reason(outcome), @r#"plugin "endless-loop" took longer than 50ms"#);
    assert_eq!(step.replaced(), 2, "the first instance and its replacement");
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
}

#[test]
fn calls_that_take_long_are_made_apart_until_none_has_been_slow_for_a_while() {
    let patience = Duration::from_secs(30);
    let step = Arc::new(prepare("endless-loop", "{}", Limits::default()).unwrap());
    assert!(step.errand(0, 0).is_none() && !step.status().apart);
    step.move_apart(0);
    assert!(step.status().apart);
    let call = |kind: &str| {
        let (tell, told) = flume::bounded(1);
        let errand = step.errand(0, 0).expect("it is called apart");
        let call =
            errand.begin(&event(kind), Passage::default(), move |returned| tell.send(returned).unwrap());
        let returned = told.recv_timeout(patience).expect("it comes back");
        drop(call);
        (returned.outcome, returned.cost.expect("it computes all the time"))
    };
    let (outcome, cost) = call("loop");
    assert_eq!(reason(outcome), r#"plugin "endless-loop" took longer than 50ms"#);
    // Of its own processor time: so long it has run, twice, however busy the machine is.
    assert!(cost.broke && cost.time >= Duration::from_millis(100), "{cost:?}");
    let (outcome, cost) = call("a");
    assert_eq!(outcome, Outcome::Keep);
    assert!(!cost.broke, "{cost:?}");
    let deadline = Instant::now() + patience;
    while step.errand(0, 0).is_some() {
        assert!(Instant::now() < deadline, "it is called by the workers again");
        assert_eq!(call("a").0, Outcome::Keep);
    }
    assert!(!step.status().apart);
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
}

#[test]
fn too_much_memory_is_a_reason() {
    let step = step("memory-bomb");
    insta::assert_snapshot!(reason(step.run(0, &event("bomb"), Passage::default())), @r#"plugin "memory-bomb" needed more than 32MiB"#);
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
}

#[test]
fn endless_recursion_is_a_reason() {
    let step = step("deep-recursion");
    insta::assert_snapshot!(reason(step.run(0, &event("deep"), Passage::default())), @r#"plugin "deep-recursion" recursed too deeply"#);
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
}

#[test]
fn a_trap_names_its_place() {
    let reason = reason(step("trap").run(0, &event("trap"), Passage::default()));
    assert!(reason.starts_with(r#"plugin "trap" trapped: unreachable"#), "{reason}");
    assert!(reason.len() < 200, "{reason}");
}

#[test]
fn what_an_earlier_event_spoilt_is_mended_by_a_fresh_instance() {
    let step = step("trap");
    assert_eq!(step.run(0, &event("poison"), Passage::default()), Outcome::Keep);
    assert_eq!(
        step.run(0, &event("a"), Passage::default()),
        Outcome::Keep,
        "the same event once more, on a fresh instance"
    );
    assert_eq!(step.replaced(), 1);
}

#[test]
fn output_is_bounded_in_bytes_and_in_events() {
    let step = step("huge-output");
    insta::assert_snapshot!(reason(step.run(0, &event("bytes"), Passage::default())), @r#"plugin "huge-output" handed out more than 8MiB"#);
    insta::assert_snapshot!(
        reason(step.run(0, &event("events"), Passage::default())),
        @r#"plugin "huge-output" handed out more than 1000 events"#
    );
}

#[test]
fn a_flood_of_log_lines_does_not_stop_the_filter() {
    let step = step("log-flood");
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
}

#[test]
fn counters_of_a_plugin_are_bounded() {
    let metrics = crate::telemetry::Metrics::new();
    let step_metrics = metrics.step(&"orders".into(), 0, &"counts".into(), crate::names::Digest([0; 32]));
    let step = Step::prepare(spec("counts").unwrap(), 2, step_metrics).unwrap();
    assert_eq!(step.run(0, &event("made"), Passage::default()), Outcome::Keep);
    assert_eq!(step.run(1, &event("made"), Passage::default()), Outcome::Keep);
    assert_eq!(step.run(0, &event("many"), Passage::default()), Outcome::Keep);
    let text = metrics.render();
    let counts: Vec<_> =
        text.lines().filter(|line| line.starts_with("stagewire_plugin_count_total")).collect();
    assert_eq!(counts.len(), StepMetrics::MOST_OWN);
    assert!(counts.iter().any(|line| line.contains(r#"name="made""#) && line.ends_with(" 4")), "{counts:?}");
}

fn about(kind: &str, subject: &str) -> Event {
    Event::builder("1", "/test", kind).subject(subject).build().unwrap()
}

fn remembering(bucket: &Arc<Bucket>) -> Step {
    let granted = Granted { keyvalue: Some(Arc::clone(bucket)), ..Granted::default() };
    let limits = Limits { time: Duration::from_secs(2), ..Limits::default() };
    let spec = StepSpec { granted, limits, ..spec("remembers").unwrap() };
    Step::prepare(spec, 2, StepMetrics::detached()).unwrap()
}

#[test]
fn state_needs_a_grant() {
    assert_eq!(load("remembers").unwrap().needs, [Grant::Keyvalue]);
    assert_eq!(load("keeps-all").unwrap().needs, []);
    insta::assert_snapshot!(
        prepare("remembers", "{}", Limits::default()).unwrap_err(),
        @r#"route "orders", step 1: plugin "remembers" needs keyvalue, which the step does not grant; write `grants: { keyvalue: true }` under the step if it may have it"#
    );
}

#[test]
fn state_is_shared_by_workers_and_outlives_instances() {
    let bucket = Arc::new(Bucket::new(1 << 20));
    let step = remembering(&bucket);
    let seen = |times: u32| Outcome::Drop(format!("seen {times} before"));
    assert_eq!(step.run(0, &about("count", "a"), passage(1)), seen(0));
    assert_eq!(step.run(1, &about("count", "a"), passage(2)), seen(1));
    assert_eq!(step.run(0, &about("count", "b"), passage(3)), seen(0));
    drop(step);
    assert_eq!(remembering(&bucket).run(0, &about("count", "a"), passage(4)), seen(2));
}

#[test]
fn what_fails_or_traps_writes_nothing() {
    let step = remembering(&Arc::new(Bucket::new(1 << 20)));
    assert_eq!(reason(step.run(0, &about("fail", "a"), passage(1))), "after a write");
    assert!(reason(step.run(0, &about("trap", "a"), passage(2))).contains("trapped"));
    assert_eq!(step.run(0, &about("count", "a"), passage(3)), Outcome::Drop("seen 0 before".into()));
}

#[test]
fn an_event_that_passes_again_claims_what_it_has_claimed() {
    let step = remembering(&Arc::new(Bucket::new(1 << 20)));
    let claim = |identity| step.run(0, &about("claim", "evt_1"), passage(identity));
    assert_eq!(claim(1), Outcome::Keep);
    assert_eq!(claim(2), Outcome::Drop("claimed before".into()));
    assert_eq!(claim(1), Outcome::Keep);
}

#[test]
fn state_is_bounded() {
    let step = remembering(&Arc::new(Bucket::new(200)));
    assert_eq!(step.run(0, &about("claim", "a"), passage(1)), Outcome::Keep);
    assert_eq!(step.run(0, &about("claim", "b"), passage(1)), Outcome::Keep);
    let Outcome::Failed(failed) = step.run(0, &about("claim", "c"), passage(1)) else {
        panic!("it had room")
    };
    assert!(failed.transient, "{failed:?}");
    assert!(failed.reason.contains("limits.state"), "{failed:?}");
}

#[test]
fn an_instance_is_replaced_after_its_events() {
    let limits = Limits { recycle: Some(2), ..Limits::default() };
    let step = prepare("grows", "{}", limits).unwrap();
    let counts: Vec<_> = (0..5).map(|_| reason(step.run(0, &event("a"), Passage::default()))).collect();
    assert_eq!(counts, ["1", "2", "1", "2", "1"]);
    assert_eq!(step.replaced(), 0, "nothing broke");
}

#[test]
fn a_plugin_of_the_first_interface_goes_on_loading() {
    let plugin = load("interface-0-1-0").unwrap();
    assert_eq!((plugin.interface.to_string().as_str(), plugin.kind), ("0.1.0", Kind::Transform));
    let step = step("interface-0-1-0");
    let Outcome::Out(events) = step.run(0, &about("a", "four"), Passage::default()) else {
        panic!("nothing came out")
    };
    assert_eq!(events[0].attribute("length"), Some(crate::event::Value::Integer(4)));
}

#[test]
fn errors_say_whether_to_try_again() {
    let step = step("transient-error");
    let failed = |reason: &str, transient| Outcome::Failed(Failed { reason: reason.into(), transient });
    assert_eq!(step.run(0, &event("later"), Passage::default()), failed("the moon is down", true));
    assert_eq!(step.run(0, &event("a"), Passage::default()), failed("not for me", false));
}

#[test]
fn settings_reach_the_plugin_and_refusals_reach_people() {
    let step = prepare("stamps-version", r#"{"version":"7"}"#, Limits::default()).unwrap();
    let Outcome::Out(events) = step.run(0, &event("a"), Passage::default()) else {
        panic!("nothing came out")
    };
    assert_eq!(events[0].edit().extensions, [("version".into(), OwnedValue::String("7".into()))]);
    let refused = |name, settings| prepare(name, settings, Limits::default()).unwrap_err().to_string();
    insta::assert_snapshot!(
        refused("stamps-version", "{}"),
        @r#"route "orders", step 1: plugin "stamps-version" refuses its settings: missing field `version`"#
    );
    insta::assert_snapshot!(
        refused("stamps-version", r#"{"verson":"7"}"#),
        @r#"route "orders", step 1: plugin "stamps-version" refuses its settings: unknown field `verson`, expected `version`; did you mean `version`?"#
    );
    insta::assert_snapshot!(
        refused("refuses-settings", "{}"),
        @r#"route "orders", step 1: plugin "refuses-settings" refuses its settings: these settings are never right"#
    );
}

#[test]
fn an_instance_that_does_not_fit_is_refused_before_any_event() {
    let limits = Limits { memory: 1 << 10, ..Limits::default() };
    insta::assert_snapshot!(
        prepare("keeps-all", "{}", limits).unwrap_err(),
        @r#"route "orders", step 1: cannot start: plugin "keeps-all" needed more than 1KiB"#
    );
}

#[test]
fn what_is_no_plugin_is_refused_with_the_reason() {
    insta::assert_snapshot!(
        refusal("text", b"#!/bin/sh"),
        @r#"plugin "text": the file is not WebAssembly; a plugin is a .wasm component or a core module that carries its WIT world"#
    );
    insta::assert_snapshot!(refusal("head", b"\0asm"), @r#"plugin "head": the file is damaged or cut short: it ends after 4 bytes"#);
    let whole = bytes("keeps-all");
    for end in [9, 100, whole.len() / 2, whole.len() - 1] {
        let refusal = refusal("cut", &whole[..end]);
        assert!(refusal.starts_with(r#"plugin "cut": the file is damaged or cut short"#), "{end}: {refusal}");
    }
    insta::assert_snapshot!(
        refusal("wrong-world", &bytes("wrong-world")),
        @r#"plugin "wrong-world": exports somebody:other/greeting@1.0.0, but neither stagewire:plugin/filtering nor stagewire:plugin/transforming; a plugin exports one of the two"#
    );
    insta::assert_snapshot!(
        refusal("future-version", &bytes("future-version")),
        @r#"plugin "future-version": is written for stagewire:plugin@0.9.0, and this host speaks up to 0.1.0; update stagewire, or build the plugin for 0.1.0"#
    );
}

#[test]
fn an_import_that_is_not_given_is_refused_by_name() {
    insta::assert_snapshot!(
        refusal("wants-network", &bytes("wants-network")),
        @r#"plugin "wants-network": imports example:network/dialing@1.0.0, which no plugin is given; what a step can grant is keyvalue, and of WASI 0.2 http, clocks, random, filesystem and environment"#
    );
}

#[test]
fn compiled_code_is_kept_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::new(Some(directory.path())).unwrap();
    Plugin::load(&engine, &"keeps-all".into(), &bytes("keeps-all")).unwrap();
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_some());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_loader_panic(at in 8_usize..40_000, value in 0_u8..=255) {
        let mut bytes = bytes("keeps-all");
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = Plugin::load(&ENGINE, &"mangled".into(), &bytes);
    }
}
