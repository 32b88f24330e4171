//! Keeps every event but `evt_7777`.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        Ok(if event.id() == "evt_7777" { Verdict::drop("the one") } else { Verdict::Keep })
    }
}

stagewire_plugin::filter!(Guest);
