//! `cargo xtask bench conditions`: what a condition costs an event, what a thousand rules cost beside ten, and what a swap
//! of them takes; by medians of alternating rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use stagewire::Event;
use stagewire::config::settings::Match;
use stagewire::router::{Condition, Rule, Table, View};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(20);

/// What is measured, and its goal.
const CONDITIONS: &[(&str, &str, &str)] = &[
    (
        "exact, prefix",
        "[{exact: {type: com.example.done}}, {prefix: {subject: document/}}]",
        "for comparison",
    ),
    ("sql, holds", "[{sql: \"type = 'com.example.done' AND subject LIKE 'document/%'\"}]", "at most 1000"),
    ("sql, type differs", "[{sql: \"type = 'x' AND subject LIKE 'document/%'\"}]", "at most 1000"),
    ("sql, missing", "[{sql: \"missing = 'x'\"}]", "at most 1000"),
    ("sql, casts", "[{sql: 'hop < ttl AND attempt IN (1, 2, 3)'}]", "at most 1000"),
    (
        "cel, attributes",
        "[{cel: \"type == 'com.example.done' && subject.startsWith('document/')\"}]",
        "for information",
    ),
    ("cel, payload", "[{cel: data.metrics.event_count > 0}]", "for information"),
];

/// One rule of each sort; `#` is its number.
const RULES: [&str; 10] = [
    "[{exact: {type: com.example.#}}]",
    "[{exact: {type: com.example.#}}, {sql: \"subject LIKE 'document/%'\"}]",
    "[{prefix: {type: com.example.#.}}]",
    "[{suffix: {type: .kind-#}}]",
    "[{all: [{exact: {type: com.example.#}}, {prefix: {subject: document/}}]}]",
    "[{any: [{exact: {type: com.example.#}}, {exact: {type: com.example.other-#}}]}]",
    "[{exact: {subject: document/#}}, {not: {prefix: {source: stage3}}}]",
    "[{sql: \"type = 'com.example.#' AND subject LIKE 'document/%'\"}]",
    "[{sql: \"source IN ('stage-#', 'stage-other-#') AND EXISTS subject\"}]",
    "[{cel: \"type == 'com.example.#' && data.metrics.event_count > 0\"}]",
];

fn main() {
    conditions();
    rules();
    swap();
}

fn rule(number: usize) -> String {
    RULES[number % RULES.len()].replace('#', &number.to_string())
}

/// Ten rules beside a thousand with those ten among them, each event taken by one of the ten.
fn rules() {
    println!("rules: nanoseconds an event");
    let events: Vec<Event> = (0..RULES.len()).map(taken_by).collect();
    let rules = |count: usize| (0..count).map(|number| parsed(&rule(number))).collect::<Vec<_>>();
    let tables = [10, 1_000].map(|count| {
        let rules = rules(count);
        let rule = |rules: &Vec<Match>| Rule { condition: Condition::all_of(rules), ..Rule::default() };
        Table::new(rules.iter().map(rule), Counter::default())
    });
    for table in &tables {
        let taken: Vec<_> = events.iter().map(|event| table.matches(event, 0).collect::<Vec<_>>()).collect();
        assert_eq!(taken, (0..RULES.len()).map(|number| vec![number]).collect::<Vec<_>>());
    }
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (table, figures) in tables.iter().zip(&mut figures) {
            let mut next = events.iter().cycle();
            figures.push(round(|| {
                let event = next.next().expect("a cycle has no end");
                black_box(table.matches(black_box(event), 0).count());
            }));
        }
    }
    let [ten, thousand] = figures.map(median);
    println!("  {:<18} {ten:>7.0} ns (for comparison)", "10");
    println!("  {:<18} {thousand:>7.0} ns ({:.2} x, at most 2)", "1000", thousand / ten);
}

/// An event that the rule of that number takes, and none of the others.
fn taken_by(number: usize) -> Event {
    let (mut kind, mut subject, mut source) =
        ("com.example.none".to_owned(), "document/none".to_owned(), "stage".to_owned());
    match number {
        2 => kind = format!("com.example.{number}.x"),
        3 => kind = format!("com.example.x.kind-{number}"),
        6 => subject = format!("document/{number}"),
        8 => source = format!("stage-{number}"),
        _ => kind = format!("com.example.{number}"),
    }
    let data = r#"{"metrics":{"event_count":5}}"#;
    Event::builder("evt_a1b2c3d4e5f6", source, kind)
        .subject(subject)
        .json(data)
        .build()
        .expect("the event is good")
}

/// From the file to rules that are ready; without plugins and connections, which stay where they do not change.
fn swap() {
    let routes =
        |number| format!("  - {{ name: route-{number}, match: {}, deliver: [stdout] }}\n", rule(number));
    let text = format!(
        "events: {{ enabled: true, backend: stdout }}\nroutes:\n{}",
        (0..1_000).map(routes).collect::<String>()
    );
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), text).expect("a temporary file can be written");
    let time = |work: &mut dyn FnMut()| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64() * 1_000.0
    };
    let (mut read, mut made) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut loaded = None;
        read.push(time(&mut || loaded = stagewire::config::load(file.path(), &|_| None).ok()));
        let routes = loaded.expect("the settings are good").settings.routes;
        made.push(time(&mut || {
            black_box(Table::new(routes.iter().map(Rule::from), Counter::default()));
        }));
    }
    let (read, made) = (median(read), median(made));
    println!("swap of 1000 rules: milliseconds");
    println!("  {:<18} {read:>7.1} ms", "read and check");
    println!("  {:<18} {made:>7.1} ms", "make the table");
    println!("  {:<18} {:>7.1} ms (at most 100)", "both", read + made);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn conditions() {
    println!("conditions: nanoseconds an event");
    let event = event();
    let conditions: Vec<Condition> = CONDITIONS.iter().map(|(_, rules, _)| condition(rules)).collect();
    let mut figures = vec![Vec::new(); conditions.len()];
    for _ in 0..ROUNDS {
        for (condition, figures) in conditions.iter().zip(&mut figures) {
            figures.push(round(|| {
                black_box(condition.holds(&View::new(black_box(&event))));
            }));
        }
    }
    for ((what, _, goal), figures) in CONDITIONS.iter().zip(figures) {
        println!("  {what:<18} {:>7.0} ns ({goal})", median(figures));
    }
}

fn condition(rules: &str) -> Condition {
    Condition::all_of(&parsed(rules))
}

fn parsed(rules: &str) -> Vec<Match> {
    serde_saphyr::from_str(rules).expect("the rules are good")
}

fn event() -> Event {
    let data = format!(
        r#"{{"document_id":"doc-123","metrics":{{"event_count":5,"entity_count":23}},"text":"{}"}}"#,
        "word ".repeat(150)
    );
    let text = |text: &str| stagewire::event::OwnedValue::String(text.into());
    Event::builder("evt_a1b2c3d4e5f6", "stage2-nlp-processing", "com.example.done")
        .subject("document/doc-123")
        .time("2025-12-14T12:00:00Z")
        .extension("hop", text("5"))
        .extension("ttl", text("10"))
        .extension("attempt", stagewire::event::OwnedValue::Integer(3))
        .json(data)
        .build()
        .expect("the event is good")
}

fn round(mut call: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < ROUND {
        (0..1_000).for_each(|_| call());
        count += 1_000;
    }
    #[allow(clippy::cast_precision_loss)] // A round is far below 2^52 ns.
    let spent = begin.elapsed().as_nanos() as f64;
    spent / f64::from(count)
}
