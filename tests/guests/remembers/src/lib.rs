//! Keeps state, as the type of the event asks for: counts, claims its subject, looks once or a hundred times, or writes and then
//! breaks.

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict, state};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let key = event.subject().unwrap_or_default();
        match event.kind().as_str() {
            "claim" => {
                Ok(if state::claim(&key, None)? { Verdict::Keep } else { Verdict::drop("claimed before") })
            }
            "get" => {
                state::get(&key);
                Ok(Verdict::Keep)
            }
            "gets" => {
                (0..100).for_each(|_| _ = state::get(&key));
                Ok(Verdict::Keep)
            }
            kind => {
                let seen = state::get(&key).map_or(0, |value| value.len());
                state::set(&key, &vec![0; seen + 1], None)?;
                match kind {
                    "fail" => Err(Error::permanent("after a write")),
                    "trap" => panic!("after a write"),
                    _ => Ok(Verdict::drop(format!("seen {seen} before"))),
                }
            }
        }
    }
}

stagewire_plugin::filter!(Guest);
