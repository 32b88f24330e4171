//! A YAML file as a tree in which every key and value knows where it stands.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Number, Value as Json};

use super::fault::Fault;

/// Nodes that one file may have, aliases counted as often as they are used.
const MOST: usize = 200_000;
const DEEPEST: usize = 64;

/// A stretch of one of the files that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) bytes: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar {
        text: String,
        plain: bool,
        /// The text as it may be shown, where it holds a secret.
        shown: Option<String>,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

impl Node {
    pub(super) fn text(place: Place, text: impl Into<String>, plain: bool) -> Self {
        Self { place, value: Value::Scalar { text: text.into(), plain, shown: None } }
    }

    pub(super) fn empty() -> Self {
        Self { place: Place::default(), value: Value::Map(Vec::new()) }
    }

    /// The value under a key.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Takes the value under a key out.
    pub(super) fn take(&mut self, name: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|(key, _)| key.name == name)?;
        Some(entries.remove(index).1)
    }

    /// Whether nothing stands there.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { .. }) && self.to_json().is_null()
    }

    pub(super) fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The node at the end of a path; where that is missing, the last one that is there.
    pub(super) fn at(&self, path: &[&str]) -> &Node {
        path.iter().fold(self, |node, name| {
            let item = name.parse::<usize>().ok().and_then(|index| node.items().get(index));
            item.or_else(|| node.get(name)).unwrap_or(node)
        })
    }

    /// Where a key stands; where it does not, this.
    pub(super) fn key(&self, name: &str) -> &Place {
        let Value::Map(entries) = &self.value else { return &self.place };
        entries.iter().find(|(key, _)| key.name == name).map_or(&self.place, |(key, _)| &key.place)
    }

    /// Where a stretch of a scalar's text stands in the file; nothing where the text is not what stands there.
    pub(super) fn within(&self, bytes: Range<usize>) -> Option<Place> {
        let Value::Scalar { text, plain, .. } = &self.value else { return None };
        let quote = usize::from(!plain);
        let start = self.place.bytes.start + quote;
        let verbatim = self.place.bytes.len() == text.len() + 2 * quote;
        let bytes = start + bytes.start..start + bytes.end;
        verbatim.then_some(Place { file: self.place.file, bytes })
    }

    /// The value as JSON, plain scalars typed as YAML's core schema has it.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar { text, plain: true, .. } => typed(text),
            Value::Scalar { text, plain: false, .. } => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect()
            }
        }
    }

    /// The value as JSON, but a list or map without what is in it: what tells its kind.
    pub(super) fn outline(&self) -> Json {
        match &self.value {
            Value::Scalar { .. } => self.to_json(),
            Value::List(_) => Json::Array(Vec::new()),
            Value::Map(_) => Json::Object(serde_json::Map::new()),
        }
    }

    /// Takes out every entry whose key stands at one of these places.
    pub(super) fn remove(&mut self, keys: &[Place]) {
        match &mut self.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.remove(keys)),
            Value::Map(entries) => {
                entries.retain(|(key, _)| !keys.contains(&key.place));
                entries.iter_mut().for_each(|(_, node)| node.remove(keys));
            }
        }
    }

    /// Calls `change` for every scalar, with whether it stands under a key that `marked` picks out.
    pub(super) fn scalars(
        &mut self,
        under: bool,
        marked: &impl Fn(&str) -> bool,
        change: &mut impl FnMut(bool, &mut Self),
    ) {
        match &mut self.value {
            Value::Scalar { .. } => change(under, self),
            Value::List(items) => items.iter_mut().for_each(|item| item.scalars(under, marked, change)),
            Value::Map(entries) => entries
                .iter_mut()
                .for_each(|(key, node)| node.scalars(under || marked(&key.name), marked, change)),
        }
    }

    /// Every scalar that holds a secret: the way to it, and the node.
    pub(super) fn secrets<'a>(&'a self, way: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'a Node)>) {
        let mut inside = |name: String, node: &'a Node| {
            way.push(name);
            node.secrets(way, found);
            way.pop();
        };
        match &self.value {
            Value::Scalar { shown: Some(_), .. } => found.push((way.clone(), self)),
            Value::Scalar { .. } => {}
            Value::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| inside(index.to_string(), item));
            }
            Value::Map(entries) => entries.iter().for_each(|(key, node)| inside(key.name.clone(), node)),
        }
    }
}

