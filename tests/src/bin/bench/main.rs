//! `cargo xtask bench`: the host beside something else, in one run, by medians of alternating rounds.

mod backends;
mod contenders;
mod figures;
mod footprint;
mod one_down;
mod routes;
mod sink;
mod throughput;

use std::process::ExitCode;

/// Every benchmark: its name, what it shows, and what runs it.
const BENCHMARKS: &[(&str, &str)] = &[
    ("forwarder", "CPU an event against a forwarder without journal or plugins"),
    ("filter", "throughput with against without a filter"),
    ("fsync", "throughput with fsync: always against never"),
    ("routes", "CPU an event with 1,000 routes against 10"),
    ("swap", "latency under load while rules are swapped, and how soon they are active"),
    ("footprint", "memory with ten plugins, and time to ready"),
    ("backends", "throughput of each backend against its client library by hand"),
    ("one-down", "what three backends feel of a fourth that is down, and how it catches up"),
];

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(wrong) = names.iter().find(|name| BENCHMARKS.iter().all(|(known, _)| known != name)) {
        eprintln!("there is no benchmark {wrong:?}; the names are:");
        BENCHMARKS.iter().for_each(|(name, shows)| eprintln!("  {name:<12} {shows}"));
        return ExitCode::from(2);
    }
    for (name, shows) in BENCHMARKS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("{name}: {shows}");
            run(name).await;
            println!();
        }
    }
    ExitCode::SUCCESS
}

async fn run(name: &str) {
    match name {
        "forwarder" => throughput::against_forwarder().await,
        "filter" => throughput::with_against_without_filter().await,
        "fsync" => throughput::fsync_always_against_never().await,
        "routes" => routes::many_against_few().await,
        "swap" => routes::swap_under_load().await,
        "backends" => backends::against_hand().await,
        "one-down" => one_down::one_against_none().await,
        _ => footprint::memory_and_start().await,
    }
}
