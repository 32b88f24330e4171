//! `cargo xtask soak NAME`: the long campaigns.

use std::process::ExitCode;
use std::time::Instant;

use stagewire_tests::campaigns::{Findings, Length, hostile, kill, swap};

const USAGE: &str = "usage: soak kill|swap|hostile|all [--short]";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, length) = match words[..] {
        [name] => (name, Length::Full),
        [name, "--short"] | ["--short", name] => (name, Length::Short),
        _ => return usage(),
    };
    let names = match name {
        "all" => vec!["kill", "swap", "hostile"],
        "kill" | "swap" | "hostile" => vec![name],
        _ => return usage(),
    };
    for name in names {
        let begin = Instant::now();
        println!("{name}");
        print!("{}", campaign(name, length).await);
        println!("  {:<28} {:.0?}\n", "time", begin.elapsed());
    }
    ExitCode::SUCCESS
}

async fn campaign(name: &str, length: Length) -> Findings {
    match name {
        "kill" => kill::run(length).await,
        "swap" => swap::run(length).await,
        _ => hostile::run(length).await,
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
