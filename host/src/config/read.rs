//! The files that settings are read from: the settings file, the files that it includes, and files of secrets.

use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::fault::{Fault, Faults, Source};
use super::interpolate::{Lookup, Wrong, interpolate};
use super::load::Known;
use super::secrets;
use super::tree::{self, Key, Node, Place, Value};
use super::watch::WatchedFile;
use crate::names::Digest;

/// A file larger than this is none of settings.
const MOST_BYTES: u64 = 8 << 20;
/// Nor is a larger one a secret.
const MOST_SECRET: u64 = 64 << 10;
/// How deep files may include one another, and how many there may be.
const DEEPEST: usize = 16;
const MOST_FILES: usize = 1_000;

pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What was read so far, and what was wrong with it.
pub(super) struct Reading<'a> {
    pub(super) env: Env<'a>,
    pub(super) faults: Faults,
    /// Every file and directory that was looked at, there or not.
    pub(super) watched: Vec<WatchedFile>,
    /// The files that include the one that is being read, from the first one on: in truth, and as they are called.
    way: Vec<(PathBuf, PathBuf)>,
    /// Every file of settings, and where it is included.
    seen: Vec<(PathBuf, Place)>,
    /// The files that a document may name, if it was sent.
    pub(super) sent: Option<Known<'a>>,
    /// What of such a document stays as it is written.
    pub(super) unread: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(env: Env<'a>) -> Self {
        Self {
            env,
            faults: Faults::default(),
            watched: Vec::new(),
            way: Vec::new(),
            seen: Vec::new(),
            sent: None,
            unread: Vec::new(),
        }
    }

    /// For a document that somebody sent.
    pub(super) fn sent(env: Env<'a>, known: Known<'a>) -> Self {
        Self { sent: Some(known), ..Self::new(env) }
    }

    /// Takes a document that is no file.
    pub(super) fn document(&mut self, text: &str) -> Option<Node> {
        let path = Path::new("sent");
        let mut tree = self.take(path, Ok(text.to_owned()))?;
        self.inner(&mut tree, path);
        Some(tree)
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.all.push(fault);
    }

    /// Reads a settings file with everything that it includes, as one tree.
    pub(super) fn whole(&mut self, path: &Path) -> Option<Node> {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.seen.push((real.clone(), Place::default()));
        self.way.push((real, path.to_owned()));
        let mut tree = self.one(path)?;
        self.inner(&mut tree, path);
        Some(tree)
    }

    /// What a file names: rules in files of their own, and what it includes.
    fn inner(&mut self, tree: &mut Node, path: &Path) {
        self.rules(tree, path);
        self.includes(tree, path);
    }

    /// Reads and interpolates one file.
    fn one(&mut self, path: &Path) -> Option<Node> {
        let text = self.text(path);
        self.take(path, text)
    }

    fn take(&mut self, path: &Path, text: io::Result<String>) -> Option<Node> {
        let file = self.faults.sources.len();
        let parsed = match &text {
            Ok(text) => tree::parse(text, file),
            Err(error) => {
                let place = Place { file, bytes: 0..0 };
                Err(Fault::new(place, format!("cannot read it: {error}"))
                    .help("name another file, or make one with `stagewire init`"))
            }
        };
        let text = text.unwrap_or_default();
        let (tree, secret) = match parsed {
            Ok(mut tree) => {
                let secret = self.interpolated(&mut tree, &text, path);
                (Some(tree), secret)
            }
            Err(fault) => {
                self.fault(fault);
                (None, secrets::suspected(&text))
            }
        };
        // What is quoted in a fault is quoted without secrets.
        let text = secrets::starred(&text, secret).into();
        self.faults.sources.push(Source { path: path.to_owned(), text });
        tree
    }

    fn text(&mut self, path: &Path) -> io::Result<String> {
        let bytes = bounded(path, MOST_BYTES);
        self.watched.extend(watched(path, bytes.as_deref().ok()));
        utf8(bytes?)
    }

    /// Puts in what is to be put in, and marks what is secret. Where the file's own text holds some of it is returned.
    fn interpolated(&mut self, tree: &mut Node, text: &str, path: &Path) -> Vec<Range<usize>> {
        let Self { env, faults, watched, sent, unread, .. } = self;
        let sent = sent.is_some();
        let mut file = |name: &str| if sent { Ok(None) } else { secret(&beside(path, name), watched) };
        let mut lookup = Lookup { env: if sent { &|_| None } else { *env }, file: &mut file };
        let (mut learnt, mut in_file) = (Vec::new(), Vec::new());
        let marked = |key: &str| key == "headers" || secrets::is_secret(key);
        tree.scalars(false, &marked, &mut |under, node| {
            let Value::Scalar { text: value, plain, shown } = &mut node.value else { return };
            let mut found = Vec::new();
            match interpolate(value, &mut lookup) {
                Ok(None) => {}
                Ok(Some(done)) => {
                    *value = done.text;
                    *plain &= !done.from_file;
                    found = done.secret;
                }
                Err(_) if sent => unread.push(format!(
                    "{value:?} was checked as it is written: variables and files are not read for it"
                )),
                Err((message, help)) => {
                    faults.all.push(Fault::new(node.place.clone(), message).help(help));
                    if is_reference(value) {
                        return;
                    }
                }
            }
            if under {
                found = std::iter::once(0..value.len()).filter(|range| !range.is_empty()).collect();
            } else {
                found.extend(secrets::within(value));
            }
            if found.is_empty() {
                return;
            }
            let parts: Vec<&str> = found.iter().filter_map(|range| value.get(range.clone())).collect();
            let written = text.get(node.place.bytes.clone()).unwrap_or_default();
            in_file.extend(written_secrets(written, &parts, node.place.bytes.start));
            learnt.extend(parts.into_iter().map(str::to_owned));
            *shown = Some(secrets::without(value, found));
        });
        secrets::learn(&learnt);
        in_file
    }

    /// `routes:` may name a file, a directory or a pattern of files of rules.
    fn rules(&mut self, tree: &mut Node, path: &Path) {
        let Some(node) = tree.get_mut("routes") else { return };
        let Value::Scalar { text, .. } = &node.value else { return };
        let (text, at) = (text.clone(), node.place.clone());
        let mut routes = Vec::new();
        if !text.is_empty() {
            let beside = beside(path, &text);
            // Where nothing is beside this file, it counts from the working directory, as all other paths do.
            let named =
                if beside.exists() || !Path::new(&text).exists() { beside } else { text.clone().into() };
            let help = "name a file or a directory of .yaml files, or write the routes here";
            for file in self.named(&named, &at, "the rules in ", help) {
                let Some(rules) = self.included(&file, &at) else { continue };
                let Value::Map(entries) = rules.value else { continue };
                for (key, node) in entries {
                    match node.value {
                        Value::List(items) if key.name == "routes" => routes.extend(items),
                        _ if key.name == "routes" => routes.push(node),
                        _ => self.fault(
                            Fault::new(key.place, format!("{:?} cannot stand in a file of rules", key.name))
                                .help("name the file in include:, or leave this out"),
                        ),
                    }
                }
            }
        }
        // The node now stands for several files; its own place stays.
        if let Some(node) = tree.get_mut("routes") {
            node.value = Value::List(routes);
        }
    }

    /// `include:` names files, directories and patterns, which are put together with this file.
    fn includes(&mut self, tree: &mut Node, path: &Path) {
        let Some(include) = tree.take("include") else { return };
        let entries: &[Node] = match &include.value {
            _ if include.is_null() => &[],
            Value::Scalar { .. } => std::slice::from_ref(&include),
            Value::List(items) => items.as_slice(),
            Value::Map(_) => {
                let fault = Fault::new(include.place, "expected a path here, or a list of them");
                return self.fault(fault.help("write it like include: [plugins.yaml, rules.d]"));
            }
        };
        for entry in entries {
            let Value::Scalar { text, .. } = &entry.value else {
                let fault = Fault::new(entry.place.clone(), "expected the path of a file here");
                self.fault(fault.help("write it like include: [plugins.yaml, rules.d]"));
                continue;
            };
            if text.is_empty() {
                let fault = Fault::new(entry.place.clone(), "an empty path names nothing to include");
                self.fault(fault.help("name a file, a directory of .yaml files, or a pattern"));
                continue;
            }
            let help = "a relative path counts from the directory of this file";
            for file in self.named(&beside(path, text), &entry.place, "", help) {
                if let Some(part) = self.included(&file, &entry.place) {
                    merge(tree, part, "", &mut self.faults.all);
                }
            }
        }
    }

    /// The files that a path names, in the order of their names: itself, those of a directory, or those that a pattern fits.
    fn named(&mut self, path: &Path, at: &Place, what: &str, help: &str) -> Vec<PathBuf> {
        if self.sent.is_some_and(|known| !known.rules.iter().any(|file| file == path)) {
            let message = format!("{} is none of the running host's files of rules", path.display());
            let help = "write the routes here: no other file is read for a document that was sent";
            self.fault(Fault::new(at.clone(), message).help(help));
            return Vec::new();
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_pattern = |text: &str| text.contains(['*', '?', '[']);
        let found = if path.is_dir() {
            self.watched.push(WatchedFile::now(path.to_owned()));
            let yaml =
                |name: &str| Path::new(name).extension().is_some_and(|end| end == "yaml" || end == "yml");
            listed(path, &|name: &str| !name.starts_with('.') && yaml(name))
        } else if is_pattern(&path.to_string_lossy()) && !path.exists() {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.unwrap_or(Path::new("."));
            if is_pattern(&directory.to_string_lossy()) && !directory.exists() {
                let message = format!("the pattern {} has wildcards before its last part", path.display());
                self.fault(Fault::new(at.clone(), message).help("write one pattern for each directory"));
                return Vec::new();
            }
            self.watched.push(WatchedFile::now(directory.to_owned()));
            let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
            Pattern::new(&name)
                .map_err(|error| io::Error::other(error.msg))
                .and_then(|pattern| listed(directory, &|name: &str| pattern.matches_with(name, options)))
        } else {
            std::fs::metadata(path).map(|_| vec![path.to_owned()])
        };
        found.unwrap_or_else(|error| {
            // It may appear.
            self.watched.push(WatchedFile { path: path.to_owned(), digest: None });
            let message = format!("cannot read {what}{}: {error}", path.display());
            self.fault(Fault::new(at.clone(), message).help(help));
            Vec::new()
        })
    }

    /// A file that another one names, as settings.
    fn included(&mut self, path: &Path, at: &Place) -> Option<Node> {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let shown = path.display();
        if let Some(start) = self.way.iter().position(|(file, _)| *file == real) {
            let way = self.way[start..].iter().map(|(_, file)| file.display().to_string());
            let way: Vec<_> = way.chain([shown.to_string()]).collect();
            let message = format!("{shown} includes itself: {}", way.join(" → "));
            self.fault(Fault::new(at.clone(), message).help("take one of them out"));
            return None;
        }
        if let Some((_, first)) = self.seen.iter().find(|(file, _)| *file == real) {
            let fault = Fault::new(at.clone(), format!("{shown} is included twice")).also(first.clone());
            self.fault(fault.help("keep one of them"));
            return None;
        }
        if self.way.len() > DEEPEST || self.seen.len() > MOST_FILES {
            let message = if self.way.len() > DEEPEST {
                format!("files are included more than {DEEPEST} deep")
            } else {
                format!("more than {MOST_FILES} files are included")
            };
            self.fault(Fault::new(at.clone(), message).help("put some of them together"));
            return None;
        }
        self.seen.push((real.clone(), at.clone()));
        self.way.push((real, path.to_owned()));
        let tree = self.one(path).and_then(|tree| {
            let mut tree = self.as_settings(tree)?;
            self.inner(&mut tree, path);
            Some(tree)
        });
        self.way.pop();
        tree
    }

    /// A file that is included may hold one route, or a list of them, without `routes:` above.
    fn as_settings(&mut self, tree: Node) -> Option<Node> {
        let is_route = match &tree.value {
            Value::Map(_) => ["name", "match", "steps", "deliver"].iter().any(|key| tree.get(key).is_some()),
            Value::List(_) => false,
            Value::Scalar { .. } if tree.is_null() => {
                return Some(Node { value: Value::Map(Vec::new()), ..tree });
            }
            Value::Scalar { .. } => {
                let fault = Fault::new(tree.place, "expected settings, a route, or a list of routes");
                self.fault(fault.help("write it like routes: [{ name: all, deliver: [local] }]"));
                return None;
            }
        };
        if matches!(tree.value, Value::Map(_)) && !is_route {
            return Some(tree);
        }
        let place = tree.place.clone();
        let routes =
            if is_route { Node { place: place.clone(), value: Value::List(vec![tree]) } } else { tree };
        let key = Key { place: place.clone(), name: "routes".into() };
        Some(Node { place, value: Value::Map(vec![(key, routes)]) })
    }
}

