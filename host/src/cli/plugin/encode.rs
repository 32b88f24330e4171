//! From the core module that a compiler leaves to a component: the interface is embedded, and what a language's runtime
//! asks of an operating system is answered with nothing.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The plugin interface, as it was when this host was built.
pub(super) const WIT: &str = include_str!("../../../../wit/stagewire.wit");

/// Answers preview 1 of WASI, which Go's runtime and C's standard library import.
const INERT: &str = include_str!("inert_preview1.wat");

const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The component of a core module that exports `filtering` or `transforming`.
pub(super) fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    let unfit = |error| format!("what the compiler made is no plugin: {error:#}");
    let mut wit = Resolve::default();
    let package = wit.push_str("stagewire.wit", WIT).map_err(unfit)?;
    let world = wit.select_world(&[package], Some(world_of(module)?)).map_err(unfit)?;
    let mut module = module.to_owned();
    embed_component_metadata(&mut module, &wit, world, StringEncoding::UTF8, false).map_err(unfit)?;
    encoded(&module)
}

/// The component of a core module that carries its world.
pub(super) fn encoded(module: &[u8]) -> Result<Vec<u8>, String> {
    let inert = wat::parse_str(INERT).map_err(|error| error.to_string())?;
    // Go's allocator cannot be called before its runtime is up, hence `realloc_via_memory_grow`.
    let encoded = ComponentEncoder::default()
        .realloc_via_memory_grow(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(PREVIEW1, &inert))
        .and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| format!("what the compiler made is no plugin: {error:#}"))
}

/// The world that a module's exports ask for. The ones with state: what is not imported stays out of the component.
fn world_of(module: &[u8]) -> Result<&'static str, String> {
    let names = |interface: &str| module.windows(interface.len()).any(|part| part == interface.as_bytes());
    match (names("stagewire:plugin/filtering@"), names("stagewire:plugin/transforming@")) {
        (true, false) => Ok("stateful-filter"),
        (false, true) => Ok("stateful-transform"),
        (true, true) => {
            Err("what the compiler made is a filter and a transform in one: make two plugins of it".into())
        }
        (false, false) => Err("what the compiler made exports neither a filter nor a transform".into()),
    }
}

/// The files of the C bindings of a world.
pub(super) fn c_bindings(world: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    // The generator has a parser of its own version.
    let wrong = |error| format!("cannot generate the C bindings: {error:#}");
    let mut wit = wit_bindgen_core::wit_parser::Resolve::default();
    let package = wit.push_str("stagewire.wit", WIT).map_err(wrong)?;
    let stateful = if world.ends_with("filter") { "stateful-filter" } else { "stateful-transform" };
    let world = wit.select_world(&[package], Some(stateful)).map_err(wrong)?;
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        rename_world: Some("plugin".into()),
        autodrop_borrows: wit_bindgen_c::Enabled::Yes,
        ..Default::default()
    };
    let mut files = wit_bindgen_core::Files::default();
    options.build().generate(&mut wit, world, &mut files).map_err(wrong)?;
    Ok(files.iter().map(|(name, content)| (name.to_owned(), content.to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `empty.wat` is, with a start that writes and asks for the time.
    fn asking() -> Vec<u8> {
        let imports = "(module
          (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
          (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $time (param i32 i64 i32) (result i32)))";
        let start = "(func (export \"_initialize\")
          (drop (call $write (i32.const 1) (i32.const 128) (i32.const 0) (i32.const 136)))
          (drop (call $time (i32.const 0) (i64.const 1) (i32.const 144))))";
        let text = include_str!("empty.wat").replacen("(module", imports, 1);
        let end = text.rfind(')').unwrap();
        wat::parse_str(format!("{}{start})", &text[..end])).unwrap()
    }

    #[test]
    fn a_plugin_that_asks_an_operating_system_imports_nothing_of_it() {
        let component = component(&asking()).unwrap();
        let engine = crate::plugins::Engine::new(None).unwrap();
        let loaded = crate::plugins::Plugin::load(&engine, &"asking".into(), &component).unwrap();
        assert!(
            loaded.imports.iter().all(|import| import.starts_with("stagewire:plugin/")),
            "{:?}",
            loaded.imports
        );
        assert!(loaded.needs.is_empty());
    }

    #[test]
    fn what_is_no_plugin_is_said_to_be_none() {
        let refusal = component(&wat::parse_str("(module)").unwrap()).unwrap_err();
        assert_eq!(refusal, "what the compiler made exports neither a filter nor a transform");
    }

    #[test]
    fn bindings_in_c_are_made_for_each_world() {
        for (world, export) in [("filter", "filtering_keep"), ("stateful-transform", "transforming_apply")] {
            let files = c_bindings(world).unwrap();
            let header =
                files.iter().find(|(name, _)| name == "plugin.h").map(|(_, content)| content.clone());
            assert!(String::from_utf8(header.unwrap()).unwrap().contains(export), "{world}");
        }
    }
}
