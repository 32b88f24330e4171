//! `cargo xtask bench conditions`: what a condition costs an event, by medians of alternating rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use stagewire::Event;
use stagewire::config::settings::Match;
use stagewire::router::{Condition, View};

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
    ("sql, casts", "[{sql: hop < ttl AND attempt IN (1, 2, 3)}]", "at most 1000"),
    (
        "cel, attributes",
        "[{cel: \"type == 'com.example.done' && subject.startsWith('document/')\"}]",
        "for information",
    ),
    ("cel, payload", "[{cel: data.metrics.event_count > 0}]", "for information"),
];

fn main() {
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
    for ((what, _, goal), mut figures) in CONDITIONS.iter().zip(figures) {
        figures.sort_by(f64::total_cmp);
        println!("  {what:<18} {:>7.0} ns ({goal})", figures[ROUNDS / 2]);
    }
}

fn condition(rules: &str) -> Condition {
    let rules: Vec<Match> = serde_saphyr::from_str(rules).expect("the rules are good");
    Condition::all_of(&rules)
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
