//! Python: componentize-py, which packs an interpreter with the plugin's modules.

use std::process::Command;

use serde::Deserialize;

use super::manifest::Stagewire;
use super::{Language, Manifest, Project, files, toolchain};

pub(super) const PYTHON: Language = Language {
    name: "python",
    mark: "plugin.py",
    filter: files!("examples/plugins/python/filter": "pyproject.toml", "plugin.py", "test_plugin.py"),
    transform: files!("examples/plugins/python/transform": "pyproject.toml", "plugin.py", "test_plugin.py"),
    sdk: files!("sdk/python/stagewire":
        "__init__.py", "emitter.py", "errors.py", "event.py", "export.py", "host.py", "plugin.py", "settings.py",
        "stand_in.py", "state.py", "testing.py", "wit.py",
    ),
    sdk_of_examples: "",
    next: &[
        "python3 -m venv .venv && . .venv/bin/activate",
        "pip install componentize-py==0.25.1 pytest",
        "pytest",
    ],
    build,
};

const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1";

fn build(project: &Project) -> Result<(String, Vec<u8>), String> {
    let manifest = manifest(project)?;
    let program = toolchain::program(project, "componentize-py")
        .ok_or_else(|| toolchain::missing("componentize-py", INSTALL))?;
    let entry = project.write("entry/stagewire_entry.py", entry(&manifest))?;
    let made = project.target.join("componentized.wasm");
    let mut componentize = Command::new(program);
    componentize
        .arg("--quiet")
        .arg("--wit-path")
        .arg(project.write_interface()?)
        .args(["--world", &manifest.world]);
    componentize.args(["componentize", "--stub-wasi", "--output"]).arg(&made);
    for place in [entry.parent(), Some(&*project.root), project.sdk()?.parent()].into_iter().flatten() {
        componentize.arg("--python-path").arg(place);
    }
    componentize.arg("stagewire_entry").current_dir(&project.root);
    // Otherwise an exception of the plugin's comes with pages of componentize-py's own frames.
    componentize.env("RUST_BACKTRACE", "0").env("PYTHONDONTWRITEBYTECODE", "1");
    toolchain::run(&mut componentize, INSTALL)?;
    Ok((manifest.name, Project::made(&made)?))
}

#[derive(Deserialize)]
struct PyProject {
    project: Manifest,
    #[serde(default)]
    tool: Tools,
}

#[derive(Default, Deserialize)]
struct Tools {
    #[serde(default)]
    stagewire: Stagewire,
}

fn manifest(project: &Project) -> Result<Manifest, String> {
    let wrong = |error: toml::de::Error| format!("pyproject.toml: {}", error.message());
    let PyProject { project: mut manifest, tool } =
        toml::from_str(&project.read("pyproject.toml")?).map_err(wrong)?;
    manifest.world = tool.stagewire.world;
    manifest.checked("pyproject.toml: `world` of `[tool.stagewire]`")
}

/// The module that exports the plugin: the generator wants a class of the interface's name.
fn entry(manifest: &Manifest) -> String {
    let about = manifest.about();
    if manifest.interface() == "filtering" {
        format!(
            "import plugin\nfrom stagewire import export\nfrom wit_world.exports import filtering\n\
             from wit_world.imports import types\n\n\
             Filtering = export.filtering(plugin, {about}, filtering, types)\n"
        )
    } else {
        format!(
            "import plugin\nfrom stagewire import export\nfrom wit_world.imports import types\n\n\
             Transforming = export.transforming(plugin, {about}, types)\n"
        )
    }
}
