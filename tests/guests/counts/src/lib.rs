//! Counts under the type of the event, and under many names for type many; measures how long the type is.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        if event.kind() == "many" {
            (0..100).for_each(|index| stagewire_plugin::count(&format!("name{index}"), 1));
        }
        stagewire_plugin::count(&event.kind(), 2);
        stagewire_plugin::observe("length", event.kind().len() as f64);
        Ok(Verdict::Keep)
    }
}

stagewire_plugin::filter!(Guest);
