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
    pub(super) build: fn(&Project) -> Built,
}

/// A plugin's name and its component.
pub(super) type Built = Result<(String, Vec<u8>), String>;

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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_below(directory: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_project_carries_every_file_of_its_sdk() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, place, part) in [
            ("rust", "plugins/sdk", "src"),
            ("python", "sdk/python/stagewire", ""),
            ("javascript", "sdk/javascript/stagewire", ""),
            ("go", "sdk/go", ""),
            ("c", "sdk/c/stagewire", ""),
        ] {
            let language = LANGUAGES.iter().find(|language| language.name == name).unwrap();
            for file in files_below(&root.join(place).join(part)) {
                let path = file.strip_prefix(root.join(place)).unwrap().to_str().unwrap();
                let is_test = path.ends_with("_test.go") || path.contains("__pycache__");
                assert!(is_test || language.sdk.iter().any(|(known, _)| *known == path), "{name}: {path}");
            }
        }
    }
}
