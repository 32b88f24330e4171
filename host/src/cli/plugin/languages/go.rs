//! Go: the standard compiler for `wasip1`; the SDK has the interface's imports and exports by hand.

use std::process::Command;

use super::super::encode;
use super::{Language, Project, files, toolchain};

pub(super) const GO: Language = Language {
    name: "go",
    mark: "go.mod",
    filter: files!("examples/plugins/go/filter": "go.mod", "plugin.go", "plugin_test.go"),
    transform: files!("examples/plugins/go/transform": "go.mod", "plugin.go", "plugin_test.go"),
    sdk: files!("sdk/go":
        "go.mod", "event.go", "host.go", "host_native.go", "host_wasip1.go", "stagewire.go",
        "filter/export_wasip1.go", "filter/filter.go", "internal/abi/imports_wasip1.go", "internal/abi/memory_wasip1.go",
        "internal/lent/answer_wasip1.go", "internal/lent/emitter_wasip1.go", "internal/lent/event_wasip1.go",
        "internal/settings/settings.go", "stagewiretest/stagewiretest.go", "state/state.go", "state/state_native.go",
        "state/state_wasip1.go", "transform/export_wasip1.go", "transform/transform.go",
    ),
    sdk_of_examples: "../../../../sdk/go",
    next: &["go test ."],
    build,
};

const INSTALL: &str = "apt-get install golang-go   # or from https://go.dev/dl, version 1.24 or newer";

fn build(project: &Project) -> Result<(String, Vec<u8>), String> {
    let module = project.read("go.mod")?;
    let name = module.lines().find_map(|line| line.strip_prefix("module ")).unwrap_or("plugin").trim();
    let name = name.rsplit('/').next().unwrap_or(name).to_owned();
    let made = project.target.join("module.wasm");
    let mut go = Command::new("go");
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&made).arg(".");
    go.current_dir(&project.root).env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOWORK", "off");
    toolchain::run(&mut go, INSTALL)?;
    Ok((name, encode::component(&Project::made(&made)?)?))
}
