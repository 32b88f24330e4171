//! What a network does between the host and its broker: it slows down, breaks, and swallows what it was given.
//!
//! The host reaches its broker through a proxy that injects faults; what arrived is read from the broker itself.

use std::fmt;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;

use super::{Choice, Findings, Length, Outcomes, each_backend};
use crate::Host;
use crate::arrival;
use crate::brokers::{self, Broker};
use crate::checker::Verdict;
use crate::load::{Load, Running};
use crate::toxiproxy::{Shut, Toxic, Toxiproxy, Way};

/// Random schedules for each backend: twenty over all.
const SCHEDULES: u32 = 4;

/// One thing that a network does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Answers come late, by that and up to as much again.
    Latency(Duration),
    /// So many kilobytes a second, each way.
    Bandwidth(u32),
    /// Connections are reset after that time.
    Reset(Duration),
    /// A share of the connections gets no answers any more, and nobody is told; others are well.
    HalfOpen(f64),
    /// Nothing passes, and nobody is told.
    BlackHole,
    /// Nobody listens.
    Away,
}

impl Fault {
    /// One of each that the promises name.
    const NAMED: [Self; 5] = [
        Self::Latency(Duration::from_millis(500)),
        Self::Bandwidth(1),
        Self::Reset(Duration::from_millis(50)),
        Self::HalfOpen(0.5),
        Self::BlackHole,
    ];

    fn any(random: &mut Rng) -> Self {
        match random.u8(0..6) {
            0 => Self::Latency(Duration::from_millis(random.u64(10..1_500))),
            1 => Self::Bandwidth(random.u32(1..64)),
            2 => Self::Reset(Duration::from_millis(random.u64(0..500))),
            3 => Self::HalfOpen(f64::from(random.u8(3..9)) / 10.0),
            4 => Self::BlackHole,
            _ => Self::Away,
        }
    }

    async fn befalls(self, proxy: &Toxiproxy) {
        let both = [Way::There, Way::Back];
        let (kind, ways, share, attributes) = match self {
            Self::Latency(time) => {
                let late = time.as_millis();
                ("latency", &both[1..], 1.0, json!({ "latency": late + late / 2, "jitter": late / 2 }))
            }
            Self::Bandwidth(rate) => ("bandwidth", &both[..], 1.0, json!({ "rate": rate })),
            Self::Reset(after) => ("reset_peer", &both[..], 1.0, json!({ "timeout": after.as_millis() })),
            Self::HalfOpen(share) => ("timeout", &both[1..], share, json!({ "timeout": 0 })),
            Self::BlackHole => ("timeout", &both[..], 1.0, json!({ "timeout": 0 })),
            Self::Away => return proxy.shut(Shut::Yes).await,
        };
        for way in ways {
            proxy.add(&Toxic { kind, way: *way, share, attributes: attributes.clone() }).await;
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(time) => write!(f, "latency {time:?}"),
            Self::Bandwidth(rate) => write!(f, "bandwidth {rate} KB/s"),
            Self::Reset(after) => write!(f, "reset after {after:?}"),
            Self::HalfOpen(share) => write!(f, "half-open {share}"),
            Self::BlackHole => write!(f, "black hole"),
            Self::Away => write!(f, "nobody there"),
        }
    }
}

/// Faults that follow each other, with peace between them.
struct Schedule(Vec<(Fault, Duration, Duration)>);

impl Schedule {
    fn any(whole: Duration, longest: Duration, random: &mut Rng) -> Self {
        let (mut steps, mut left) = (Vec::new(), whole);
        while !left.is_zero() {
            let mut some = |most: Duration| {
                let time = most.mul_f64(random.f64()).min(left);
                left -= time;
                time
            };
            let (fault, peace) = (some(longest), some(longest / 3));
            steps.push((Fault::any(random), fault, peace));
        }
        Self(steps)
    }

    async fn runs(&self, proxy: &Toxiproxy) {
        for (fault, time, peace) in &self.0 {
            fault.befalls(proxy).await;
            tokio::time::sleep(*time).await;
            proxy.heal().await;
            tokio::time::sleep(*peace).await;
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.0.iter().map(|(fault, time, _)| format!("{fault} for {:.1} s", time.as_secs_f64()));
        f.write_str(&steps.collect::<Vec<_>>().join(", "))
    }
}

/// Each backend behind a network that misbehaves.
///
/// # Panics
/// If an acknowledged event is lost, or a key's order is broken.
pub async fn run(length: Length, choice: &Choice) -> Findings {
    let mut findings = Findings::default();
    findings.add("seed", choice.seed);
    let mut outcomes = Outcomes::default();
    each_backend!(choice, |name, Backend| {
        // Each backend's schedules are its own, so that one can be repeated alone.
        let mut random = Rng::with_seed(choice.seed ^ name.bytes().map(u64::from).sum::<u64>());
        outcomes.add(name, Box::pin(against::<Backend>(length, &mut random))).await;
    });
    outcomes.conclude(findings)
}

/// One backend behind such a network.
pub async fn against<B: Broker>(length: Length, random: &mut Rng) -> Verdict {
    let proxy = Toxiproxy::start().await;
    let broker = B::behind(proxy.door()).await;
    let config = broker.config(B::CONTENTS[0], "");
    let here = brokers::address(&config);
    proxy.leads_to(here).await;
    let settings = brokers::events(B::KIND, &config.replace(&here.to_string(), &proxy.door().to_string()));
    let host = Host::with(settings).host("delivery: { retry_max: 2s }").start().await;
    let pace = length.pick(Duration::from_millis(5), Duration::from_millis(20));
    let load = Load::on(host.ingress()).connections(8).pace(pace).with_ledger().start();
    load.flows(100).await;
    if length == Length::Full {
        for fault in Fault::NAMED {
            let steps = vec![(fault, Duration::from_secs(30), Duration::ZERO)];
            suffers::<B>(&Schedule(steps), &proxy, &host, &load).await;
        }
    }
    for _ in 0..length.pick(1, SCHEDULES) {
        let (whole, longest) = length.pick((3, 1), (60, 15));
        let schedule = Schedule::any(Duration::from_secs(whole), Duration::from_secs(longest), random);
        suffers::<B>(&schedule, &proxy, &host, &load).await;
    }
    let report = load.stop().await;
    arrival::of(&broker, &host, &report.ledger).await
}

async fn suffers<B: Broker>(schedule: &Schedule, proxy: &Toxiproxy, host: &Host, load: &Running) {
    let before = load.acknowledged();
    schedule.runs(proxy).await;
    let (owed, healed) = (load.acknowledged(), Instant::now());
    arrival::has_done(host, owed).await;
    println!(
        "  {:<14} {} events accepted meanwhile, delivered {:.1} s after: {schedule}",
        B::KIND,
        owed - before,
        healed.elapsed().as_secs_f64()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_again() {
        let schedule = |seed| {
            let minute = Duration::from_mins(1);
            Schedule::any(minute, Duration::from_secs(15), &mut Rng::with_seed(seed))
        };
        assert_eq!(schedule(1).to_string(), schedule(1).to_string());
        assert_ne!(schedule(1).to_string(), schedule(2).to_string());
        let whole: Duration = schedule(1).0.iter().map(|(_, time, peace)| *time + *peace).sum();
        assert_eq!(whole, Duration::from_mins(1));
    }
}
