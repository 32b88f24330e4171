//! (i) The same filter and the same transform in each language: size, time to load, cost of an event, memory.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use stagewire_tests::languages::{self, LANGUAGES};
use stagewire_tests::places;

use crate::figures::median;

const ROUNDS: usize = 3;

const PAGE: &str = "docs/plugins/languages.md";
const BEGIN: &str = "<!-- languages: made by STAGEWIRE_UPDATE_DOCS=1 cargo xtask bench languages -->\n";
const END: &str = "<!-- end of languages -->\n";

/// A table, as the page has it; written there where that is asked for (`STAGEWIRE_UPDATE_DOCS=1`).
pub(crate) fn side_by_side() {
    let mut table = String::from(
        "| language | kind | file | load | start | ns an event | memory |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for language in LANGUAGES {
        row(&mut table, language, "filter", r#"{"prefix":"com.storytelling."}"#);
        row(&mut table, language, "transform", r#"{"stamp":"checked","remove":["text"]}"#);
    }
    print!("{table}");
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        let file = places::root().join(PAGE);
        let page = std::fs::read_to_string(&file).expect("the page is there");
        let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
        let (before, after) = parts.expect("the page has a place for the table");
        std::fs::write(&file, format!("{before}{BEGIN}\n{table}\n{END}{after}"))
            .expect("the page can be written");
    }
}

fn row(table: &mut String, language: &str, kind: &str, settings: &str) {
    let built = languages::build(&format!("examples/plugins/{language}/{kind}"));
    let size = built.file.metadata().expect("the build made a file").len();
    let load = median((0..ROUNDS).map(|_| load(&built.file)).collect());
    let figures = bench(&built.file, settings);
    let number = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    let _ = writeln!(
        table,
        "| {language} | {kind} | {} KB | {load:.0} ms | {:.1} ms | {:.0} | {:.1} MB |",
        size / 1000,
        number("start_us") / 1e3,
        number("ns_per_event"),
        number("memory") / 1e6,
    );
}

/// Milliseconds to check, compile and describe a file, nothing being cached.
fn load(file: &Path) -> f64 {
    let begin = Instant::now();
    stagewire(&["plugin", "check", &file.to_string_lossy()]);
    begin.elapsed().as_secs_f64() * 1e3
}

fn bench(file: &Path, settings: &str) -> Value {
    let printed = stagewire(&["plugin", "bench", &file.to_string_lossy(), "--settings", settings, "--json"]);
    serde_json::from_str(&printed).expect("the figures are JSON")
}

fn stagewire(arguments: &[&str]) -> String {
    let output =
        Command::new(places::stagewire()).args(arguments).output().expect("the command can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
