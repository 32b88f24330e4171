//! Takes memory until it is stopped.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let mut hoard = Vec::new();
        while event.kind() == "bomb" {
            hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
        Ok(Verdict::Keep)
    }
}

stagewire_plugin::filter!(Guest);
