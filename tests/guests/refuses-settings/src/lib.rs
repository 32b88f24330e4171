//! Accepts no settings.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest {}

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Err("these settings are never right".into())
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let _ = event;
        Ok(Verdict::Keep)
    }
}

stagewire_plugin::filter!(Guest);