/// A path that a file names.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

/// Puts what another file says to what is there: sections key by key, lists of sections one after the other. Any other
/// value is given once.
fn merge(into: &mut Node, from: Node, way: &str, faults: &mut Vec<Fault>) {
    if from.is_null() {
        return;
    }
    if into.is_null() {
        *into = from;
        return;
    }
    let sections = |items: &[Node]| items.iter().all(|item| matches!(item.value, Value::Map(_)));
    match (&mut into.value, from.value) {
        (Value::Map(there), Value::Map(more)) => {
            for (key, node) in more {
                let way = if way.is_empty() { key.name.clone() } else { format!("{way}.{}", key.name) };
                match there.iter_mut().find(|(known, _)| known.name == key.name) {
                    Some((_, known)) => merge(known, node, &way, faults),
                    None => there.push((key, node)),
                }
            }
        }
        (Value::List(there), Value::List(more)) if sections(there) && sections(&more) => there.extend(more),
        _ => faults.push(
            Fault::new(from.place, format!("{way} is given in two files"))
                .also(into.place.clone())
                .help("keep one of them"),
        ),
    }
}

/// Whether a text is nothing but where another comes from, which is no secret.
fn is_reference(text: &str) -> bool {
    let end = text.find('}').map_or(text.len(), |end| end + 1);
    text.starts_with("${") && end == text.len() && !text.contains(":-")
}

