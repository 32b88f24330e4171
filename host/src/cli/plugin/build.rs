//! `stagewire plugin build`: drives the language's toolchain.

use std::path::{Path, PathBuf};

use super::languages::{LANGUAGES, Project};

/// Builds the plugin in a directory, whatever its language. Returns its file, below `target/`.
pub(super) fn run(directory: &Path) -> Result<PathBuf, String> {
    let language =
        LANGUAGES.iter().find(|language| directory.join(language.mark).is_file()).ok_or_else(|| {
            let marks: Vec<_> =
                LANGUAGES.iter().map(|language| format!("{} ({})", language.mark, language.name)).collect();
            format!("{} holds no plugin project: it has none of {}", directory.display(), marks.join(", "))
        })?;
    let (name, component) = (language.build)(&Project::open(directory)?)?;
    let file = directory.join("target").join(format!("{name}.wasm"));
    let beside = file.with_extension("new");
    // Renamed into place, so that a host that watches it sees no half of a file.
    let written = std::fs::write(&beside, component).and_then(|()| std::fs::rename(&beside, &file));
    written.map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(file)
}
