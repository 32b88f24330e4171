//! JavaScript: esbuild makes one file of the plugin and what it imports, componentize-js packs that with an engine.

use std::process::Command;

use serde::Deserialize;

use super::manifest::Stagewire;
use super::{File, Language, Manifest, Project, files, toolchain};

pub(super) const JAVASCRIPT: Language = Language {
    name: "javascript",
    mark: "plugin.js",
    filter: files!("examples/plugins/javascript/filter": "package.json", "plugin.js", "plugin.test.js"),
    transform: files!("examples/plugins/javascript/transform": "package.json", "plugin.js", "plugin.test.js"),
    sdk: SDK,
    sdk_of_examples: "",
    next: &["npm install", "npm test"],
    build: |project| build(project, "plugin.js"),
};

/// With the types for TypeScript, which editors use for JavaScript too.
pub(super) const SDK: &[File] = files!("sdk/javascript/stagewire":
    "index.js", "index.d.ts", "emitter.js", "errors.js", "event.js", "export.js", "host.js", "settings.js", "state.js",
    "testing.js", "testing.d.ts",
);

const BUILD: &str = include_str!("../../../../../sdk/javascript/build.mjs");
const NODE: &str = "apt-get install nodejs npm   # or from https://nodejs.org, version 20 or newer";

pub(super) fn build(project: &Project, plugin: &str) -> Result<(String, Vec<u8>), String> {
    let manifest = manifest(project)?;
    for package in ["@bytecodealliance/componentize-js", "esbuild"] {
        if !project.root.ancestors().any(|place| place.join("node_modules").join(package).is_dir()) {
            return Err(toolchain::missing(
                package,
                &format!("cd {} && npm install", project.root.display()),
            ));
        }
    }
    project.write("entry.js", entry(&manifest, plugin))?;
    let script = project.write("build.mjs", BUILD)?;
    let made = project.target.join("componentized.wasm");
    let mut node = Command::new("node");
    node.arg(script)
        .arg(&manifest.world)
        .arg(project.write_interface()?)
        .arg(&made)
        .current_dir(&project.root);
    toolchain::run(&mut node, NODE)?;
    Ok((manifest.name, Project::made(&made)?))
}

#[derive(Deserialize)]
struct Package {
    #[serde(flatten)]
    manifest: Manifest,
    #[serde(default)]
    stagewire: Stagewire,
}

fn manifest(project: &Project) -> Result<Manifest, String> {
    let package = serde_json::from_str(&project.read("package.json")?);
    let Package { mut manifest, stagewire } = package.map_err(|error| format!("package.json: {error}"))?;
    manifest.world = stagewire.world;
    manifest.checked("package.json: `world` of `stagewire`")
}

/// The module that exports the plugin: the generator wants an object of the interface's name.
fn entry(manifest: &Manifest, plugin: &str) -> String {
    let (interface, about) = (manifest.interface(), manifest.about());
    let (state, given) = if manifest.is_stateful() {
        ("import * as keyvalue from \"stagewire:plugin/keyvalue@0.1.0\";\n", "host, keyvalue")
    } else {
        ("", "host")
    };
    format!(
        "import * as host from \"stagewire:plugin/host@0.1.0\";\n{state}\
         import plugin from \"../{plugin}\";\nimport {{ exported }} from \"../stagewire/export.js\";\n\n\
         export const {interface} = exported(plugin, {about}, {{ {given} }});\n"
    )
}
