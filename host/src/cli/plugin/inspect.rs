//! `stagewire plugin inspect`

use std::path::Path;

use super::{about, engine, grants, kind, load, print_json};
use crate::plugins::line;

pub(super) fn run(file: &Path, json: bool) -> Result<(), String> {
    let plugin = load(&engine()?, file)?;
    if json {
        return print_json(&about(file, &plugin));
    }
    let said = plugin.description();
    println!("name         {}", said.name);
    println!("version      {}", said.version);
    println!("description  {}", said.description);
    println!("kind         {}", kind(&plugin));
    println!("interface    stagewire:plugin@{}", plugin.interface);
    println!("digest       {}", plugin.digest);
    println!("size         {} bytes", plugin.size);
    println!("imports      {}", plugin.imports.join(", "));
    println!("grants       {}", grants(&plugin));
    if !said.settings_schema.is_empty() {
        println!("settings     {}", line(&said.settings_schema, said.settings_schema.len()));
    }
    Ok(())
}
