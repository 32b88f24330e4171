//! The languages that plugins are written in: one file each, one line in [`LANGUAGES`].

mod c;
mod go;
mod javascript;
mod manifest;
mod project;
mod python;
mod rust;
mod toolchain;
mod typescript;

pub(super) use manifest::Manifest;
pub(super) use project::Project;

/// All of them, as `--lang` names them.
pub(super) const LANGUAGES: &[Language] =
    &[rust::RUST, python::PYTHON, javascript::JAVASCRIPT, typescript::TYPESCRIPT, go::GO, c::C];

/// A file by its path in a project, and its text.
type File = (&'static str, &'static str);

/// What is known of a language.
pub(super) struct Language {
    /// As `--lang` says.
    pub(super) name: &'static str,
    /// The file by which a project is known to be written in it.
    pub(super) mark: &'static str,
    /// The example filter, which a new project begins as.
    pub(super) filter: &'static [File],
    /// The example transform.
    pub(super) transform: &'static [File],
    /// The SDK, which a project carries in `stagewire/`.
    pub(super) sdk: &'static [File],
    /// How the examples refer to the SDK.
    sdk_of_examples: &'static str,
    /// What to type in a new project.
    pub(super) next: &'static [&'static str],
    /// Makes a component of a project, under its name.
    pub(super) build: fn(&Project) -> Result<(String, Vec<u8>), String>,
}

impl Language {
    /// What stands in a new project's file of that text.
    pub(super) fn named(&self, text: &str, name: &str) -> String {
        let text = text.replace("example-filter", name).replace("example-transform", name);
        if self.sdk_of_examples.is_empty() { text } else { text.replace(self.sdk_of_examples, "./stagewire") }
    }
}

/// Files of the repository, as `(path in the project, text)`.
macro_rules! files {
    ($place:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../../", $place, "/", $name)))),+]
    };
}
use files;
