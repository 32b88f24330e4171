//! Plugins from OCI registries: named by a digest, pulled once, and checked whenever they are used.
//!
//! [`fetch`] pulls what settings name and the [`Store`] does not have; nothing else goes to the network for the host, and what is
//! in the store is read without it. Who only reads it needs no registry. [`Remote`] is also what the commands pull and push by.

mod access;
mod docker;
mod image;
mod manifest;
mod remote;
mod signature;
mod store;
mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

pub use access::{Access, Login};
pub use image::{Image, names_registry, reference};
pub use remote::{Artifact, Remote};
pub use signature::{PublicKey, signature_file};
pub use store::{Store, Unfit};

use access::fitting;

use crate::config::Settings;
use crate::config::settings::{Plugins, Step};
use crate::names::PluginName;

/// The key that a plugin in a registry must be signed by, if any.
pub fn key_file<'a>(plugins: &'a Plugins, image: &Image) -> Option<&'a Path> {
    let fitting = fitting(&plugins.registries, image.reference());
    let own = fitting.into_iter().find_map(|registry| registry.public_key.as_deref());
    own.or(plugins.public_key.as_deref())
}

/// Checks what was pulled for a command, by the key in that file.
///
/// # Errors
/// That it is not signed by it.
pub async fn check_signature(remote: &Remote, artifact: &Artifact, key: &PublicKey) -> Result<(), String> {
    let proofs = remote.signatures(artifact.digest()).await?;
    signature::check(&proofs, key, artifact.digest())
}

/// Pulls the plugins that steps use and that are not kept yet, with their signatures. Blocks, and must be on a thread that may.
///
/// # Errors
/// Every one that cannot be had, each a sentence that names the plugin and the mend.
pub fn fetch(settings: &Settings) -> Result<(), Vec<String>> {
    let wanted = wanted(settings);
    if wanted.is_empty() {
        return Ok(());
    }
    let cannot = |error: std::io::Error| vec![format!("cannot pull plugins: {error}")];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let store = Store::of(&settings.host.data);
    let pulls = wanted.iter().map(|(name, image)| fetch_one(&settings.plugins, &store, name, image));
    let done = runtime.block_on(futures_util::future::join_all(pulls));
    let problems: Vec<_> = done.into_iter().filter_map(Result::err).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    store.tidy(&wanted.into_values().collect::<Vec<_>>());
    Ok(())
}

fn wanted(settings: &Settings) -> BTreeMap<&PluginName, &Image> {
    let steps = settings.routes.iter().flat_map(|route| &route.steps);
    let used = steps.flat_map(Step::plugins);
    used.filter_map(|(_, name)| settings.plugins.pull.get_key_value(name)).collect()
}

async fn fetch_one(plugins: &Plugins, store: &Store, name: &PluginName, image: &Image) -> Result<(), String> {
    let of = |problem: String| format!("plugin {name}: cannot use {image}: {problem}");
    let key = key_file(plugins, image).map(PublicKey::read).transpose().map_err(of)?;
    let Err(known) = store.read(image, key.as_ref()) else { return Ok(()) };
    if let Unfit::Damaged(what) = &known {
        tracing::warn!(plugin = %name, "{what}; pulling it again");
    }
    let begin = Instant::now();
    let access = Access::of(plugins, image.reference());
    let remote = Remote::new(access, image.reference().clone()).map_err(of)?;
    if !matches!(known, Unfit::Unsigned(_)) {
        let artifact = remote.pull().await.map_err(of)?;
        store.keep(image, &artifact).map_err(of)?;
        let (bytes, took_ms) =
            (artifact.wasm.len(), u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::info!(plugin = %name, from = %image, bytes, took_ms, "pulled");
    }
    if let Some(key) = &key {
        let proofs = remote.signatures(image.digest()).await.map_err(|problem| match &known {
            // A newer signature might have helped; this is what is wrong.
            Unfit::Unsigned(why) => of(format!("{why} (signatures cannot be pulled anew: {problem})")),
            _ => of(problem),
        })?;
        signature::check(&proofs, key, image.digest()).map_err(of)?;
        store.keep_signatures(image, &proofs).map_err(of)?;
    }
    Ok(())
}
