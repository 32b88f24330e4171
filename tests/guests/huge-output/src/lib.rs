//! Hands out bytes, or events, without end.

use stagewire_plugin::{Emitter, Error, Event, NoSettings, Transform};

struct Guest;

impl Transform for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let data = vec![b'x'; 1 << 20];
        loop {
            let draft = out.edit(event);
            if event.kind() == "bytes" {
                draft.set_bytes(&data);
            }
        }
    }
}

stagewire_plugin::transform!(Guest);
