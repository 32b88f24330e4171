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
        (true, true) => Err("it is a filter and a transform in one: make two plugins of it".into()),
        (false, false) => Err("it exports neither a filter nor a transform".into()),
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
