//! Stamps the extension version with its settings' `version`.

use stagewire_plugin::{Emitter, Error, Event, Transform};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    version: String,
}

struct Guest(Settings);

impl Transform for Guest {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        // A build may bring its own: two files that differ, for tests of swapping.
        let version = option_env!("STAMP_VERSION").unwrap_or(&self.0.version);
        out.edit(event).set("version", version)
    }
}

stagewire_plugin::transform!(Guest);
