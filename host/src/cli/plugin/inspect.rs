//! `stagewire plugin inspect`

use super::registry::Subject;
use super::{about, engine, grants, kind, print_json};
use crate::plugins::line;

pub(super) fn run(subject: &Subject, json: bool) -> Result<(), String> {
    let (plugin, image) = subject.load(&engine()?)?;
    if json {
        return print_json(&about(subject.path(), image.as_ref(), &plugin));
    }
    let said = plugin.description();
    println!("name         {}", said.name);
    println!("version      {}", said.version);
    println!("description  {}", said.description);
    println!("kind         {}", kind(&plugin));
    println!("interface    stagewire:plugin@{}", plugin.interface);
    println!("digest       {}", plugin.digest);
    if let Some(image) = image {
        println!("reference    {image}");
    }
    println!("size         {} bytes", plugin.size);
    println!("imports      {}", plugin.imports.join(", "));
    println!("grants       {}", grants(&plugin));
    if !said.settings_schema.is_empty() {
        println!("settings     {}", line(&said.settings_schema, said.settings_schema.len()));
    }
    Ok(())
}
