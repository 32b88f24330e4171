//! Where the plugins' files are: in a directory, or pulled from a registry.

use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::config::settings::Plugins;
use crate::names::PluginName;
use crate::plugins::read;
use crate::registry::{self, Image, PublicKey, Store, Unfit, signature_file};

/// The plugins of some settings, by their names.
pub struct Sources<'a> {
    plugins: &'a Plugins,
    store: Store,
}

impl<'a> Sources<'a> {
    /// Those of these settings.
    pub fn of(settings: &'a Settings) -> Self {
        Self { plugins: &settings.plugins, store: Store::of(&settings.host.data) }
    }

    /// The reference of a plugin that is pulled.
    pub fn image(&self, name: &PluginName) -> Option<&'a Image> {
        self.plugins.pull.get(name)
    }

    /// A plugin's file, there or not.
    pub fn file(&self, name: &PluginName) -> PathBuf {
        match self.image(name) {
            Some(image) => self.store.wasm(image),
            None => plugin_file(&self.plugins.directory, name),
        }
    }

    /// The cases of a plugin: beside its file, or where that would be if it were not pulled.
    pub(super) fn cases(&self, name: &PluginName) -> PathBuf {
        cases_file(&plugin_file(&self.plugins.directory, name))
    }

    /// What its acceptance depends on beside its file: a signature, and the key.
    pub(super) fn proofs(&self, name: &PluginName) -> Vec<PathBuf> {
        let Some(key) = self.key_file(name) else { return Vec::new() };
        let signature = self.image(name).is_none().then(|| signature_file(&self.file(name)));
        signature.into_iter().chain([key.to_owned()]).collect()
    }

    /// Reads a plugin's file. One that was pulled is what its digest says, and it is signed where a key is demanded. Goes to no
    /// network.
    ///
    /// # Errors
    /// Why it cannot be used, and the mend.
    pub fn read(&self, name: &PluginName) -> Result<Vec<u8>, String> {
        let of = |problem: String| format!("plugin {name}: {problem}");
        let key = self.key_file(name).map(PublicKey::read).transpose().map_err(of)?;
        let Some(image) = self.image(name) else { return self.read_file(name, key.as_ref()).map_err(of) };
        self.store.read(image, key.as_ref()).map_err(|unfit| {
            of(match unfit {
                Unfit::Absent => {
                    format!("{image} is not kept here; a reload or `stagewire validate` pulls it")
                }
                Unfit::Damaged(what) => format!("{what}; a reload or `stagewire validate` pulls it again"),
                Unfit::Unsigned(why) => format!("cannot use {image}: {why}"),
            })
        })
    }

    fn read_file(&self, name: &PluginName, key: Option<&PublicKey>) -> Result<Vec<u8>, String> {
        let file = self.file(name);
        let bytes = read(&file, self.plugins.loading.size)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        key.map_or(Ok(()), |key| key.check_file(&bytes, &file))?;
        Ok(bytes)
    }

    fn key_file(&self, name: &PluginName) -> Option<&'a Path> {
        match self.image(name) {
            Some(image) => registry::key_file(self.plugins, image),
            None => self.plugins.public_key.as_deref(),
        }
    }
}

/// The cases of a plugin's file: `NAME.test.yaml` beside `NAME.wasm`.
pub fn cases_file(wasm: &Path) -> PathBuf {
    wasm.with_extension("test.yaml")
}

fn plugin_file(directory: &Path, name: &PluginName) -> PathBuf {
    directory.join(format!("{name}.wasm"))
}
