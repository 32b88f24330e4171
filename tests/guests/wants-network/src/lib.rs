//! A filter that imports what no plugin is given.

wit_bindgen::generate!({
    inline: "
        package wasi:http@0.2.0;

        interface outgoing-handler {
            handle: func() -> u32;
        }

        world reaches-out {
            import outgoing-handler;
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
        match wasi::http::outgoing_handler::handle() {
            0 => Ok(Verdict::Keep),
            _ => Err(Error::Permanent("no network".into())),
        }
    }
}

export!(Guest);
