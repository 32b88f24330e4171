//! A YAML file beside the settings that is read as they are: every fault at once, with its line and what to write.

use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use super::check::Schema;
use super::fault::{Fault, Faults, Source};
use super::read::text;
use super::tree::{self, Node, Place};

/// A file that was read, which still knows where each of its values stands.
#[derive(Debug)]
pub struct Document<T> {
    /// What it holds.
    pub value: T,
    tree: Node,
    source: Source,
    faults: Vec<Fault>,
}

impl<T: DeserializeOwned + JsonSchema> Document<T> {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything in it that is no such thing.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let read = text(path);
        let source = Source { path: path.to_owned(), text: read.as_deref().unwrap_or_default().into() };
        let refuse = |all| Faults { all, sources: vec![source.clone()], ..Faults::default() };
        let text = read.map_err(|error| {
            refuse(vec![
                Fault::new(Place::default(), format!("cannot read it: {error}")).help("name another file"),
            ])
        })?;
        let tree = tree::parse(&text, 0).map_err(|fault| refuse(vec![fault]))?;
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
        let mut faults = Vec::new();
        Schema::check(&schema, &tree, &mut faults);
        if !faults.is_empty() {
            return Err(refuse(faults));
        }
        match serde_json::from_value(tree.to_json()) {
            Ok(value) => Ok(Self { value, tree, source, faults }),
            Err(error) => Err(refuse(vec![Fault::new(tree.place.clone(), error.to_string())])),
        }
    }
}

impl<T> Document<T> {
    /// Notes what is wrong with the value at the end of a path of keys and numbers.
    pub fn fault(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        let place = self.tree.at(path).place.clone();
        self.faults.push(Fault::new(place, message).help(help));
    }

    /// What it holds, unless something was noted.
    ///
    /// # Errors
    /// What was noted.
    pub fn into_value(self) -> Result<T, Faults> {
        if self.faults.is_empty() {
            return Ok(self.value);
        }
        Err(Faults { all: self.faults, sources: vec![self.source], ..Faults::default() })
    }
}
