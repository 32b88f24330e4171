//! The docs, followed to the letter.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stagewire_tests::{Host, Redis, places};
use tokio::process::Command;

/// Building a crate with its dependencies takes a while on a cold machine.
const LIMIT: Duration = Duration::from_mins(10);

/// The blocks of that language, in their order.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let parts = page.split(&open).skip(1);
    parts.filter_map(|part| part.split_once("\n```")).map(|(block, _)| block.to_owned()).collect()
}

/// Runs what the page says to type, with `stagewire` on the path.
pub(crate) async fn typed(script: &str, directory: &Path, environment: &[(&str, String)]) {
    let mut command = Command::new("sh");
    command.args(["-euxc", script]).current_dir(directory).kill_on_drop(true);
    // Whatever cargo told this test is not meant for the crate that it builds.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO")) {
        if name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let path = environment.iter().find(|(name, _)| *name == "PATH").map(|(_, path)| path.clone());
    let path = path.or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
    let tools = places::stagewire();
    let tools = tools.parent().expect("a program is in a directory");
    command.env("PATH", format!("{}:{path}", tools.display()));
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it ends").expect("sh starts");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_first_plugin_is_written_and_swapped_in_by_following_the_page() {
    let page = std::fs::read_to_string(places::root().join("docs/plugins.md")).expect("the page is there");
    let (scripts, manifest, code) = (blocks(&page, "sh"), blocks(&page, "toml"), blocks(&page, "rust"));
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    typed(&scripts[0], directory.path(), &[]).await;
    let project = directory.path().join("only-large");
    let sdk = places::root().join("plugins/sdk");
    let manifest = manifest[0].replace("../stagewire/plugins/sdk", &sdk.to_string_lossy());
    std::fs::write(project.join("Cargo.toml"), manifest).expect("the project can be written");
    std::fs::write(project.join("src/lib.rs"), &code[0]).expect("the project can be written");
    typed(&scripts[1], &project, &[]).await;

    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).start().await;
    let built = project.join("target/wasm32-unknown-unknown/release/only_large.wasm");
    host.put_plugin("only-large", &built);
    let before = host.generation().await;
    host.put_settings(&format!(
        "{}routes:\n  - name: large\n    steps: [{{ plugin: only-large, settings: {{ least: 10 }} }}]\n    deliver: [redis_streams]\n",
        redis.events_section()
    ));
    host.generation_after(before).await;
    let event = |id: &str, data: &str| json!({ "specversion": "1.0", "id": id, "source": "s", "type": "t", "data": data });
    host.send_all(&[event("small", "x"), event("large", "a text of some length")]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["large"]);
}

/// Tests that a page names as links: `[`name`](../path/to/file.rs)`.
fn tests_named(page: &str) -> Vec<(String, String)> {
    let links =
        page.split("[`").skip(1).filter_map(|rest| rest.split_once("`](")).filter_map(|(name, rest)| {
            let (file, _) = rest.split_once(')')?;
            std::path::Path::new(file)
                .extension()
                .is_some_and(|extension| extension == "rs")
                .then(|| (name.to_owned(), file.to_owned()))
        });
    links.collect()
}

#[test]
fn each_test_that_the_page_on_the_sandbox_names_is_there() {
    let docs = places::root().join("docs");
    let page = std::fs::read_to_string(docs.join("security-plugins.md")).expect("the page is there");
    let named = tests_named(&page);
    assert!(named.len() > 40, "the page names {} tests", named.len());
    for (name, file) in &named {
        let source =
            std::fs::read_to_string(docs.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| {
            let words = line.strip_prefix("async ").unwrap_or(line);
            words.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
        });
        let at = at.unwrap_or_else(|| panic!("{file} has no test {name}"));
        // Attributes, or the macro of a property.
        let before = &lines[at.saturating_sub(3)..at];
        assert!(
            before.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test")),
            "{file}: {name} is no test"
        );
    }
    // What is said to hold something has a test in its row.
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let head = cells.last().is_some_and(|cell| cell.trim() == "shown by");
        assert!(cells.len() != 4 || head || row.contains(".rs)"), "no test in: {row}");
    }
}
