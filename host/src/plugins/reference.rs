//! `docs/plugins/interface.md`: the interface as a page for people, made of `wit/`.

use std::fmt::Write;
use std::path::Path;

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeId, WorldItem,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const HEAD: &str = "\
# The plugin interface

Made of [`wit/stagewire.wit`](../../wit/stagewire.wit), which is what plugins are built against; a test keeps it so. Types are written as
[WIT](https://component-model.bytecodealliance.org/design/wit.html) has them. An SDK gives the same in its language's own words:
under each function stands what it is called there.
";

/// What is called otherwise in an SDK: by its name here, in Rust, Python, JavaScript, Go and C. A word is one that stands in the SDK.
const WORDS: [(&str, [&str; 5]); 31] = [
    ("event.id", ["id", "id", "id", "ID", "sw_id"]),
    ("event.source", ["source", "source", "source", "Source", "sw_source"]),
    ("event.kind", ["kind", "type", "type", "Type", "sw_type"]),
    ("event.subject", ["subject", "subject", "subject", "Subject", "sw_subject"]),
    ("event.time", ["time", "time", "time", "Time", "sw_time"]),
    (
        "event.data-content-type",
        ["data_content_type", "datacontenttype", "datacontenttype", "DataContentType", "sw_datacontenttype"],
    ),
    ("event.data-schema", ["data_schema", "dataschema", "dataschema", "DataSchema", "sw_dataschema"]),
    ("event.attribute", ["attribute", "get", "attribute", "Attribute", "sw_attribute"]),
    ("event.extensions", ["extensions", "extensions", "extensions", "Extensions", "sw_extensions"]),
    ("event.data-length", ["data_length", "data_length", "dataLength", "DataLength", "sw_data_length"]),
    ("event.data", ["bytes", "data", "data", "Data", "sw_data"]),
    ("event.text", ["text", "text", "text", "Text", "sw_data_text"]),
    ("log", ["log", "log", "log", "Log", "sw_log"]),
    ("count", ["count", "count", "count", "Count", "sw_count"]),
    ("observe", ["observe", "observe", "observe", "Observe", "sw_observe"]),
    ("now", ["now", "now", "now", "Now", "sw_now"]),
    ("get", ["state::get", "state.get", "state.get", "state.Get", "sw_state_get"]),
    ("set", ["state::set", "state.put", "state.put", "state.Put", "sw_state_set"]),
    ("delete", ["state::delete", "state.delete", "state.remove", "state.Delete", "sw_state_delete"]),
    (
        "compare-and-swap",
        [
            "state::compare_and_swap",
            "state.compare_and_swap",
            "state.compareAndSwap",
            "state.CompareAndSwap",
            "sw_state_swap",
        ],
    ),
    ("claim", ["state::claim", "state.claim", "state.claim", "state.Claim", "sw_state_claim"]),
    ("keep", ["keep", "keep", "configure", "Keep", "sw_filter"]),
    ("apply", ["apply", "apply", "configure", "Apply", "sw_transform"]),
    ("draft.set", ["set", "__setitem__", "set", "Set", "sw_set"]),
    ("draft.remove", ["remove", "__delitem__", "remove", "Remove", "sw_remove"]),
    ("draft.set-data", ["set_bytes", "set_data", "setData", "SetData", "sw_set_data"]),
    ("draft.set-text", ["set_text", "set_text", "setText", "SetText", "sw_set_text"]),
    ("draft.remove-data", ["remove_data", "remove_data", "removeData", "RemoveData", "sw_remove_data"]),
    ("emitter.pass", ["pass", "pass_on", "pass", "Pass", "sw_pass"]),
    ("emitter.edit", ["edit", "edit", "edit", "Edit", "sw_edit"]),
    ("emitter.emit", ["emit", "emit", "emit", "Emit", "sw_emit"]),
];
const LANGUAGES: [(&str, &str); 5] = [
    ("Rust", "plugins/sdk/src"),
    ("Python", "sdk/python/stagewire"),
    ("JavaScript", "sdk/javascript/stagewire"),
    ("Go", "sdk/go"),
    ("C", "sdk/c/stagewire"),
];

struct Page {
    wit: Resolve,
    text: String,
}

impl Page {
    fn made() -> String {
        let mut wit = Resolve::default();
        let (package, _) = wit.push_path(Path::new(ROOT).join("wit")).unwrap();
        let mut page = Self { wit, text: HEAD.to_owned() };
        let of_package = page.wit.packages[package].clone();
        page.write(format_args!("\n`{}`. {}\n", of_package.name, prose(&of_package.docs)));
        for world in of_package.worlds.values() {
            page.world(&page.wit.worlds[*world].clone());
        }
        for interface in of_package.interfaces.values() {
            page.interface(&page.wit.interfaces[*interface].clone());
        }
        page.text
    }

    fn world(&mut self, world: &wit_parser::World) {
        let named = |items: &wit_parser::IndexMap<wit_parser::WorldKey, WorldItem>| {
            let names = items.values().filter_map(|item| match item {
                WorldItem::Interface { id, .. } => self.wit.interfaces[*id].name.clone(),
                _ => None,
            });
            names.map(|name| format!("[`{name}`](#{name})")).collect::<Vec<_>>().join(", ")
        };
        let (imports, exports) = (named(&world.imports), named(&world.exports));
        self.write(format_args!(
            "\nWorld `{}`. {} It exports {exports}; it may import {imports}.\n",
            world.name,
            prose(&world.docs)
        ));
    }

    fn interface(&mut self, interface: &Interface) {
        let name = interface.name.clone().unwrap_or_default();
        self.write(format_args!("\n## {name}\n\n{}\n", prose(&interface.docs)));
        for id in interface.types.values() {
            self.type_of(*id, interface);
        }
        for function in interface.functions.values() {
            if matches!(function.kind, FunctionKind::Freestanding) {
                self.function(&function.name, function);
            }
        }
    }

    fn type_of(&mut self, id: TypeId, interface: &Interface) {
        let ty: TypeDef = self.wit.types[id].clone();
        let name = ty.name.clone().unwrap_or_default();
        match &ty.kind {
            // Used from another interface.
            TypeDefKind::Type(_) => {}
            TypeDefKind::Record(record) => {
                self.write(format_args!(
                    "\n### record {name}\n\n{}\n\n| field | type | |\n| --- | --- | --- |\n",
                    prose(&ty.docs)
                ));
                for field in &record.fields {
                    let of = self.name_of(&field.ty);
                    self.write(format_args!("| `{}` | `{of}` | {} |\n", field.name, prose(&field.docs)));
                }
            }
            TypeDefKind::Variant(variant) => {
                self.write(format_args!(
                    "\n### variant {name}\n\n{}\n\n| case | |\n| --- | --- |\n",
                    prose(&ty.docs)
                ));
                for case in &variant.cases {
                    let of = case.ty.as_ref().map(|ty| format!("({})", self.name_of(ty))).unwrap_or_default();
                    self.write(format_args!("| `{}{of}` | {} |\n", case.name, prose(&case.docs)));
                }
            }
            TypeDefKind::Enum(cases) => {
                let words: Vec<_> = cases.cases.iter().map(|case| format!("`{}`", case.name)).collect();
                self.write(format_args!("\n### enum {name}\n\n{} {}.\n", prose(&ty.docs), words.join(", ")));
            }
            TypeDefKind::Resource => {
                self.write(format_args!("\n### resource {name}\n\n{}\n", prose(&ty.docs)));
                for function in interface.functions.values() {
                    if matches!(function.kind, FunctionKind::Method(of) if of == id) {
                        let method = function.item_name();
                        self.function(&format!("{name}.{method}"), function);
                    }
                }
            }
            other => panic!("{name} is a {}, which the page has no words for", other.as_str()),
        }
    }

    fn function(&mut self, name: &str, function: &Function) {
        let method = matches!(function.kind, FunctionKind::Method(_));
        let params = function.params.iter().skip(usize::from(method));
        let params: Vec<_> =
            params.map(|param| format!("{}: {}", param.name, self.name_of(&param.ty))).collect();
        let result =
            function.result.as_ref().map(|ty| format!(" -> {}", self.name_of(ty))).unwrap_or_default();
        let signature = format!("{}: func({}){result}", function.item_name(), params.join(", "));
        self.write(format_args!("\n**`{name}`**\n\n```wit\n{signature}\n```\n\n{}\n", prose(&function.docs)));
        if let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == name) {
            let words: Vec<_> = LANGUAGES
                .iter()
                .zip(words)
                .map(|((language, _), word)| format!("{language} `{word}`"))
                .collect();
            self.write(format_args!("\n{}\n", words.join(" · ")));
        }
    }

    fn name_of(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else {
            return match ty {
                Type::Bool => "bool",
                Type::U8 => "u8",
                Type::S32 => "s32",
                Type::U64 => "u64",
                Type::F64 => "f64",
                Type::String => "string",
                other => panic!("the page has no words for {other:?}"),
            }
            .into();
        };
        let ty = &self.wit.types[*id];
        if let Some(name) = &ty.name {
            return name.clone();
        }
        match &ty.kind {
            TypeDefKind::Option(of) => format!("option<{}>", self.name_of(of)),
            TypeDefKind::List(of) => format!("list<{}>", self.name_of(of)),
            TypeDefKind::Handle(Handle::Borrow(of)) => format!("borrow<{}>", self.name_of(&Type::Id(*of))),
            TypeDefKind::Handle(Handle::Own(of)) => self.name_of(&Type::Id(*of)),
            TypeDefKind::Result(result) => {
                let of = |ty: &Option<Type>| ty.as_ref().map(|ty| self.name_of(ty));
                match (of(&result.ok), of(&result.err)) {
                    (ok, Some(error)) => format!("result<{}, {error}>", ok.unwrap_or_else(|| "_".into())),
                    (Some(ok), None) => format!("result<{ok}>"),
                    (None, None) => "result".into(),
                }
            }
            other => panic!("the page has no words for a {}", other.as_str()),
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).unwrap();
    }
}