/// YAML 1.2.2, 10.3.2 "Tag Resolution" of the core schema.
fn typed(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = text.parse::<u64>() {
            return number.into();
        }
        if let Some(number) = text.parse::<f64>().ok().and_then(Number::from_f64) {
            return Json::Number(number);
        }
    }
    Json::String(text.to_owned())
}

/// Parses one file. `file` is its index among those that were read.
pub(super) fn parse(text: &str, file: usize) -> Result<Node, Fault> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        file,
        length: text.len(),
        anchors: HashMap::new(),
        count: 0,
    };
    builder.document()
}

struct Builder<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    file: usize,
    length: usize,
    anchors: HashMap<usize, Node>,
    count: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Fault> {
        let mut next = self.parser.next_event();
        while let Some(Ok((Event::Comment(..), _))) = &next {
            next = self.parser.next_event();
        }
        match next {
            Some(Ok((event, span))) => {
                let bytes = span.byte_range().unwrap_or_default();
                Ok((event, Place { file: self.file, bytes }))
            }
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(self.length).min(self.length);
                Err(self.fault(at..at, format!("not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Place { file: self.file, bytes: self.length..self.length })),
        }
    }

    fn fault(&self, bytes: Range<usize>, message: impl Into<String>) -> Fault {
        Fault::new(Place { file: self.file, bytes }, message)
    }

    fn document(&mut self) -> Result<Node, Fault> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self
                        .fault(place.bytes, "a second document begins here")
                        .help("keep one document in a file"));
                }
                Event::DocumentStart(..) => {
                    let (event, place) = self.next()?;
                    if matches!(event, Event::DocumentEnd) {
                        continue;
                    }
                    root = Some(self.node(event, place, 0)?);
                }
                _ => {}
            }
        }
        Ok(root.unwrap_or_else(Node::empty))
    }

    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, Fault> {
        self.count += 1;
        if self.count > MOST || depth > DEEPEST {
            return Err(self.fault(place.bytes, "the file has too many or too deeply nested values"));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(place, text, style)),
            Event::SequenceStart(_, anchor, ..) => (anchor, self.list(place, depth)?),
            Event::MappingStart(_, anchor, ..) => (anchor, self.map(place, depth)?),
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| self.fault(place.bytes.clone(), "this alias has no anchor"))?;
                self.count += size(&node);
                (0, Node { place, ..node })
            }
            other => return Err(self.fault(place.bytes, format!("not understood: {other:?}"))),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, place: Place, depth: usize) -> Result<Node, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, item) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node { place, value: Value::List(items) });
            }
            items.push(self.node(event, item, depth + 1)?);
        }
    }

    fn map(&mut self, place: Place, depth: usize) -> Result<Node, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(Node { place, value: Value::Map(entries) }),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.fault(at.bytes, "a key must be a word")),
            };
            if let Some((first, _)) = entries.iter().find(|(key, _)| key.name == name) {
                let fault =
                    self.fault(at.bytes, format!("key {name:?} is given twice")).also(first.place.clone());
                return Err(fault.help("keep one of them"));
            }
            let (event, value) = self.next()?;
            let node = self.node(event, value, depth + 1)?;
            entries.push((Key { place: at, name }, node));
        }
    }
}

fn scalar(place: Place, text: Cow<'_, str>, style: ScalarStyle) -> Node {
    Node::text(place, text, style == ScalarStyle::Plain)
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}
