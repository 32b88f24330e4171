//! `cargo xtask soak NAME`: the long campaigns.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use futures_util::FutureExt as _;
use stagewire_tests::campaigns::{BACKENDS, Choice, Findings, Length, brokers, faults, hostile, kill, swap};

const USAGE: &str = "\
usage: soak kill|swap|hostile|all [--short]
       soak faults|brokers [BACKEND ...] [--short] [--seed NUMBER]";
const NAMES: [&str; 5] = ["kill", "swap", "hostile", "faults", "brokers"];

#[tokio::main]
async fn main() -> ExitCode {
    let Some((names, length, choice)) = read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}\nbackends: {}", BACKENDS.join(", "));
        return ExitCode::from(2);
    };
    let mut failed = Vec::new();
    for name in names {
        let begin = Instant::now();
        println!("{name}");
        match AssertUnwindSafe(campaign(name, length, &choice)).catch_unwind().await {
            Ok(findings) => print!("{findings}"),
            // It has said why.
            Err(_) => failed.push(name),
        }
        println!("  {:<28} {:.0?}\n", "time", begin.elapsed());
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: a promise was broken in: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn read(words: impl Iterator<Item = String>) -> Option<(Vec<&'static str>, Length, Choice)> {
    let (mut names, mut length) = (Vec::new(), Length::Full);
    let mut choice = Choice { backends: Vec::new(), seed: fastrand::u64(..) };
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--short" => length = Length::Short,
            "--seed" => choice.seed = words.next()?.parse().ok()?,
            "all" => names.extend(NAMES),
            word if NAMES.contains(&word) => names.extend(NAMES.iter().filter(|name| **name == word)),
            word if BACKENDS.contains(&word) => choice.backends.push(word.into()),
            _ => return None,
        }
    }
    (!names.is_empty()).then_some((names, length, choice))
}

async fn campaign(name: &str, length: Length, choice: &Choice) -> Findings {
    match name {
        "kill" => kill::run(length).await,
        "swap" => swap::run(length).await,
        "faults" => faults::run(length, choice).await,
        "brokers" => brokers::run(length, choice).await,
        _ => hostile::run(length).await,
    }
}
