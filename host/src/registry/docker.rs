//! What `docker login` (and `oras`, `wkg`, `cosign`) has written: credentials in `config.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::access::Login;

/// What the file has for a registry.
pub(super) enum Found {
    /// Who may enter.
    Login(Login),
    /// A helper program knows it. A host runs no other programs, so that one is not asked.
    Helper(String),
    /// Nothing.
    Nothing,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Looks a registry up where docker would.
pub(super) fn look(registry: &str) -> Found {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home);
    directory.map_or(Found::Nothing, |directory| look_in(&directory.join("config.json"), registry))
}

fn look_in(file: &Path, registry: &str) -> Found {
    let Ok(bytes) = std::fs::read(file) else { return Found::Nothing };
    let read: File = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(file = %file.display(), %error, "no credentials are read from it");
        File::default()
    });
    let entry = read.auths.iter().find(|(name, _)| is_of(name, registry));
    if let Some(login) = entry.and_then(|(_, entry)| entry.login()) {
        return Found::Login(login);
    }
    let helper = read.helpers.iter().find(|(name, _)| is_of(name, registry)).map(|(_, helper)| helper);
    helper.or(read.store.as_ref()).map_or(Found::Nothing, |helper| Found::Helper(helper.clone()))
}

/// `registry.example.com`, or as older versions write it, `https://registry.example.com/v1/`.
fn is_of(name: &str, registry: &str) -> bool {
    let name = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let name = name.trim_end_matches("/v1").trim_end_matches("/v2");
    name == registry || registry == "docker.io" && name == "index.docker.io"
}

impl Entry {
    fn login(&self) -> Option<Login> {
        if !self.username.is_empty() {
            return Some(Login { user: self.username.clone(), password: self.password.clone() });
        }
        let text = String::from_utf8(BASE64.decode(self.auth.trim()).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        // docker pads with zeros.
        let password = password.trim_end_matches('\0');
        Some(Login { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_any_way_of_writing_the_registry() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        let of = |registry: &str| match look_in(&file, registry) {
            Found::Login(Login { user, password }) => format!("{user} {password}"),
            Found::Helper(helper) => format!("asks {helper}"),
            Found::Nothing => "nothing".into(),
        };
        assert_eq!(of("a.example.com"), "nothing");
        let auth = BASE64.encode("ann:pass:word");
        let text = serde_json::json!({
            "auths": {
                "a.example.com": { "auth": auth },
                "https://b.example.com/v2/": { "username": "bob", "password": "x" },
                "https://index.docker.io/v1/": { "auth": auth },
                "c.example.com": {},
            },
            "credHelpers": { "c.example.com": "gcloud" },
        });
        std::fs::write(&file, text.to_string()).unwrap();
        assert_eq!(of("a.example.com"), "ann pass:word");
        assert_eq!(of("b.example.com"), "bob x");
        assert_eq!(of("docker.io"), "ann pass:word");
        assert_eq!(of("c.example.com"), "asks gcloud");
        assert_eq!(of("d.example.com"), "nothing");
        std::fs::write(&file, "no json").unwrap();
        assert_eq!(of("a.example.com"), "nothing");
    }
}
