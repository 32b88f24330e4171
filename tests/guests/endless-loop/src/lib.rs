//! Never answers an event of type loop.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let mut turns = 0_u64;
        while event.kind() == "loop" {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
        Ok(Verdict::Keep)
    }
}

stagewire_plugin::filter!(Guest);
