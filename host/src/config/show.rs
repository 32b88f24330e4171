//! The effective settings with secrets hidden.

use serde_json::Value as Json;

use super::secrets::{self, HIDDEN};
use super::tree::Value;
use super::{Loaded, Settings};

/// The settings as JSON; passwords in urls, tokens, keys, header values and what came from files of secrets are hidden.
pub fn show(loaded: &Loaded) -> Json {
    let mut json = show_settings(&loaded.settings);
    let mut found = Vec::new();
    loaded.tree.secrets(&mut Vec::new(), &mut found);
    for (way, node) in found {
        let Value::Scalar { shown: Some(shown), .. } = &node.value else { continue };
        if let Some(value) = at(&mut json, &way) {
            *value = shown.as_str().into();
        }
    }
    json
}

/// As [`show`], of settings whose file is not at hand.
pub(super) fn show_settings(settings: &Settings) -> Json {
    // Settings are maps, lists and scalars: this cannot fail.
    let mut json = serde_json::to_value(settings).unwrap_or_default();
    hide(&mut json, "");
    json
}

fn at<'a>(json: &'a mut Json, way: &[String]) -> Option<&'a mut Json> {
    way.iter().try_fold(json, |json, part| match json {
        Json::Object(map) => map.get_mut(part),
        Json::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Hides what stands there and is secret by its key, by the form of a url, or because it is known as one.
pub(super) fn hide(json: &mut Json, key: &str) {
    // The user of SASL is an API key, half of the credentials, where Kafka is a service.
    let secret = secrets::is_secret(key) || key == "headers" || key == "sasl_username";
    match json {
        Json::Object(map) if key == "headers" => map.values_mut().for_each(|value| *value = HIDDEN.into()),
        Json::Object(map) => map.iter_mut().for_each(|(key, value)| hide(value, key)),
        Json::Array(items) if secret => items.iter_mut().for_each(|item| *item = HIDDEN.into()),
        Json::Array(items) => items.iter_mut().for_each(|item| hide(item, key)),
        Json::String(text) if secret && !text.is_empty() => *text = HIDDEN.into(),
        Json::String(text) => {
            let shown = secrets::without(text, secrets::within(text));
            *text = secrets::hidden(shown);
        }
        _ => {}
    }
}
