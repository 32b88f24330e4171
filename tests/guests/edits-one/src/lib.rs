//! Sets the subject, and passes an event of type pass.

use stagewire_plugin::{Emitter, Error, Event, NoSettings, Transform};

struct Guest;

impl Transform for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        if event.kind() == "pass" {
            out.pass(event);
            return Ok(());
        }
        let draft = out.edit(event);
        if event.kind() == "invalid" {
            return draft.set("source", "");
        }
        draft.set("subject", "edited")
    }
}

stagewire_plugin::transform!(Guest);
