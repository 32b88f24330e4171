//! What a plugin may try against its host, one attempt a test: `docs/security-plugins.md` is the list. The guests are a few lines of
//! WebAssembly text each, so that they may say what no compiler would.

use std::fmt::Write as _;
use std::io::Write as _;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::telemetry::testing::Paper;

const WIT: &str = include_str!("../../../../wit/stagewire.wit");

/// A filter in parts. At 16 of its memory is a description, at 64 an `ok`, at 128 what a test writes there; from 4096 on the host
/// may write.
struct Filter<'a> {
    imports: &'a str,
    memory: &'a str,
    more: &'a str,
    describe: &'a str,
    configure: &'a str,
    /// Everything of `keep`, `$event` being the handle.
    keep: &'a str,
    realloc: &'a str,
}

impl Default for Filter<'_> {
    fn default() -> Self {
        Self {
            imports: "",
            memory: r#"(memory (export "memory") 2)"#,
            more: "",
            describe: "(i32.const 16)",
            configure: "(i32.const 64)",
            keep: "(call $drop_event (local.get $event)) (i32.const 64)",
            realloc: "(local $at i32) (local.set $at (global.get $next))
                (global.set $next (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
                (local.get $at)",
        }
    }
}

impl Filter<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self { imports, memory, more, describe, configure, keep, realloc } = self;
        let text = format!(
            r#"(module
              (import "stagewire:plugin/event@0.1.0" "[resource-drop]event" (func $drop_event (param i32)))
              {imports}
              {memory}
              (global $next (mut i32) (i32.const 4096))
              {more}
              (func (export "stagewire:plugin/filtering@0.1.0#describe") (result i32) {describe})
              (func (export "stagewire:plugin/filtering@0.1.0#configure") (param i32 i32) (result i32) {configure})
              (func (export "stagewire:plugin/filtering@0.1.0#keep") (param $event i32) (result i32) {keep})
              (func (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32) {realloc})
            )"#
        );
        embedded(&text, "stateful-filter")
    }

    fn load(&self) -> Result<Arc<Plugin>, PluginError> {
        Plugin::load(&ENGINE, &"hostile".into(), &self.bytes())
    }

    fn refusal(&self) -> String {
        self.load().unwrap_err().to_string()
    }

    fn step(&self, limits: Limits, granted: Granted) -> Step {
        step_of(self.load().unwrap(), limits, granted, StepMetrics::detached())
    }

    /// What comes of one event, with nothing granted and the usual limits.
    fn outcome(&self) -> Outcome {
        self.step(patient(), Granted::default()).run(0, &event("a"), Passage::default())
    }
}

/// A transform whose `apply` has these instructions, `$event` and `$out` being the handles.
fn transform(more: &str, apply: &str) -> Arc<Plugin> {
    let text = format!(
        r#"(module
          (import "stagewire:plugin/event@0.1.0" "[resource-drop]event" (func $drop_event (param i32)))
          (import "stagewire:plugin/emitting@0.1.0" "[resource-drop]emitter" (func $drop_emitter (param i32)))
          (import "stagewire:plugin/emitting@0.1.0" "[method]emitter.edit" (func $edit (param i32 i32) (result i32)))
          (import "stagewire:plugin/emitting@0.1.0" "[method]emitter.emit" (func $emit (param i32 i32)))
          (import "stagewire:plugin/emitting@0.1.0" "[method]draft.set-text" (func $set_text (param i32 i32 i32)))
          (memory (export "memory") 20)
          (global $next (mut i32) (i32.const 4096))
          {more}
          (func (export "stagewire:plugin/transforming@0.1.0#describe") (result i32) (i32.const 16))
          (func (export "stagewire:plugin/transforming@0.1.0#configure") (param i32 i32) (result i32) (i32.const 64))
          (func (export "stagewire:plugin/transforming@0.1.0#apply") (param $event i32) (param $out i32) (result i32)
            {apply}
            (call $drop_event (local.get $event))
            (call $drop_emitter (local.get $out))
            (i32.const 64))
          (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32) (i32.const 4096))
        )"#
    );
    let bytes = embedded(&text, "stateful-transform");
    Plugin::load(&ENGINE, &"hostile".into(), &bytes).unwrap()
}

