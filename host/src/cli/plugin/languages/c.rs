//! C and C++: zig as the compiler, over what wit-bindgen generates from the interface.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::super::encode;
use super::{Language, Manifest, Project, files, toolchain};

pub(super) const C: Language = Language {
    name: "c",
    mark: "plugin.toml",
    filter: files!("examples/plugins/c/filter": "plugin.toml", "schema.json", "Makefile", "plugin.c", "plugin_test.c"),
    transform: files!("examples/plugins/c/transform": "plugin.toml", "schema.json", "Makefile", "plugin.c", "plugin_test.c"),
    sdk: files!("sdk/c/stagewire":
        "stagewire.h", "stagewire_test.h", "memory.h", "host.c", "json.c", "native.c", "settings.c", "text.c",
    ),
    sdk_of_examples: "",
    next: &["make test", "python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1"],
    build,
};

const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1";

/// The stack is bounded because zig would take 16 MiB for it, half of what an instance may have.
const FLAGS: &[&str] = &[
    "-target",
    "wasm32-wasi",
    "-mexec-model=reactor",
    "-O2",
    "-s",
    "-Wl,-z,stack-size=1048576",
    "-Wall",
    "-Wextra",
    "-Istagewire",
    "-Itarget",
];

fn build(project: &Project) -> Result<(String, Vec<u8>), String> {
    let manifest = manifest(project)?;
    for (name, content) in encode::c_bindings(&manifest.world)? {
        project.write(&name, content)?;
    }
    project.write("about.h", about(project, &manifest))?;
    let made = project.target.join("module.wasm");
    let sources = sources(project)?;
    let cpp = sources.iter().any(|source| source.extension().is_some_and(|end| end == "cpp"));
    let mut zig = zig(project)?;
    zig.arg(if cpp { "c++" } else { "cc" }).args(FLAGS);
    if cpp {
        zig.args(["-fno-exceptions", "-fno-rtti"]);
    }
    zig.arg("-o").arg(&made).args(&sources);
    toolchain::run(zig.current_dir(&project.root), INSTALL)?;
    Ok((manifest.name, encode::component(&Project::made(&made)?)?))
}

/// zig by itself, or as the Python package brings it.
fn zig(project: &Project) -> Result<Command, String> {
    let own = ["zig", "python-zig"].into_iter().find_map(|name| toolchain::program(project, name));
    own.map(Command::new).ok_or_else(|| toolchain::missing("zig", INSTALL))
}

fn manifest(project: &Project) -> Result<Manifest, String> {
    let manifest: Result<Manifest, _> = toml::from_str(&project.read("plugin.toml")?);
    manifest.map_err(|error| format!("plugin.toml: {}", error.message()))?.checked("plugin.toml: `world`")
}

/// The plugin's own sources but for tests, the SDK's, and what was generated.
fn sources(project: &Project) -> Result<Vec<PathBuf>, String> {
    let mut sources = vec!["target/plugin.c".into()];
    for place in ["", "stagewire"] {
        let unreadable = |error| format!("cannot list {}: {error}", project.root.join(place).display());
        for entry in std::fs::read_dir(project.root.join(place)).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".c").or_else(|| name.strip_suffix(".cpp"));
            if stem.is_some_and(|stem| !stem.ends_with("_test")) {
                sources.push(PathBuf::from(place).join(name));
            }
        }
    }
    sources.sort();
    Ok(sources)
}

/// What the plugin says of itself, as C text.
fn about(project: &Project, manifest: &Manifest) -> String {
    let schema = project.read("schema.json").unwrap_or_default();
    let mut text = String::new();
    if manifest.interface() == "filtering" {
        text.push_str("#define SW_FILTER_WORLD\n");
    }
    for (name, value) in [
        ("SW_NAME", &manifest.name),
        ("SW_VERSION", &manifest.version),
        ("SW_DESCRIPTION", &manifest.description),
        ("SW_SETTINGS_SCHEMA", &schema),
    ] {
        let _ = writeln!(text, "#define {name} {}", literal(value));
    }
    text
}

/// A C string literal. Octal escapes end after three digits, whatever follows.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => literal.extend(['\\', char::from(byte)]),
            b' '..=b'~' => literal.push(char::from(byte)),
            _ => _ = write!(literal, "\\{byte:03o}"),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_literal() {
        assert_eq!(literal("a \"b\"\\\n1ü"), r#""a \"b\"\\\0121\303\274""#);
    }
}
