//! Calls itself without end.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let depth = if event.kind() == "deep" { descend(u64::MAX) } else { 0 };
        Ok(if depth == 1 { Verdict::drop("reached the ground") } else { Verdict::Keep })
    }
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    // Neither a loop in disguise nor a user of the stack in memory: it is the call stack that must overflow.
    if depth == 0 { 0 } else { descend(depth - 1).rotate_left(3) ^ depth }
}

stagewire_plugin::filter!(Guest);
