//! Says how many events its instance has seen.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest {
    seen: u32,
}

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self { seen: 0 })
    }

    fn keep(&mut self, _: &Event) -> Result<Verdict, Error> {
        self.seen += 1;
        Err(Error::permanent(self.seen.to_string()))
    }
}

stagewire_plugin::filter!(Guest);
