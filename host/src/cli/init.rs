//! `stagewire init`

use std::path::{Path, PathBuf};

use super::{Failure, Outcome, say};

/// Write a settings file, a route, a sample event and a test of the route, ready to run
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire init\n  stagewire init demo && cd demo && stagewire run")]
pub(super) struct Init {
    /// Where to write
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
}

const SETTINGS: &str = r#"# yaml-language-server: $schema=settings.schema.json
# Editors complete this file by that schema. Checked by `stagewire validate`, swapped when it is saved.
# include: rules.d # more files, or directories of them, from here on
events:
  enabled: true
  backends:
    - type: local # an embedded stream; read it with `stagewire tail local`
    # - type: redis_streams
    #   config: { url: "redis://127.0.0.1:6379/1", stream_name: events }

routes:
  - name: everything
    # match:
    #   - prefix: { type: com.example. }
    # steps:
    #   - plugin: redact # plugins/redact.wasm
    #     settings: { remove: [text] }
    deliver: [local]
"#;

const SAMPLE: &str = r#"{
  "specversion": "1.0",
  "type": "com.storytelling.nlp.document.processed",
  "source": "stage2-nlp-processing",
  "id": "evt_a1b2c3d4e5f6",
  "time": "2025-12-14T12:00:00Z",
  "datacontenttype": "application/json",
  "subject": "document/doc-123",
  "data": { "document_id": "doc-123", "job_id": "job-456", "status": "success", "processing_time_seconds": 12.5 }
}
"#;

const CASES: &str = r"# What the rules are to do: `stagewire route test --cases config/cases.yaml`
cases:
  - name: the sample is kept
    file: ../events/sample.json
    expect:
      routes: [everything]
      delivered: { local: [{ subject: document/doc-123 }] }
";

const PLUGINS: &str = "Plugins go here: NAME.wasm is called NAME in the routes.\n";

impl Init {
    pub(super) fn run(self) -> Outcome {
        let schema = format!("{:#}\n", crate::config::schema());
        let files = [
            ("config/settings.yaml", SETTINGS),
            ("config/cases.yaml", CASES),
            ("config/settings.schema.json", schema.as_str()),
            ("events/sample.json", SAMPLE),
            ("plugins/README.md", PLUGINS),
        ];
        let there = files.iter().map(|(name, _)| self.directory.join(name)).find(|path| path.exists());
        if let Some(path) = there.filter(|_| !self.force) {
            return Err(Failure::Failed(format!(
                "{} is there already; --force overwrites it",
                path.display()
            )));
        }
        for (name, text) in files {
            write(&self.directory.join(name), text)?;
        }
        let change = if self.directory == Path::new(".") {
            String::new()
        } else {
            format!("cd {} && ", self.directory.display())
        };
        say(format_args!(
            "written. Now:\n  {change}stagewire run\n  stagewire send events/sample.json\n  stagewire tail local\n  stagewire route test --cases config/cases.yaml"
        ))
    }
}

fn write(path: &Path, text: &str) -> Outcome {
    let cannot = |error| Failure::Failed(format!("cannot write {}: {error}", path.display()));
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(cannot)?;
    std::fs::write(path, text).map_err(cannot)
}