fn embedded(text: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut wit = Resolve::default();
    let package = wit.push_str("stagewire.wit", WIT).unwrap();
    let world = wit.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &wit, world, StringEncoding::UTF8, false).unwrap();
    module
}

/// Time enough for a machine that is busy with other tests.
fn patient() -> Limits {
    Limits { time: std::time::Duration::from_secs(2), ..Limits::default() }
}

fn step_of(plugin: Arc<Plugin>, limits: Limits, granted: Granted, metrics: StepMetrics) -> Step {
    let spec = StepSpec {
        route: "orders".into(),
        index: 0,
        plugin,
        settings: "{}".into(),
        limits,
        granted,
        on_error: OnError::DeadLetter,
    };
    Step::prepare(spec, 1, metrics).unwrap()
}

/// `i32.store` of each word, from 128 on.
fn words(words: &[i32]) -> String {
    let store = |(index, word): (usize, &i32)| {
        format!("(i32.store (i32.const {}) (i32.const {word}))", 128 + 4 * index)
    };
    words.iter().enumerate().map(store).collect()
}

const DROP: &str = "(call $drop_event (local.get $event))";

#[test]
fn what_a_guest_answers_is_read_within_its_memory_and_checked() {
    let answers = [
        ("a reason beyond the memory", words(&[0, 1, -16, 8]), 128),
        ("a reason longer than the memory", words(&[0, 1, 4096, i32::MAX]), 128),
        ("a reason that is no UTF-8", words(&[0, 1, 160, 4, 0, 0, 0, 0, -1]), 128),
        ("a verdict that there is not", words(&[0, 7, 0, 0]), 128),
        ("a result that there is not", words(&[9, 0, 0, 0]), 128),
        ("an answer beyond the memory", String::new(), -16),
        ("an answer out of line", String::new(), 65),
    ];
    for (what, stores, at) in answers {
        let keep = format!("{DROP} {stores} (i32.const {at})");
        let guest = Filter { keep: &keep, ..Filter::default() };
        let step = guest.step(patient(), Granted::default());
        let failed = reason(step.run(0, &event("a"), Passage::default()));
        assert!(failed.starts_with("plugin \"hostile\" "), "{what}: {failed}");
        assert_eq!(step.replaced(), 2, "{what}: neither instance is used again");
    }
}

