//! A filter that imports what no plugin is given.

wit_bindgen::generate!({
    inline: "
        package example:network@1.0.0;

        interface dialing {
            dial: func() -> u32;
        }

        world reaches-out {
            import dialing;
            export stagewire:plugin/filtering@0.1.0;
        }
    ",
    path: "../../../wit",
    generate_all,
});

use exports::stagewire::plugin::filtering::{Description, Error, Event, Guest as Filtering, Verdict};

struct Guest;

impl Filtering for Guest {
    fn describe() -> Description {
        let text = String::new;
        Description { name: text(), version: text(), description: text(), settings_schema: text() }
    }

    fn configure(_: String) -> Result<(), String> {
        Ok(())
    }

    fn keep(_: &Event) -> Result<Verdict, Error> {
        match example::network::dialing::dial() {
            0 => Ok(Verdict::Keep),
            _ => Err(Error::Permanent("no network".into())),
        }
    }
}

export!(Guest);
