//! Traps on an event of type trap, and on every event that follows a poison.

use std::sync::atomic::{AtomicBool, Ordering};

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        if event.kind() == "poison" {
            POISONED.store(true, Ordering::Relaxed);
        }
        if event.kind() == "trap" || event.kind() != "poison" && POISONED.load(Ordering::Relaxed) {
            panic!("as asked");
        }
        Ok(Verdict::Keep)
    }
}

static POISONED: AtomicBool = AtomicBool::new(false);

stagewire_plugin::filter!(Guest);
