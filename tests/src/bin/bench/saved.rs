//! (j) What a developer waits for: from a saved source to the new version in force, and to the plugin's cases run again.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use stagewire_tests::languages::{self, Built, toolchains};
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, places};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

const ROUNDS: usize = 7;
/// How a reason in the example's source begins.
const REASON: &str = "Verdict::drop(\"no subject";

/// Prints both, by medians. The project's dependencies are built before.
pub(crate) async fn to_swapped() {
    let built = tokio::task::spawn_blocking(|| languages::build("examples/plugins/rust/filter"));
    let built = built.await.expect("it builds");
    let mut swapped = swapped(&built).await;
    swapped.sort_unstable();
    println!(
        "  saved to in force     median {:.2?}, longest {:.2?}",
        swapped[ROUNDS / 2],
        swapped[ROUNDS - 1]
    );
    let mut tested = tested(&built).await;
    tested.sort_unstable();
    let (middle, longest) = (tested[ROUNDS / 2], tested[ROUNDS - 1]);
    println!("  saved to cases run    median {middle:.2?}, longest {longest:.2?} (at most 2 s)");
}

/// A change of the source, `plugin build`, the file in place, and the host has it.
async fn swapped(built: &Built) -> Vec<Duration> {
    let settings = "events:\n  enabled: true\n  backends: [{ type: local }]\nroutes:\n  - name: r\n    steps: [{ plugin: filter, settings: { prefix: com. } }]\n    deliver: [local]\n";
    let host = Host::with(settings).plugin_file("filter", &built.file).start().await;
    let digest = async || host.status().await["steps"][0]["digest"].clone();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let before = digest().await;
        let begin = Instant::now();
        save(&built.project, round);
        let mut build = Command::new(places::stagewire());
        build.args(["plugin", "build"]).current_dir(&built.project).envs(toolchains()).stderr(Stdio::null());
        assert!(build.output().await.expect("the command can be started").status.success());
        host.put_plugin("filter", &built.file);
        until_true("the new version is in force", PATIENCE, async || digest().await != before).await;
        times.push(begin.elapsed());
    }
    times
}

/// A change of the source, and `plugin test --watch` has run the cases again.
async fn tested(built: &Built) -> Vec<Duration> {
    let cases = built.project.join("cases.yaml");
    let text = "settings: { prefix: com. }\ncases:\n  - event: { type: com.example, subject: a }\n    expect: keep\n";
    std::fs::write(cases, text).expect("the project can be written");
    let mut watch = Command::new(places::stagewire());
    watch.args(["plugin", "test", "--watch"]).current_dir(&built.project).envs(toolchains());
    let mut watch =
        watch.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("it is a pipe")).lines();
    waits(&mut lines).await;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let begin = Instant::now();
        save(&built.project, ROUNDS + round);
        waits(&mut lines).await;
        times.push(begin.elapsed());
    }
    watch.kill().await.expect("it runs");
    times
}

/// Reads until it waits for the next change.
async fn waits(lines: &mut Lines<BufReader<ChildStdout>>) {
    loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it says something");
        let line = line.expect("it can be read").expect("it does not end");
        assert!(!line.contains("FAILED"), "{line}");
        if line.starts_with("waiting for changes") {
            return;
        }
    }
}

/// Another reason in the source, so that another file comes of it.
fn save(project: &Path, round: usize) {
    let source = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).expect("the source is there");
    let (before, rest) = text.split_once(REASON).expect("the example has the reason");
    let (_, after) = rest.split_once('"').expect("a text ends");
    std::fs::write(&source, format!("{before}{REASON}{round}\"{after}")).expect("the source can be written");
}
