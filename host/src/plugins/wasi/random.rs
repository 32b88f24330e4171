//! `wasi:random`: numbers that an event meets each time that it passes, or with the grant numbers that nobody foresees.

use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::State;
use crate::event::Event;
use crate::names::Digest;

/// The most bytes that one request may have.
const MOST: u64 = 1 << 20;

/// Where numbers come from that are not granted.
#[derive(Default)]
pub(super) struct Dice(Option<fastrand::Rng>);

impl Dice {
    /// The next call throws its own.
    pub(super) fn begin(&mut self) {
        self.0 = None;
    }

    /// What is made of them, as an id, then differs from event to event, and is the same when an event passes again.
    fn of(&mut self, event: Option<&Event>) -> &mut fastrand::Rng {
        self.0.get_or_insert_with(|| fastrand::Rng::with_seed(event.map_or(0, seed)))
    }
}

fn seed(event: &Event) -> u64 {
    let Digest(bytes) = Digest::of(format!("{}\n{}", event.source(), event.id()).as_bytes());
    bytes[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

impl State {
    fn dice(&mut self) -> &mut fastrand::Rng {
        let (wasi, event) = self.wasi_and_event();
        wasi.dice.of(event)
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        let length = usize::try_from(length.min(MOST + 1)).unwrap_or(usize::MAX);
        if length as u64 > MOST {
            return Err(Error::msg("asked for more than 1MiB of random bytes at once"));
        }
        let mut bytes = vec![0; length];
        self.dice().fill(&mut bytes);
        Ok(bytes)
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        match self.wasi().random.as_mut().filter(|_| length <= MOST) {
            Some(granted) => random::Host::get_random_bytes(granted, length),
            None => self.bytes(length),
        }
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        match &mut self.wasi().random {
            Some(granted) => random::Host::get_random_u64(granted),
            None => Ok(self.dice().u64(..)),
        }
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        random::Host::get_random_bytes(self, length)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        random::Host::get_random_u64(self)
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((random::Host::get_random_u64(self)?, random::Host::get_random_u64(self)?))
    }
}
