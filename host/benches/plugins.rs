//! `cargo xtask bench plugins`: what a step costs, against a bare call and against native code, side by side.
//!
//! Rounds alternate, so that a machine that drifts drifts for both; medians are shown. A bare call is a component's
//! empty function: what wasmtime itself needs to go in and out.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewire::Event;
use stagewire::plugins::{Engine, Limits, Outcome, Passage, Plugin, Step};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(40);

const EMPTY: &str = r#"
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
"#;

/// What a small guest has: a stack and some data in a memory of its own.
const GUEST: &str = r#"
(component
  (core module $m
    (memory (export "memory") 17)
    (data (i32.const 1048576) "some data")
    (func (export "f") (i32.store (i32.const 1024) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
"#;

fn main() {
    println!("plugins: nanoseconds an event, one worker");
    let engine = Engine::new(None).expect("the engine starts");
    let small = event(900);
    let mut bare = bare_call();
    let empty = step(&engine, "guests", "keeps-all", "{}");
    against("empty step", passing(&empty, &small), "bare call", &mut bare, "at most 2");
    let load = || load(&engine, "plugins", "type-filter");
    let prepare = |plugin: &Arc<Plugin>| prepare(plugin, r#"{"allow":["com.storytelling.nlp.document.*"]}"#);
    let plugin = load();
    let filter = prepare(&plugin);
    against("filter", passing(&filter, &small), "bare call", &mut bare, "at most 5");
    // As in a host: steps of one file have its code in common, and an instance each.
    let row: Vec<Step> = (0..10).map(|_| prepare(&plugin)).collect();
    against("ten in a row", passing_all(&row, &small), "filter", passing(&filter, &small), "at most 11");
    let apart_row: Vec<Step> = (0..10).map(|_| prepare(&load())).collect();
    let ten = passing_all(&apart_row, &small);
    against("ten files in a row", ten, "filter", passing(&filter, &small), "for information");
    let state = step(&engine, "guests", "remembers", "{}");
    let [one, hundred] = ["get", "gets"].map(looking);
    let more = apart(passing(&state, &hundred), passing(&state, &one));
    println!("  state get        {:>8.0} ns   (at most 1000)", more / 99.0);
    let large = event(16 << 10);
    against("filter, 16 KiB", passing(&filter, &large), "filter", passing(&filter, &small), "about 1");
    let [on_demand, pooled] = [InstanceAllocationStrategy::OnDemand, pool()].map(guest);
    let fresh = |guest: &Guest| drop(black_box(guest.start()));
    against("fresh, on demand", || fresh(&on_demand), "pooled", || fresh(&pooled), "for information");
    let (mut one, mut other) = (on_demand.start(), pooled.start());
    against("call, on demand", || one.call(), "pooled", || other.call(), "for information");
    let redact = step(&engine, "plugins", "redact", r#"{"remove":["text"]}"#);
    let rules = redact::Rules::new(&["text".into()], &[], "").expect("the rules are good");
    for (what, size, bound) in
        [("redact, 1 KiB", 1 << 10, "at most 2.5"), ("redact, 16 KiB", 16 << 10, "at most 1.6")]
    {
        let event = event(size);
        against(what, passing(&redact, &event), "native", || native(&event, &rules), bound);
    }
}

/// By how much the median of one is above that of the other.
fn apart(one: impl FnMut(), other: impl FnMut()) -> f64 {
    let (one, other) = medians(one, other);
    one - other
}

fn medians(mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ones.push(round(&mut one));
        others.push(round(&mut other));
    }
    (median(ones), median(others))
}

/// Prints the medians of two, and their ratio.
fn against(what: &str, one: impl FnMut(), other_what: &str, other: impl FnMut(), bound: &str) {
    let (one, other) = medians(one, other);
    println!(
        "  {what:<16} {one:>8.0} ns   {other_what:<10} {other:>8.0} ns   ratio {:.2} ({bound})",
        one / other
    );
}

fn round(call: &mut impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut calls = 0_u32;
    while begin.elapsed() < ROUND {
        // The clock is looked at seldom.
        (0..64).for_each(|_| call());
        calls += 64;
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// An event whose data is about so large and holds a field to be removed.
fn event(size: usize) -> Event {
    let mut data = String::from(
        r#"{"document_id":"doc-123","text":"Once upon a time.","status":"success","entities":["#,
    );
    while data.len() + 60 < size {
        data.push_str(r#"{"name":"Ada","kind":"person","score":0.97},"#);
    }
    data.push_str(r#"{"name":"Ada"}],"metrics":{"event_count":5}}"#);
    Event::builder("evt_1", "stage2-nlp-processing", "com.storytelling.nlp.document.processed")
        .subject("document/doc-123")
        .time("2025-12-14T12:00:00Z")
        .json(data)
        .build()
        .expect("the event is valid")
}

/// An event of that type, about something that the state knows nothing of.
fn looking(kind: &str) -> Event {
    Event::builder("evt_1", "bench", kind).subject("document/doc-123").build().expect("the event is valid")
}

fn step(engine: &Arc<Engine>, place: &str, plugin: &str, settings: &str) -> Step {
    prepare(&load(engine, place, plugin), settings)
}

fn load(engine: &Arc<Engine>, place: &str, plugin: &str) -> Arc<Plugin> {
    let file = built(place, plugin);
    let bytes = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask guests` builds it", file.display()));
    Plugin::load(engine, &plugin.into(), &bytes).expect("the plugin loads")
}

fn prepare(plugin: &Arc<Plugin>, settings: &str) -> Step {
    Step::alone("bench", plugin, settings.into(), Limits::default()).expect("the plugin takes its settings")
}

/// `target/plugins/…` or `target/guests/…`, beside `target/release/deps/`, where this program is.
fn built(place: &str, plugin: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of the running program is known");
    let target = this.ancestors().nth(3).expect("a program is below the target directory");
    target.join(place).join(format!("{plugin}.wasm"))
}

/// An event that passes the step again and again.
fn passing<'a>(step: &'a Step, event: &Event) -> impl FnMut() + 'a {
    let mut event = event.clone();
    move || run(step, &mut event)
}

/// The same, one after another.
fn passing_all<'a>(steps: &'a [Step], event: &Event) -> impl FnMut() + 'a {
    let mut event = event.clone();
    move || steps.iter().for_each(|step| run(step, &mut event))
}

fn run(step: &Step, event: &mut Event) {
    match black_box(step.pass(0, black_box(event), Passage::default())) {
        Outcome::Keep | Outcome::Out(_) => {}
        other => panic!("the plugin does not keep the event: {other:?}"),
    }
}

/// What the transform comes to, without wasm: the same code on the same bytes, and the changed event.
fn native(event: &Event, rules: &redact::Rules) {
    let data = redact::redacted(black_box(event.data()), rules).expect("the data is not deep");
    let mut draft = event.edit();
    draft.data = data.expect("there is something to remove").into();
    black_box(draft.build().expect("the event is valid"));
}

/// A component with a memory, on an engine that allocates in that way.
struct Guest {
    engine: wasmtime::Engine,
    component: Component,
}

struct Started {
    store: Store<()>,
    function: TypedFunc<(), ()>,
}

fn pool() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(64).total_core_instances(64).total_component_instances(64);
    InstanceAllocationStrategy::Pooling(pool)
}

fn guest(strategy: InstanceAllocationStrategy) -> Guest {
    let mut config = sync();
    config.allocation_strategy(strategy);
    let engine = wasmtime::Engine::new(&config).expect("the engine starts");
    let component = Component::new(&engine, wat::parse_str(GUEST).expect("it is WAT")).expect("it compiles");
    Guest { engine, component }
}

impl Guest {
    fn start(&self) -> Started {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let linker = Linker::new(&self.engine);
        let instance = linker.instantiate(&mut store, &self.component).expect("it needs nothing");
        let function = instance.get_typed_func(&mut store, "f").expect("it is exported");
        Started { store, function }
    }
}

impl Started {
    fn call(&mut self) {
        self.function.call(&mut self.store, ()).expect("it only writes a word");
    }
}

/// As the host has it.
fn sync() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).concurrency_support(false).epoch_interruption(true);
    config
}

fn bare_call() -> impl FnMut() {
    let engine = wasmtime::Engine::new(&sync()).expect("the engine starts");
    let component = Component::new(&engine, wat::parse_str(EMPTY).expect("it is WAT")).expect("it compiles");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("it needs nothing");
    let call: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "f").expect("it is exported");
    move || call.call(&mut store, ()).expect("it does nothing")
}
