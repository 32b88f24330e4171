//! (g) What a host takes before it does anything: memory with ten plugins, and time until it is ready.

use std::fmt::Write as _;
use std::time::Instant;

use stagewire_tests::{Host, Redis, places};

use crate::contenders::{ROUNDS, events};
use crate::figures::{median, show};

const PLUGINS: usize = 10;

/// Memory with ten plugins loaded, each different by its digest; and start to ready, compiled code being cached.
pub(crate) async fn memory_and_start() {
    let redis = Redis::start().await;
    let mut host = Host::with(format!("{}{}", events(&redis), routes())).prepare();
    let plugin = std::fs::read(places::plugin("redact")).expect("the plugin can be read");
    for number in 0..PLUGINS {
        host.put_plugin_bytes(&format!("plugin-{number}"), &marked(&plugin, number));
    }
    host.restart().await;
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        host.terminate().await;
        let begin = Instant::now();
        host.restart().await;
        starts.push(begin.elapsed().as_secs_f64() * 1e3);
        #[allow(clippy::cast_precision_loss)] // Memory stays far below 2^52.
        memory.push(host.process().resident() as f64 / f64::from(1 << 20));
    }
    show("resident with ten plugins", format!("{:.1} MiB", median(memory)), "goal 60 MB");
    show("start to ready, warm cache", format!("{:.0} ms", median(starts)), "goal 100 ms");
}

fn routes() -> String {
    let mut text = String::from("routes:\n");
    for number in 0..PLUGINS {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  - name: route-{number}\n    steps:\n      - plugin: plugin-{number}\n        settings: {{ remove: [text] }}\n    deliver: [redis_streams]\n"
        );
    }
    text
}

/// The same plugin with a custom section of its own at its end: another digest, so nothing is shared.
fn marked(plugin: &[u8], number: usize) -> Vec<u8> {
    let name = format!("mark{number}");
    let length = u8::try_from(name.len()).expect("the mark is short");
    [plugin, &[0, length + 1, length], name.as_bytes()].concat()
}