/// Where a scalar, as it is written in the file, holds these secrets.
fn written_secrets(written: &str, parts: &[&str], start: usize) -> Vec<Range<usize>> {
    let verbatim = parts.iter().flat_map(|part| written.match_indices(part));
    let mut found: Vec<_> = verbatim.map(|(at, part)| start + at..start + at + part.len()).collect();
    // What stands in when a variable is not set may be one too.
    for (at, mark) in written.match_indices(":-") {
        let end = written[at..].find('}').map_or(written.len(), |end| at + end);
        found.push(start + at + mark.len()..start + end);
    }
    if found.is_empty() && !written.contains("${") {
        // It is written in another way than it reads.
        found.push(start..start + written.len());
    }
    found.retain(|range| range.start < range.end);
    found
}

/// A secret in a file: its text without one newline at its end.
fn secret(path: &Path, files: &mut Vec<WatchedFile>) -> Result<Option<String>, Wrong> {
    let shown = path.display();
    let mount = || "check what is mounted there".to_owned();
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err((format!("{shown} is no regular file, which a secret is to come from"), mount()));
    }
    let bytes = bounded(path, MOST_SECRET);
    files.extend(watched(path, bytes.as_deref().ok()));
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err((format!("cannot read the secret in {shown}: {error}"), mount())),
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        (format!("the secret in {shown} is not UTF-8"), "write it as text, such as base64".to_owned())
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err((
            format!("the secret in {shown} is empty"),
            "write it there, or leave the setting out".into(),
        ));
    }
    Ok(Some(text.to_owned()))
}

/// Pipes and devices are read once; files and what is not there are watched.
fn watched(path: &Path, bytes: Option<&[u8]>) -> Option<WatchedFile> {
    let regular = !std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    let now = || WatchedFile::now(path.to_owned());
    let read = |bytes| WatchedFile { path: path.to_owned(), digest: Some(Digest::of(bytes)) };
    regular.then(|| bytes.map_or_else(now, read))
}

/// The text of a file that is not one of the settings.
pub(super) fn text(path: &Path) -> io::Result<String> {
    utf8(bounded(path, MOST_BYTES)?)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        io::Error::other(format!("line {line} is not UTF-8"))
    })
}

fn bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most >> 10)));
    }
    Ok(bytes)
}

/// The files of a directory whose names are wanted, in the order of their names.
fn listed(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.flatten();
    let is_wanted = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(wanted) && !path.is_dir()
    };
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_wanted).collect();
    files.sort();
    Ok(files)
}
