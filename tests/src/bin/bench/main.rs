//! `cargo xtask bench`: the host beside something else, in one run, by medians of alternating rounds.

mod backends;
mod contenders;
mod figures;
mod footprint;
mod languages;
mod one_down;
mod routes;
mod saved;
mod sink;
mod throughput;

use std::process::ExitCode;

/// Every benchmark: its name, what it shows, and what runs it.
const BENCHMARKS: &[(&str, &str)] = &[
    ("forwarder", "CPU an event against a forwarder without journal or plugins"),
    ("filter", "throughput with against without a filter"),
    ("fsync", "throughput with fsync: always against never"),
    ("seeing", "throughput with provenance, traces, metrics that are scraped and a dashboard against none"),
    ("routes", "CPU an event with 1,000 routes against 10"),
    ("swap", "latency under load while rules are swapped, and how soon they are active"),
    ("footprint", "memory with ten plugins, and time to ready"),
    ("languages", "the same filter and transform in each language of plugins"),
    ("saved", "from a saved source in Rust to the new version in force, and to its cases run again"),
    ("backends", "throughput of each backend against its client library by hand"),
    ("one-down", "what three backends feel of a fourth that is down, and how it catches up"),
];

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let words = std::env::args().skip(1);
    let (mut kinds, names): (Vec<String>, Vec<String>) = words.partition(|word| is_kind(word));
    if kinds.is_empty() {
        kinds = backends::KINDS.map(str::to_owned).into();
    }
    if let Some(wrong) = names.iter().find(|name| BENCHMARKS.iter().all(|(known, _)| known != name)) {
        eprintln!("there is no benchmark {wrong:?}; the names are:");
        BENCHMARKS.iter().for_each(|(name, shows)| eprintln!("  {name:<12} {shows}"));
        eprintln!("with `backends`, these: {}", backends::KINDS.join(", "));
        return ExitCode::from(2);
    }
    for (name, shows) in BENCHMARKS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("{name}: {shows}");
            run(name, &kinds).await;
            println!();
        }
    }
    ExitCode::SUCCESS
}

/// Whether it is a backend, and not a benchmark.
fn is_kind(word: &str) -> bool {
    backends::KINDS.contains(&word)
}

async fn run(name: &str, kinds: &[String]) {
    match name {
        "forwarder" => throughput::against_forwarder().await,
        "filter" => throughput::with_against_without_filter().await,
        "fsync" => throughput::fsync_always_against_never().await,
        "seeing" => throughput::seen_against_unseen().await,
        "routes" => routes::many_against_few().await,
        "swap" => routes::swap_under_load().await,
        "languages" => languages::side_by_side(),
        "saved" => saved::to_swapped().await,
        "backends" => backends::against_hand(kinds).await,
        "one-down" => one_down::one_against_none().await,
        _ => footprint::memory_and_start().await,
    }
}
