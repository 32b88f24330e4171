//! `stagewire plugin new`: a project that builds, with a test.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::languages::{LANGUAGES, Language};

/// Begin a plugin: a project that builds, with a sample test
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewire plugin new my-filter --lang python --kind filter\n  stagewire plugin new plugins/stamp --lang go --kind transform"
)]
pub(super) struct New {
    /// The directory to make; its last part is the plugin's name
    directory: PathBuf,
    /// The language
    #[arg(long, value_parser = PossibleValuesParser::new(LANGUAGES.iter().map(|language| language.name)))]
    lang: String,
    /// What it does
    #[arg(long, value_enum, default_value_t = Kind::Filter)]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Keeps or drops an event
    Filter,
    /// Hands out none, one or several events for one
    Transform,
}

const GITIGNORE: &str = "target/\nnode_modules/\n.venv/\n__pycache__/\n.pytest_cache/\n";

impl New {
    pub(super) fn run(&self) -> Result<(), String> {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check(&name)?;
        if self.directory.exists() {
            return Err(format!("{} is there already; name another directory", self.directory.display()));
        }
        let language = LANGUAGES.iter().find(|language| language.name == self.lang);
        let language = language.ok_or_else(|| format!("there is no language {}", self.lang))?;
        for (path, text) in files(language, self.kind, &name) {
            write(&self.directory.join(path), &text)?;
        }
        println!("{} is a {} in {}. Next:", self.directory.display(), self.kind.word(), language.name);
        println!("  cd {}", self.directory.display());
        language.next.iter().for_each(|step| println!("  {step}"));
        println!("  stagewire plugin build");
        Ok(())
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Transform => "transform",
        }
    }
}

/// The files of a new project: the example of that kind under another name, and the SDK.
fn files(language: &Language, kind: Kind, name: &str) -> Vec<(PathBuf, String)> {
    let example = match kind {
        Kind::Filter => language.filter,
        Kind::Transform => language.transform,
    };
    let own = example.iter().map(|(path, text)| (PathBuf::from(path), language.named(text, name)));
    let sdk = language.sdk.iter().map(|(path, text)| {
        // The Rust SDK's own place in the repository.
        (Path::new("stagewire").join(path), text.replace("\"../../wit\"", "\"wit\""))
    });
    let ignored = (PathBuf::from(".gitignore"), GITIGNORE.to_owned());
    own.chain(sdk).chain([ignored]).collect()
}

/// A name that every language takes for a package.
fn check(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    if fits {
        Ok(())
    } else {
        Err(format!("{name:?} is no name for a plugin: a letter, then a-z, 0-9 and -"))
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    let unwritable = |error| format!("cannot write {}: {error}", file.display());
    fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).map_err(unwritable)?;
    fs::write(file, text).map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_project_names_neither_the_example_nor_a_place_of_this_repository() {
        for language in LANGUAGES {
            for kind in [Kind::Filter, Kind::Transform] {
                for (path, text) in files(language, kind, "orders") {
                    let left = ["example-filter", "example-transform", "../../../../", "\"../../wit\""];
                    assert!(
                        left.iter().all(|left| !text.contains(left)),
                        "{} {}",
                        language.name,
                        path.display()
                    );
                }
            }
        }
    }

    #[test]
    fn names_that_some_language_refuses_are_refused() {
        assert!(["orders", "a-2"].into_iter().all(|name| check(name).is_ok()));
        assert!(["", "2a", "A", "a b", "a/b", "ü"].into_iter().all(|name| check(name).is_err()));
    }
}
