//! Logs a thousand lines for an event.

use stagewire_plugin::{Error, Event, Filter, Level, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        for line in 0..1000 {
            stagewire_plugin::log(Level::Info, &format!("line {line} for {}", event.id()));
        }
        Ok(Verdict::Keep)
    }
}

stagewire_plugin::filter!(Guest);
