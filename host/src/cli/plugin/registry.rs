//! `stagewire plugin pull` and `push`, and how commands reach a registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::{engine, load, print_json};
use crate::names::PluginName;
use crate::plugins::{Engine, Plugin};
use crate::registry::{self, Access, Artifact, Image, Login, PublicKey, Remote};

/// How a registry is reached.
#[derive(Args, Clone, Debug)]
pub(super) struct RegistryAccess {
    /// The user of the registry; its password is taken from `STAGEWIRE_REGISTRY_PASSWORD`. By default what `docker login` has kept
    #[arg(long, value_name = "USER", env = "STAGEWIRE_REGISTRY_USER")]
    user: Option<String>,
    /// PEM file of the authority that signed the registry's certificate
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Speak no TLS to the registry; so by default at loopback
    #[arg(long)]
    plain_http: bool,
}

/// A plugin's file, or one in a registry.
#[derive(Args, Clone, Debug)]
pub(super) struct Subject {
    /// The .wasm file, or a reference: registry.example.com/team/redact:1.2
    #[arg(value_name = "FILE or REFERENCE")]
    plugin: PathBuf,
    #[command(flatten)]
    access: RegistryAccess,
}

/// Fetch a plugin from a registry into a file, and print what settings need to use it from there
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin pull registry.example.com/team/redact:1.2\n  stagewire plugin pull registry.example.com/team/redact@sha256:… --public-key cosign.pub -o plugins/redact.wasm"
)]
pub(super) struct Pull {
    /// registry.example.com/team/redact:1.2, or with a digest
    reference: String,
    /// Where to; by default the last part of the name, here
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// PEM file of the key that it must be signed by
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    access: RegistryAccess,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Put a plugin's file into a registry, and print what settings need to use it from there
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stagewire plugin push plugins/redact.wasm registry.example.com/team/redact:1.2"
)]
pub(super) struct Push {
    /// The .wasm file
    file: PathBuf,
    /// registry.example.com/team/redact:1.2
    reference: String,
    #[command(flatten)]
    access: RegistryAccess,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl RegistryAccess {
    fn remote(&self, text: &str) -> Result<Remote, String> {
        let reference = registry::reference(text)?;
        let login = self.user.clone().map(|user| {
            let password = std::env::var("STAGEWIRE_REGISTRY_PASSWORD").unwrap_or_default();
            Login { user, password }
        });
        let (ca_file, plain_http) = (self.ca_file.clone(), self.plain_http.then_some(true));
        let access = Access { login, ca_file, plain_http, helper: None }.or_as_docker(&reference);
        Remote::new(access, reference)
    }

    /// Pulls a plugin; with the reference that is pinned to what came.
    fn pull(&self, text: &str, key: Option<&Path>) -> Result<(Artifact, Image), String> {
        let remote = self.remote(text)?;
        let key = key.map(PublicKey::read).transpose()?;
        let of = |problem| format!("cannot pull {text}: {problem}");
        let artifact = blocking(async {
            let artifact = remote.pull().await.map_err(of)?;
            if let Some(key) = &key {
                registry::check_signature(&remote, &artifact, key).await.map_err(of)?;
            }
            Ok(artifact)
        })?;
        let image = Image::pinned(&registry::reference(text)?, artifact.digest());
        Ok((artifact, image))
    }
}

impl Subject {
    /// Loads the plugin; with where it is, if that is in a registry.
    pub(super) fn load(&self, engine: &Arc<Engine>) -> Result<(Arc<Plugin>, Option<Image>), String> {
        let text = self.plugin.to_string_lossy();
        if self.plugin.exists() || !registry::names_registry(&text) {
            return Ok((load(engine, &self.plugin)?, None));
        }
        let (artifact, image) = self.access.pull(&text, None)?;
        let plugin =
            Plugin::load(engine, &name_of(&image), &artifact.wasm).map_err(|error| error.to_string())?;
        Ok((plugin, Some(image)))
    }

    /// As it was given.
    pub(super) fn path(&self) -> &Path {
        &self.plugin
    }
}

impl Pull {
    pub(super) fn run(self) -> Result<(), String> {
        let (artifact, image) = self.access.pull(&self.reference, self.public_key.as_deref())?;
        let file = self.output.unwrap_or_else(|| format!("{}.wasm", name_of(&image)).into());
        std::fs::write(&file, &artifact.wasm)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        if self.json {
            let digest = crate::names::Digest::of(&artifact.wasm).to_string();
            return print_json(
                &json!({ "file": file, "reference": image, "digest": digest, "size": artifact.wasm.len() }),
            );
        }
        println!("{}: {} bytes", file.display(), artifact.wasm.len());
        println!("{}", settings(&image));
        Ok(())
    }
}

impl Push {
    pub(super) fn run(self) -> Result<(), String> {
        let reference = registry::reference(&self.reference)?;
        if reference.digest().is_some() {
            return Err(format!(
                "{} has a digest, which what is pushed gets by itself: leave it out",
                self.reference
            ));
        }
        let plugin = load(&engine()?, &self.file)?;
        let wasm = std::fs::read(&self.file)
            .map_err(|error| format!("cannot read {}: {error}", self.file.display()))?;
        let remote = self.access.remote(&self.reference)?;
        let of = |problem| format!("cannot push to {}: {problem}", self.reference);
        let digest = blocking(async { remote.push(&plugin, &wasm.into()).await.map_err(of) })?;
        let image = Image::pinned(&reference, digest);
        if self.json {
            let digest = plugin.digest.to_string();
            return print_json(
                &json!({ "file": self.file, "reference": image, "digest": digest, "size": plugin.size }),
            );
        }
        println!("{}: {} bytes", self.file.display(), plugin.size);
        println!("{}", settings(&image));
        Ok(())
    }
}

/// What a plugin from there would be called.
fn name_of(image: &Image) -> PluginName {
    image.reference().repository().rsplit('/').next().unwrap_or_default().into()
}

/// What to write to use it from the registry.
fn settings(image: &Image) -> String {
    format!("\nplugins:\n  pull:\n    {}: {image}", name_of(image))
}

fn blocking<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(work)
}
