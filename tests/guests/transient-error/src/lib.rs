//! Fails for now on type later, for good on everything else.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        match event.kind().as_str() {
            "later" => Err(Error::transient("the moon is down")),
            _ => Err(Error::permanent("not for me")),
        }
    }
}

stagewire_plugin::filter!(Guest);
