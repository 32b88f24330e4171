//! The table of metrics in the docs, made of their declarations.

use std::fmt::Write;

use super::Metrics;

impl Metrics {
    /// A table in Markdown: name, kind, labels, and what it says.
    fn reference() -> String {
        let mut text = String::from("| metric | kind | labels | says |\n| --- | --- | --- | --- |\n");
        for metric in Self::new().declared() {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                metric.name,
                metric.kind,
                labels.join(", "),
                metric.help
            );
        }
        text
    }
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md");
const BEGIN: &str =
    "<!-- metrics: made of their declarations; STAGEWIRE_UPDATE_DOCS=1 cargo test metrics -->\n";
const END: &str = "<!-- end of metrics -->\n";

#[test]
fn the_docs_have_every_metric() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let current = format!("{before}{BEGIN}\n{}\n{END}{after}", Metrics::reference());
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &current).unwrap();
    }
    let page = std::fs::read_to_string(PAGE).unwrap();
    assert_eq!(page, current, "run STAGEWIRE_UPDATE_DOCS=1 cargo test metrics");
}