/// As it is written in the WIT, on one line, which a cell of a table needs; paragraphs stay apart elsewhere.
fn prose(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default().trim();
    let paragraphs =
        text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[test]
fn the_page_of_the_interface_is_what_the_wit_says() {
    let file = Path::new(ROOT).join("docs/plugins/interface.md");
    let current = Page::made();
    if std::env::var_os("STAGEWIRE_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        current,
        "run STAGEWIRE_UPDATE_DOCS=1 cargo test interface"
    );
}

#[test]
fn what_the_page_of_the_interface_says_of_the_sdks_stands_in_them() {
    let page = Page::made();
    for (index, (language, place)) in LANGUAGES.iter().enumerate() {
        let sources = sources(&Path::new(ROOT).join(place));
        for (function, words) in WORDS {
            assert!(page.contains(&format!("**`{function}`**")), "{function} is of the interface");
            let word = words[index].rsplit(['.', ':']).next().unwrap();
            let part = |c: char| c.is_alphanumeric() || c == '_';
            let found = sources.match_indices(word).any(|(at, word)| {
                let (before, after) = (&sources[..at], &sources[at + word.len()..]);
                !before.ends_with(part) && !after.starts_with(part)
            });
            assert!(found, "{language} has {word}");
        }
    }
}

fn sources(place: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(place).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text += &sources(&path);
        } else {
            text += &std::fs::read_to_string(&path).unwrap_or_default();
        }
    }
    text
}
