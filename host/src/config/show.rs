//! The effective settings with secrets hidden.

use serde_json::Value;

use super::Settings;

const HIDDEN: &str = "(hidden)";
const SECRETS: [&str; 9] =
    ["password", "secret", "token", "api_key", "bearer", "credential", "sasl_username", "private", "nkey"];

/// The settings as JSON; passwords in urls, tokens, keys and header values are hidden.
pub fn show(settings: &Settings) -> Value {
    // Settings are maps, lists and scalars: this cannot fail.
    let mut json = serde_json::to_value(settings).unwrap_or_default();
    hide(&mut json, "");
    json
}

fn hide(json: &mut Value, key: &str) {
    let secret = SECRETS.iter().any(|word| key.to_lowercase().contains(word)) || key == "headers";
    match json {
        Value::Object(map) if key == "headers" => map.values_mut().for_each(|value| *value = HIDDEN.into()),
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| hide(value, key)),
        // Whose tokens there are is no secret.
        Value::Array(items) if key == "tokens" => items.iter_mut().for_each(|item| hide(item, "token")),
        Value::Array(items) if secret => items.iter_mut().for_each(|item| *item = HIDDEN.into()),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, key)),
        Value::String(text) if secret && !text.is_empty() => *text = HIDDEN.into(),
        Value::String(text) => {
            if let Some(shown) = without_password(text) {
                *text = shown;
            }
        }
        _ => {}
    }
}

/// `redis://user:password@host` as `redis://user:(hidden)@host`. What stands there alone may be a token.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let (userinfo, _) = authority.rsplit_once('@')?;
    let shown = userinfo.split_once(':').map_or(HIDDEN.into(), |(user, _)| format!("{user}:{HIDDEN}"));
    Some(format!("{scheme}://{shown}{}", &rest[userinfo.len()..]))
}
