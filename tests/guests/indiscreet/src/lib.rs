//! Says what is in its settings wherever it can: in its log, in reasons, and in the refusal of settings.

use stagewire_plugin::{Error, Event, Filter, Level, Verdict};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    api_token: String,
    #[serde(default)]
    refuse: bool,
}

struct Guest(Settings);

impl Filter for Guest {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        stagewire_plugin::log(Level::Warn, &format!("configured with {:?}", settings.api_token));
        if settings.refuse { Err(format!("{} will not do", settings.api_token)) } else { Ok(Self(settings)) }
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let token = &self.0.api_token;
        stagewire_plugin::log(Level::Info, &format!("{} is seen with {token}", event.id()));
        match event.kind().rsplit('.').next() {
            Some("started") => Ok(Verdict::Drop(format!("{token} does not like it"))),
            Some("completed") => Err(Error::Permanent(format!("{token} cannot work with it"))),
            _ => Ok(Verdict::Keep),
        }
    }
}

stagewire_plugin::filter!(Guest);