#[test]
fn an_allocator_that_lies_breaks_its_own_instance() {
    let asks = r#"(import "stagewire:plugin/event@0.1.0" "[method]event.id" (func $id (param i32 i32)))
        (import "stagewire:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))"#;
    let keep = format!("(call $id (local.get $event) (i32.const 256)) {DROP} (i32.const 64)");
    for (what, realloc, says) in [
        ("beyond the memory", "(i32.const -16)", "broke"),
        ("a trap", "(unreachable)", "trapped"),
        ("an endless loop", "(loop (br 0)) (unreachable)", "took longer"),
        (
            "a call of the host",
            "(call $count (i32.const 0) (i32.const 1) (i64.const 1)) (i32.const 4096)",
            "cannot leave component",
        ),
        (
            "memory without end",
            "(loop (drop (memory.grow (i32.const 16))) (br 0)) (unreachable)",
            "needed more than",
        ),
    ] {
        // Settings are handed over the same way, before any event: there the instance is refused.
        let realloc = format!(
            "(if (result i32) (i32.eqz (local.get $armed)) (then (i32.const 4096)) (else {realloc}))"
        );
        let realloc = format!("(local $armed i32) (local.set $armed (i32.load (i32.const 512))) {realloc}");
        let armed = format!("(i32.store (i32.const 512) (i32.const 1)) {keep}");
        let guest = Filter { imports: asks, keep: &armed, realloc: &realloc, ..Filter::default() };
        let limits = Limits { time: std::time::Duration::from_millis(200), ..Limits::default() };
        let step = guest.step(limits, Granted::default());
        let failed = reason(step.run(0, &event("a"), Passage::default()));
        assert!(failed.contains(says), "{what}: {failed}");
    }
}

#[test]
fn an_events_handle_is_good_for_its_own_call() {
    let asks = r#"(import "stagewire:plugin/event@0.1.0" "[method]event.kind" (func $kind (param i32 i32)))"#;
    let kept = Filter { keep: "(i32.const 64)", ..Filter::default() };
    assert!(reason(kept.outcome()).contains("borrow"), "{:?}", kept.outcome());
    let keep = format!("(call $kind (i32.const 77) (i32.const 256)) {DROP} (i32.const 64)");
    let forged = Filter { imports: asks, keep: &keep, ..Filter::default() };
    assert!(reason(forged.outcome()).contains("handle"), "{:?}", forged.outcome());
    // The number of the first call's handle, kept: whatever it means in the second, it is not the first event.
    let keep = format!(
        "(if (i32.eqz (i32.load (i32.const 512))) (then (i32.store (i32.const 512) (local.get $event))))
         (call $kind (i32.load (i32.const 512)) (i32.const 136)) {DROP}
         {} (i32.const 128)",
        words(&[0, 1])
    );
    let again = Filter { imports: asks, keep: &keep, ..Filter::default() };
    let step = again.step(patient(), Granted::default());
    assert_eq!(step.run(0, &event("first"), Passage::default()), Outcome::Drop("first".into()));
    assert_eq!(step.run(0, &event("second"), Passage::default()), Outcome::Drop("second".into()));
}

#[test]
fn a_draft_is_good_for_its_own_call() {
    let keeps = transform(
        "",
        "(if (i32.eqz (i32.load (i32.const 512)))
           (then (i32.store (i32.const 512) (call $edit (local.get $out) (local.get $event))))
           (else (call $set_text (i32.load (i32.const 512)) (i32.const 16) (i32.const 4))))",
    );
    let step = step_of(keeps, patient(), Granted::default(), StepMetrics::detached());
    assert!(matches!(step.run(0, &event("a"), Passage::default()), Outcome::Out(_)));
    // On a fresh instance, after the first has been thrown away, it is a first call again.
    assert!(matches!(step.run(0, &event("a"), Passage::default()), Outcome::Out(_)));
    assert_eq!(step.replaced(), 1);
    let forged = transform("", "(call $set_text (i32.const 77) (i32.const 16) (i32.const 4))");
    let step = step_of(forged, patient(), Granted::default(), StepMetrics::detached());
    assert!(reason(step.run(0, &event("a"), Passage::default())).contains("handle"));
}

#[test]
fn drafts_that_are_never_dropped_cost_the_plugin_its_instance_and_not_the_host_its_memory() {
    let hoards = transform(
        "",
        "(local $left i32) (local.set $left (i32.const 1000))
         (loop
           (drop (call $edit (local.get $out) (local.get $event)))
           (local.set $left (i32.sub (local.get $left) (i32.const 1)))
           (br_if 0 (local.get $left)))",
    );
    let step = step_of(hoards, patient(), Granted::default(), StepMetrics::detached());
    for _ in 0..250 {
        assert!(matches!(step.run(0, &event("a"), Passage::default()), Outcome::Out(_)));
    }
    assert_eq!(step.replaced(), 2, "every 100,000 handles");
}

