//! What a swap would refuse, found without a host.

use super::candidate::{Candidate, Workshop};
use super::privacy::Privacy;
use super::{cache_directory, lanes};
use crate::config::{self, Settings};
use crate::plugins::Engine;
use crate::registry;

/// Pulls plugins that are not kept yet, loads them, starts steps, runs the cases beside plugins and reads the settings of the
/// dead letters' backend; connects to no backend. Those of the other backends are [`config::Loaded::check_backends`]', which knows their places. Blocks.
///
/// # Errors
/// Every problem at once, each a sentence that names what it is about, and the mend.
pub fn check(settings: &Settings) -> Result<Candidate, Vec<String>> {
    let engine = Engine::new(Some(&cache_directory(settings))).map_err(|error| vec![error.to_string()])?;
    let workshop = Workshop::for_trial(engine);
    let prepared = registry::fetch(settings).and_then(|()| workshop.prepare(settings));
    let mut problems = prepared.as_ref().err().cloned().unwrap_or_default();
    let enabled = settings.events.as_ref().is_some_and(|events| events.enabled);
    // Of a host that publishes nothing no backend is opened.
    if let Some(spec) = config::dead_letter_backend(settings).filter(|_| enabled) {
        problems.extend(lanes::open_letters(&spec, &settings.host.data).err());
    }
    problems.extend(Privacy::new(&settings.privacy).err().map(|problem| format!("privacy: {problem}")));
    if problems.is_empty() { prepared } else { Err(problems) }
}
