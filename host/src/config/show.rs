//! The effective settings with secrets hidden.

use serde_json::Value as Json;

use super::Loaded;
use super::secrets::HIDDEN;
use super::tree::Value;

/// The settings as JSON; passwords in urls, tokens, keys, header values and what came from files of secrets are hidden.
pub fn show(loaded: &Loaded) -> Json {
    // Settings are maps, lists and scalars: this cannot fail.
    let mut json = serde_json::to_value(&loaded.settings).unwrap_or_default();
    let mut found = Vec::new();
    loaded.tree.secrets(&mut Vec::new(), &mut found);
    for (way, node) in found {
        let Value::Scalar { shown: Some(shown), .. } = &node.value else { continue };
        if let Some(value) = at(&mut json, &way) {
            *value = shown.as_str().into();
        }
    }
    hide_user(&mut json);
    json
}

fn at<'a>(json: &'a mut Json, way: &[String]) -> Option<&'a mut Json> {
    way.iter().try_fold(json, |json, part| match json {
        Json::Object(map) => map.get_mut(part),
        Json::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The user of SASL is an API key, half of the credentials, where Kafka is a service.
fn hide_user(json: &mut Json) {
    match json {
        Json::Object(map) => map.iter_mut().for_each(|(key, value)| match value {
            Json::String(text) if key == "sasl_username" && !text.is_empty() => *text = HIDDEN.into(),
            other => hide_user(other),
        }),
        Json::Array(items) => items.iter_mut().for_each(hide_user),
        _ => {}
    }
}