#[test]
fn a_list_whose_strings_are_all_the_same_bytes_is_not_copied_out() {
    // A new event at 128, behind the emitter's handle; its extensions, a hundred at 8192, have names of a megabyte that all lie at 65536.
    let more = "(func $lie (local $at i32) (local.set $at (i32.const 8192))
        (loop
          (i32.store (local.get $at) (i32.const 65536))
          (i32.store (i32.add (local.get $at) (i32.const 4)) (i32.const 1000000))
          (i32.store (i32.add (local.get $at) (i32.const 8)) (i32.const 1))
          (local.set $at (i32.add (local.get $at) (i32.const 20)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.const 10192))))
        (memory.fill (i32.const 65536) (i32.const 120) (i32.const 1000000)))";
    // id, source, kind; four that are absent; the extensions; no data.
    let record = words(&[65536, 1, 65536, 1, 65536, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8192, 100, 0]);
    let handle = "(i32.store (i32.const 124) (local.get $out))";
    let apply = format!("(call $lie) {record} {handle} (call $emit (i32.const 124) (i32.const 512))");
    let step = step_of(transform(more, &apply), patient(), Granted::default(), StepMetrics::detached());
    let failed = reason(step.run(0, &event("a"), Passage::default()));
    assert!(failed.contains("too much data"), "{failed}");
}

#[test]
fn what_a_plugin_says_is_cut_to_a_line_that_moves_no_cursor() {
    // An escape sequence and a line break, again and again, over 100 KB.
    let fill = "(func $fill (local $at i32) (local.set $at (i32.const 8192))
        (loop
          (i32.store (local.get $at) (i32.const 0x0a4a5b1b))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.const 110592)))))";
    let clean = |text: &str| {
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.len() < 4 << 10, "{} bytes", text.len());
    };
    let keep = format!("{DROP} (call $fill) {} (i32.const 128)", words(&[0, 1, 8192, 100_000]));
    let drops = Filter { more: fill, keep: &keep, ..Filter::default() };
    let Outcome::Drop(reason) = drops.outcome() else { panic!("it drops") };
    clean(&reason);
    let keep = format!("{DROP} (call $fill) {} (i32.const 128)", words(&[1, 0, 8192, 100_000]));
    let fails = Filter { more: fill, keep: &keep, ..Filter::default() };
    clean(&super::reason(fails.outcome()));
    let configure = format!("(call $fill) {} (i32.const 128)", words(&[1, 8192, 100_000]));
    let refuses = Filter { more: fill, configure: &configure, ..Filter::default() };
    let spec = StepSpec { plugin: refuses.load().unwrap(), ..spec("keeps-all").unwrap() };
    clean(&Step::prepare(spec, 1, StepMetrics::detached()).unwrap_err().to_string());
    let describe = format!(
        "(call $fill) {} (i32.const 128)",
        words(&[8192, 100_000, 8192, 100_000, 8192, 100_000, 0, 0])
    );
    let described = Filter { more: fill, describe: &describe, ..Filter::default() }.load().unwrap();
    let Description { name, version, description, .. } = described.description();
    [name, version, description].into_iter().for_each(|text| clean(text));
    let describe = format!("{} (i32.const 128)", words(&[0, 0, 0, 0, 0, 0, 8192, 100_000]));
    let refusal = Filter { describe: &describe, ..Filter::default() }.refusal();
    assert!(refusal.contains("schema of settings has more than 64 KiB"), "{refusal}");
}

#[test]
fn a_log_line_is_one_line_of_bounded_length_under_the_steps_name() {
    let imports = r#"(import "stagewire:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
    let more = "(func $fill (memory.fill (i32.const 8192) (i32.const 10) (i32.const 100000))
        (i32.store (i32.const 8192) (i32.const 0x0a4a5b1b)))";
    let keep = format!(
        "{DROP} (call $fill) (call $log (i32.const 2) (i32.const 8192) (i32.const 100000)) (i32.const 64)"
    );
    let step = Filter { imports, more, keep: &keep, ..Filter::default() }.step(patient(), Granted::default());
    let paper = Paper::default();
    let writer = paper.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(lines, || step.run(0, &event("a"), Passage::default()));
    let written = paper.text();
    assert_eq!(written.lines().count(), 1, "{written:?}");
    assert!(written.contains("plugin=hostile") && !written.contains('\u{1b}'), "{written:?}");
    assert!(written.len() < 16 << 10, "{} bytes", written.len());
}

