//! A transform for the interface as `wit/` beside it has it: a copy that stays as it is when the host's own moves on.

wit_bindgen::generate!({ path: "wit", world: "transform" });

use exports::stagewire::plugin::transforming::Guest;
use stagewire::plugin::emitting::Emitter;
use stagewire::plugin::event::{Event, Value};
use stagewire::plugin::host::{Level, count, log};
use stagewire::plugin::types::{Description, Error};

struct Plugin;

impl Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "interface-0-1-0".into(),
            version: "0.1.0".into(),
            description: "Stamps the subject's length".into(),
            settings_schema: String::new(),
        }
    }

    fn configure(settings: String) -> Result<(), String> {
        if settings == "{}" { Ok(()) } else { Err("there are no settings".into()) }
    }

    fn apply(event: &Event, out: &Emitter) -> Result<(), Error> {
        let length = event.subject().ok_or(Error::Permanent("no subject".into()))?.len();
        log(Level::Info, "stamped");
        count("stamped", 1);
        let draft = out.edit(event);
        draft.set("length", &Value::Integer(length as i32)).map_err(Error::Transient)
    }
}

export!(Plugin);
