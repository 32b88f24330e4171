//! That a settings schema says what the settings are.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// For a plugin's own tests: whether the schema describes exactly the keys that `S` takes.
///
/// # Errors
/// What is wrong with the schema: it is not JSON, permits unknown keys, lacks or invents a key, does not describe one,
/// or says neither that it is required nor what it is by default.
pub fn check_schema<S: DeserializeOwned>(schema: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("it is not JSON: {error}"))?;
    if schema["type"] != "object" || schema["additionalProperties"] != false {
        return Err(
            "it permits unknown keys: say `\"type\": \"object\", \"additionalProperties\": false`".into()
        );
    }
    let properties = schema["properties"].as_object().ok_or("it has no `properties`")?;
    let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
    let refusal = serde_json::from_str::<S>(r#"{"?":0}"#).err().ok_or("the settings take unknown keys")?;
    let refusal = refusal.to_string();
    let mut taken: Vec<&str> = refusal.split('`').skip(3).step_by(2).collect();
    described.sort_unstable();
    taken.sort_unstable();
    if described != taken {
        return Err(format!("it describes {described:?}, the settings take {taken:?}"));
    }
    for (name, property) in properties {
        if property["description"].as_str().is_none_or(str::is_empty) {
            return Err(format!("`{name}` has no description"));
        }
        let required = schema["required"].as_array().is_some_and(|keys| keys.iter().any(|key| key == name));
        if required == property.get("default").is_some() {
            return Err(format!("`{name}` must either be required or have a default"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        least: u64,
        #[serde(default)]
        most: u64,
    }

    /// What is wrong with a schema of these properties.
    fn wrong(properties: &str) -> String {
        let head = r#""type":"object","additionalProperties":false,"required":["least"]"#;
        let schema = format!(r#"{{{head},"properties":{{{properties}}}}}"#);
        check_schema::<Settings>(&schema).err().unwrap_or_default()
    }

    #[test]
    fn a_schema_describes_every_setting_and_no_other() {
        let least = r#""least":{"description":"The least."}"#;
        let most = r#""most":{"description":"The most.","default":0}"#;
        assert_eq!(wrong(&format!("{least},{most}")), "");
        assert_eq!(wrong(least), r#"it describes ["least"], the settings take ["least", "most"]"#);
        let other = most.replace("\"most\"", "\"moist\"");
        assert!(wrong(&format!("{least},{other}")).contains(r#"["least", "moist"]"#));
        let mute = r#""most":{"default":0}"#;
        assert_eq!(wrong(&format!("{least},{mute}")), "`most` has no description");
        let neither = r#""most":{"description":"The most."}"#;
        assert_eq!(wrong(&format!("{least},{neither}")), "`most` must either be required or have a default");
    }

    #[test]
    fn unknown_keys_are_for_nobody() {
        assert!(check_schema::<Settings>("{").unwrap_err().contains("not JSON"));
        assert!(check_schema::<Settings>("{}").unwrap_err().contains("permits unknown keys"));
        let open = r#"{"type":"object","additionalProperties":false,"properties":{}}"#;
        assert_eq!(check_schema::<Value>(open).unwrap_err(), "the settings take unknown keys");
    }
}