#[test]
fn a_value_that_is_no_number_and_a_name_that_is_no_name_spoil_no_metric() {
    let imports = r#"(import "stagewire:plugin/host@0.1.0" "observe" (func $observe (param i32 i32 f64)))
        (import "stagewire:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))"#;
    let more = r#"(data (i32.const 512) "seen") (data (i32.const 520) "a\"} 1\n")"#;
    let observe = |value| format!("(call $observe (i32.const 512) (i32.const 4) (f64.const {value}))");
    let count = |name, value| format!("(call $count (i32.const {name}) (i32.const 4) (i64.const {value}))");
    let calls = [
        observe("nan"),
        observe("inf"),
        observe("-inf"),
        observe("2"),
        count(512, -1),
        count(512, 2),
        count(520, 1),
    ];
    let keep = format!("{DROP} {} (i32.const 64)", calls.concat());
    let plugin = Filter { imports, more, keep: &keep, ..Filter::default() }.load().unwrap();
    let metrics = crate::telemetry::Metrics::new();
    let of_step = metrics.step(&"orders".into(), 0, &"hostile".into(), plugin.digest);
    let step = step_of(plugin, patient(), Granted::default(), of_step);
    assert_eq!(step.run(0, &event("a"), Passage::default()), Outcome::Keep);
    let shown = metrics.render();
    let own: Vec<_> = shown.lines().filter(|line| line.contains(r#"plugin="hostile",name="#)).collect();
    assert!(own.iter().all(|line| line.contains(r#"name="seen""#)), "{own:?}");
    assert!(
        own.iter().any(|line| line.starts_with("stagewire_plugin_observation_sum") && line.ends_with(" 2.0")),
        "{own:?}"
    );
    assert!(
        own.iter().any(|line| line.starts_with("stagewire_plugin_count_total") && line.ends_with(" 1")),
        "a count goes round by itself: {own:?}"
    );
}

#[test]
fn the_time_stands_still_within_a_call() {
    let imports = r#"(import "stagewire:plugin/host@0.1.0" "now" (func $now (result i64)))"#;
    let keep = format!(
        "(local $left i32) (local $first i64) (local.set $first (call $now)) (local.set $left (i32.const 100000))
         (loop
           (if (i64.ne (call $now) (local.get $first)) (then (unreachable)))
           (local.set $left (i32.sub (local.get $left) (i32.const 1)))
           (br_if 0 (local.get $left)))
         {DROP} (i32.const 64)"
    );
    assert_eq!(Filter { imports, keep: &keep, ..Filter::default() }.outcome(), Outcome::Keep);
}

#[test]
fn what_one_call_writes_of_state_is_bounded_and_taken_back() {
    let imports = r#"(import "stagewire:plugin/keyvalue@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32)))
        (import "stagewire:plugin/keyvalue@0.1.0" "delete" (func $delete (param i32 i32)))"#;
    let set = "(call $set (i32.const 512) (i32.const 1) (i32.const 8192) (i32.const 65536) (i32.const 0) (i64.const 0) (i32.const 256))";
    // The same key over and over: the state stays small, what would be taken back does not.
    for forever in [set.to_owned(), format!("{set} (call $delete (i32.const 512) (i32.const 1))")] {
        let keep = format!("(loop {forever} (br 0)) (unreachable)");
        let bucket = Arc::new(Bucket::new(1 << 20));
        let granted = Granted { keyvalue: Some(Arc::clone(&bucket)), ..Granted::default() };
        let limits = Limits { state: 1 << 20, ..patient() };
        let step = Filter { imports, keep: &keep, ..Filter::default() }.step(limits, granted);
        let failed = reason(step.run(0, &event("a"), Passage::default()));
        assert!(failed.contains("wrote more than 1MiB of state in one call"), "{failed}");
        assert_eq!(bucket.used(), 0);
    }
}

#[test]
fn tables_and_memories_are_bounded_in_number_and_together_in_size() {
    let many = |item: &str, count| vec![item; count].join("\n");
    let memories = many("(memory 1)", 8);
    for (what, more, says) in [
        ("a huge memory", "(memory 1024)", "needed more than 32MiB"),
        ("nine memories", memories.as_str(), "memory count too high"),
        ("a huge table", "(table 5000000 funcref)", "needed more than 32MiB"),
        (
            "tables that are huge together",
            many("(table 200000 funcref)", 30).as_str(),
            "needed more than 32MiB",
        ),
        ("a hundred tables", many("(table 1 funcref)", 100).as_str(), "table count too high"),
    ] {
        let refusal = Filter { more, ..Filter::default() }.refusal();
        assert!(refusal.contains(says), "{what}: {refusal}");
    }
    // A table that grows in a call counts as well.
    let keep = format!(
        "{DROP} (loop (drop (table.grow $t (ref.null func) (i32.const 100000))) (br 0)) (unreachable)"
    );
    let grows = Filter { more: "(table $t 1 funcref)", keep: &keep, ..Filter::default() };
    assert!(reason(grows.outcome()).contains("needed more than 32MiB"));
}

#[test]
fn a_start_that_does_not_end_is_refused() {
    for (start, says) in [
        ("(func $start (loop (br 0))) (start $start)", "took longer than 2s"),
        ("(func $start (unreachable)) (start $start)", "trapped: unreachable"),
        ("(func $start (call $start)) (start $start)", "recursed too deeply"),
    ] {
        let refusal = Filter { more: start, ..Filter::default() }.refusal();
        assert!(refusal.contains(says), "{start}: {refusal}");
    }
    let endless = Filter { describe: "(loop (br 0)) (unreachable)", ..Filter::default() }.refusal();
    assert!(endless.contains("cannot describe itself: it took longer"), "{endless}");
}

#[test]
fn what_no_limit_would_hold_is_not_built_in() {
    for (what, memory, more) in [
        ("a shared memory", r#"(memory (export "memory") 1 2 shared)"#, ""),
        ("a memory of 64 bits", r#"(memory (export "memory") i64 1)"#, ""),
        (
            "an atomic wait",
            r#"(memory (export "memory") 2)"#,
            "(func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))",
        ),
        (
            "a collected object",
            r#"(memory (export "memory") 2)"#,
            "(type $t (struct (field i32))) (func (drop (struct.new $t (i32.const 0))))",
        ),
        ("an exception", r#"(memory (export "memory") 2)"#, "(tag $t) (func (throw $t))"),
        ("pages of another size", r#"(memory (export "memory") 2 2 (pagesize 1))"#, ""),
    ] {
        let refusal = Filter { memory, more, ..Filter::default() }.refusal();
        assert!(
            refusal.starts_with(r#"plugin "hostile": the file is damaged or cut short"#),
            "{what}: {refusal}"
        );
    }
}

/// A section of a module: its number, its length, what is in it.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number];
    leb(content.len(), &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn leb(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let (low, rest) = (u8::try_from(number & 0x7f).unwrap(), number >> 7);
        out.push(if rest == 0 { low } else { low | 0x80 });
        number = rest;
        if number == 0 {
            return;
        }
    }
}

#[test]
fn files_that_lie_are_refused_in_short_words() {
    let head = b"\0asm\x01\0\0\0".to_vec();
    let whole = Filter::default().bytes();
    let custom = |name: &str, content: &[u8]| {
        section(0, &[&[u8::try_from(name.len()).unwrap()], name.as_bytes(), content].concat())
    };
    let mut imports = Vec::new();
    leb(100_000, &mut imports);
    for number in 0..100_000 {
        let mut name = Vec::new();
        write!(name, "f{number}").unwrap();
        imports.extend([&[1, b'e', u8::try_from(name.len()).unwrap()][..], &name, &[0, 0]].concat());
    }
    let types = section(1, &[1, 0x60, 0, 0]);
    let nested = (0..200)
        .fold(Vec::new(), |inner: Vec<u8>, _| [b"\0asm\x0d\0\x01\0".to_vec(), section(4, &inner)].concat());
    for (what, bytes) in [
        ("a section longer than the file", [&head[..], &[1, 0xff, 0xff, 0xff, 0xff, 0x07]].concat()),
        (
            "four billion functions",
            [&head[..], &types, &section(3, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0])].concat(),
        ),
        ("a hundred thousand imports", [&head[..], &types, &section(2, &imports)].concat()),
        ("a world that is noise", [&head[..], &custom("component-type:noise", &[0xa5; 1_000])].concat()),
        ("two worlds", [&whole[..], &custom("component-type:again", b"\0asm\x0d\0\x01\0\0\0")].concat()),
        ("components within components", nested),
        ("a component without anything", b"\0asm\x0d\0\x01\0".to_vec()),
    ] {
        let refusal = refusal("lies", &bytes);
        assert!(refusal.starts_with(r#"plugin "lies": "#), "{what}: {refusal}");
        assert!(refusal.len() < 2_000, "{what}: {} bytes", refusal.len());
    }
    // What nobody reads may be as long as a file may be.
    let long = [&whole[..], &custom("ballast", &vec![0xa5; 8 << 20])].concat();
    assert_eq!(Plugin::load(&ENGINE, &"long".into(), &long).unwrap().size, long.len());
}

#[test]
fn a_file_that_is_too_large_is_not_looked_at() {
    let engine = Engine::new(None).unwrap();
    let loading =
        crate::config::settings::Loading { size: crate::config::units::Size(100), ..Default::default() };
    engine.bound(loading);
    let refused = Plugin::load(&engine, &"large".into(), &Filter::default().bytes()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"plugin "large": the file is larger than 100B (`plugins.loading.size`)"#
    );
}

#[test]
fn compiled_code_is_this_users_alone_and_made_again_where_it_is_damaged() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let engine = Engine::new(Some(&cache)).unwrap();
    let load = || Plugin::load(&engine, &"keeps-all".into(), &bytes("keeps-all")).unwrap();
    load();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&cache), mode(&file)), (0o700, 0o600));
    let good = std::fs::read(&file).unwrap();
    for damage in [good.len() / 2, good.len() - 1, 10, 0] {
        let mut damaged = good.clone();
        damaged[damage] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        load();
        assert_eq!(std::fs::read(&file).unwrap(), good, "made again: byte {damage}");
        std::fs::write(&file, &good[..damage]).unwrap();
        load();
        assert_eq!(std::fs::read(&file).unwrap(), good, "made again: cut at {damage}");
    }
}

#[test]
fn cases_end_even_where_each_of_them_takes_its_time() {
    let loops = format!("(loop (br 0)) {DROP} (i32.const 64)");
    let plugin = Filter { keep: &loops, ..Filter::default() }.load().unwrap();
    let mut yaml = String::from("cases:\n");
    for number in 0..10_000 {
        writeln!(yaml, "  - {{ name: n{number}, event: {{}}, expect: keep }}").unwrap();
    }
    let longest = std::time::Duration::from_millis(300);
    let ended = Cases::parse(&yaml).unwrap().run_within(longest, &plugin).unwrap_err();
    assert!(ended.contains("the cases take more than 300ms up to here"), "{ended}");
    // A few lines that name each other stand for billions.
    let laughs = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e]\ncases: [*f, *f, *f, *f, *f, *f, *f, *f]\n";
    assert!(Cases::parse(laughs).is_err());
}
