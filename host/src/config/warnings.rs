//! What settings allow, and hardly anybody means: rules that take nothing, events that arrive twice, names that are nearly right.
//!
//! What is said of a rule is certain (see [`Reach`]); where only an event decides, nothing is said.

use std::collections::BTreeSet;

use prometheus_client::metrics::counter::Counter;

use super::fault::{Fault, Faults};
use super::load::Loaded;
use super::settings::{PublishEvents, Route, Settings, document_type};
use super::tree::{Node, Place, Value};
use super::{backends, dead_letter_backend, nearest};
use crate::Event;
use crate::event::is_attribute;
use crate::names::PluginName;
use crate::router::{self, Condition, Reach, Table};

/// The document's types.
const DOCUMENTED: [&str; 4] = [
    "com.storytelling.nlp.document.processed",
    "com.storytelling.nlp.document.failed",
    "com.storytelling.nlp.batch.started",
    "com.storytelling.nlp.batch.completed",
];

/// What they are short for is in [`DOCUMENTED`].
const SHORT: [&str; 4] = ["document.processed", "document.failed", "batch.started", "batch.completed"];

/// Two types that differ by more letters are two.
const NEAR: usize = 2;

impl Loaded {
    /// What is no fault, and most likely not meant. `seen` are the types of events that a running host has had; a rule for
    /// others is only of interest where they are known.
    pub fn warnings(&self, seen: Option<&BTreeSet<String>>) -> Faults {
        let mut found = Found { settings: &self.settings, tree: &self.tree, faults: Vec::new() };
        let rules: Vec<_> = found.rules().collect();
        let table = Table::new(rules.iter().map(|rule| router::Rule::from(rule.route)), Counter::default());
        for (index, rule) in rules.iter().enumerate() {
            found.names(rule.node.at(&["match"]));
            found.conditions(rule);
            found.behind(index, &rules);
            found.types(rule, seen);
            found.overlaps(index, &rules, &table);
        }
        found.backends();
        found.plugins();
        let mut all = found.faults;
        // In the order of the files.
        all.sort_by_key(|fault| (fault.place().file, fault.place().bytes.start));
        let mut faults = Faults { all, sources: self.sources.clone(), ..Faults::default() };
        faults.keep_secrets(&self.tree);
        faults
    }
}

/// A route, with what it takes and where it stands.
struct Rule<'a> {
    route: &'a Route,
    node: &'a Node,
    condition: Condition,
    reach: Reach,
    /// The only types that it takes, where they are known.
    types: Option<BTreeSet<String>>,
}

impl Rule<'_> {
    fn place(&self, key: &str) -> Place {
        let place = self.node.at(&[key]).place.clone();
        if self.node.get(key).is_some() { place } else { self.node.at(&["name"]).place.clone() }
    }
}

struct Found<'a> {
    settings: &'a Settings,
    tree: &'a Node,
    faults: Vec<Fault>,
}

impl<'a> Found<'a> {
    fn warn(&mut self, place: Place, message: String, help: String) {
        self.faults.push(Fault::new(place, message).help(help).warning());
    }

    fn rules(&self) -> impl Iterator<Item = Rule<'a>> + use<'a> {
        self.settings.routes.iter().zip(self.tree.at(&["routes"]).items()).map(|(route, node)| {
            let condition = Condition::all_of(&route.matches);
            let reach = Reach::of(&condition);
            let types = reach.types().map(|types| types.into_iter().map(str::to_owned).collect());
            Rule { route, node, condition, reach, types }
        })
    }

    /// Attributes that no event can have.
    fn names(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.iter().for_each(|item| self.names(item)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    let Value::Map(attributes) = &value.value else {
                        self.names(value);
                        continue;
                    };
                    if !matches!(key.name.as_str(), "exact" | "prefix" | "suffix") {
                        self.names(value);
                        continue;
                    }
                    for (name, _) in attributes.iter().filter(|(name, _)| !is_attribute(&name.name)) {
                        self.warn(
                            name.place.clone(),
                            format!("no event has an attribute {:?}", name.name),
                            attribute_help(&name.name),
                        );
                    }
                }
            }
        }
    }

    fn conditions(&mut self, rule: &Rule<'_>) {
        if rule.reach.is_empty() {
            self.warn(
                rule.place("match"),
                format!("route {:?} takes no event: no event fulfils all of its conditions", rule.route.name),
                "conditions of a list all have to hold; put alternatives under any: […]".into(),
            );
        }
    }

    fn types(&mut self, rule: &Rule<'_>, seen: Option<&BTreeSet<String>>) {
        let Some(types) = rule.types.as_ref().filter(|types| !types.is_empty()) else { return };
        let name = &rule.route.name;
        let mut misspelt = false;
        for kind in
            types.iter().filter(|kind| !is_documented(kind) && !seen.is_some_and(|seen| seen.contains(*kind)))
        {
            let near =
                DOCUMENTED.into_iter().chain(SHORT).find(|known| strsim::levenshtein(known, kind) <= NEAR);
            if let Some(near) = near {
                misspelt = true;
                let place = find(rule.node.at(&["match"]), kind).unwrap_or_else(|| rule.place("match"));
                self.warn(
                    place,
                    format!("type {kind:?} is nearly one of the document's"),
                    format!("did you mean {near:?}?"),
                );
            }
        }
        let full: BTreeSet<&str> = types.iter().map(|kind| document_type(kind).unwrap_or(kind)).collect();
        let publish = self.settings.events.as_ref().map(|events| events.publish_events.clone());
        let off = |publish: &PublishEvents| full.iter().all(|kind| !publish.allows(kind));
        if publish.as_ref().is_some_and(off) {
            let switch = |kind: &&str| kind.trim_start_matches("com.storytelling.nlp.").replace('.', "_");
            let switches: Vec<_> = full.iter().map(switch).collect();
            let at = self.tree.at(&["events", "publish_events", &switches[0]]).place.clone();
            let message = format!("route {name:?} gets no event: what it takes is not published");
            let help =
                format!("set events.publish_events.{}: true, or leave the route out", switches.join(", "));
            self.faults.push(Fault::new(rule.place("match"), message).also(at).help(help).warning());
        }
        let Some(seen) = seen.filter(|_| !misspelt) else { return };
        if !types.iter().any(|kind| is_documented(kind) || seen.contains(kind)) {
            let types = types.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
            let known: Vec<&str> = seen.iter().map(String::as_str).collect();
            let near = types.split('"').nth(1).and_then(|kind| nearest(kind, &known));
            let help = near.map_or_else(
                || "look for it with `stagewire tail`".into(),
                |near| format!("did you mean {near:?}?"),
            );
            let message =
                format!("route {name:?}: the running host has had no event of type {types} since its start");
            self.warn(rule.place("match"), message, help);
        }
    }

    /// Rules for which others that are asked before leave nothing.
    fn behind(&mut self, index: usize, rules: &[Rule<'_>]) {
        let rule = &rules[index];
        if rule.reach.is_empty() {
            return;
        }
        let asked_before =
            |(at, other): &(usize, &Rule<'_>)| match (other.route.otherwise, rule.route.otherwise) {
                (false, true) => true,
                (true, false) => false,
                _ => *at < index && other.route.stop,
            };
        // What takes events only at times leaves some.
        let always = |other: &&Rule<'_>| other.route.times.is_empty();
        let others = rules.iter().enumerate().filter(asked_before).map(|(_, other)| other).filter(always);
        let others: Vec<_> = others.collect();
        if !Reach::together(others.iter().map(|other| &other.reach)).covers(&rule.reach) {
            return;
        }
        let only: Vec<_> = others.iter().filter(|other| other.reach.covers(&rule.reach)).take(1).collect();
        let others = if only.is_empty() { others.iter().collect() } else { only };
        let names =
            others.iter().map(|other| format!("{:?}", other.route.name)).collect::<Vec<_>>().join(", ");
        let name = &rule.route.name;
        let (message, help) = if others.iter().any(|other| !other.route.otherwise && rule.route.otherwise) {
            let message = format!(
                "route {name:?} gets no event: otherwise: is for what no other takes, and {names} takes all of it"
            );
            (message, "leave it out, or narrow the other with match:")
        } else {
            let message = format!(
                "route {name:?} gets no event: {names} before it takes all of its events and has stop: true"
            );
            (message, "put it before, or narrow the other with match:")
        };
        let place = rule.node.at(&["name"]).place.clone();
        let also = others[0].node.at(&["name"]).place.clone();
        self.faults.push(Fault::new(place, message).also(also).help(help).warning());
    }

    /// Events that arrive at a backend twice, in the same form.
    fn overlaps(&mut self, index: usize, rules: &[Rule<'_>], table: &Table) {
        let rule = &rules[index];
        // A share, a rate or a time may be why there are two.
        let whole = |route: &Route| {
            route.times.is_empty() && route.sample.is_none() && route.dedup.is_none() && route.rate.is_none()
        };
        let both = |(_, other): &(usize, &Rule<'_>)| {
            whole(other.route)
                && whole(rule.route)
                && other.route.steps == rule.route.steps
                && other.route.deliver.iter().any(|backend| rule.route.deliver.contains(backend))
        };
        let apart = |other: &Rule<'_>| match (&other.types, &rule.types) {
            (Some(other), Some(own)) => other.is_disjoint(own),
            _ => false,
        };
        let mut others = rules.iter().enumerate().take(index).filter(both).filter(|(_, other)| !apart(other));
        let shared = |at: usize, other: &Rule<'_>| {
            // Where none stops in between.
            let event = other.reach.shared(&other.condition, &rule.reach, &rule.condition)?;
            let taken: Vec<usize> = table.matches(&event, 0).collect();
            (taken.contains(&at) && taken.contains(&index)).then_some(event)
        };
        let every = |other: &Rule<'_>| {
            let certain =
                other.route.otherwise == rule.route.otherwise && !rules.iter().any(|rule| rule.route.stop);
            certain && !rule.reach.is_empty() && other.reach.covers(&rule.reach)
        };
        let found = others.find_map(|(at, other)| {
            let (every, event) = (every(other), shared(at, other));
            (every || event.is_some()).then_some((other, every, event))
        });
        let Some((other, every, event)) = found else { return };
        let (name, first) = (&rule.route.name, &other.route.name);
        let shared = rule.route.deliver.iter().filter(|backend| other.route.deliver.contains(backend));
        let backends = shared.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = if every {
            format!(
                "{backends} gets every event of route {name:?} twice: route {first:?} delivers it there, too"
            )
        } else {
            format!("{backends} gets an event twice that takes both route {first:?} and route {name:?}")
        };
        let attributes = event.iter().flat_map(Event::core_attributes).filter(|(name, _)| *name != "id");
        let attributes: Vec<_> = attributes.map(|(name, value)| format!("{name}: {value}")).collect();
        let such = if attributes.is_empty() {
            String::new()
        } else {
            format!("such as {{ {} }}; ", attributes.join(", "))
        };
        let help = format!("{such}narrow one of the two");
        self.faults.push(
            Fault::new(rule.place("deliver"), message).also(other.place("deliver")).help(help).warning(),
        );
    }

    fn backends(&mut self) {
        let Settings { routes, events, .. } = self.settings;
        let letters = dead_letter_backend(self.settings).map(|spec| spec.kind);
        let letters_of = events.as_ref().and_then(|events| events.dlq.backend.clone());
        // Without routes every backend gets everything.
        for (index, spec) in backends(self.settings).into_iter().enumerate().filter(|_| !routes.is_empty()) {
            let of_letters =
                letters_of.as_deref() == Some(spec.name.as_str()) || letters.as_ref() == Some(&spec.kind);
            if of_letters || routes.iter().any(|route| route.deliver.contains(&spec.name)) {
                continue;
            }
            let single = events.as_ref().is_some_and(|events| events.backend.is_some());
            let index = index.to_string();
            let path: &[&str] =
                if single { &["events", "backend"] } else { &["events", "backends", &index, "type"] };
            self.warn(
                self.tree.at(path).place.clone(),
                format!("no route delivers to backend {:?}", spec.name),
                format!("name it in the deliver: of a route, or leave it out; it is connected to all the same ({})", spec.kind),
            );
        }
    }

    fn plugins(&mut self) {
        let directory = &self.settings.plugins.directory;
        let steps = self.settings.routes.iter().flat_map(|route| &route.steps);
        let used: BTreeSet<&PluginName> =
            steps.flat_map(|step| step.plugins().map(|(_, name)| name)).collect();
        for name in self.settings.plugins.pull.keys().filter(|name| !used.contains(name)) {
            let place = self.tree.at(&["plugins", "pull"]).key(name.as_str()).clone();
            let message = format!("no step uses plugin {name:?}, and so it is not pulled");
            self.faults.push(
                Fault::new(place, message).help("name it in steps: of a route, or leave it out").warning(),
            );
        }
        let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<PluginName> = files
            .filter_map(|file| Some(PluginName::from(file.file_name().to_str()?.strip_suffix(".wasm")?)))
            .filter(|name| !used.contains(name))
            .collect();
        names.sort();
        if names.is_empty() {
            return;
        }
        let names = names.iter().map(PluginName::as_str).collect::<Vec<_>>().join(", ");
        self.warn(
            self.tree.at(&["plugins", "directory"]).place.clone(),
            format!("no step uses these plugins in {}: {names}", directory.display()),
            "name them in steps: of a route, or move the files elsewhere".into(),
        );
    }
}

fn is_documented(kind: &str) -> bool {
    DOCUMENTED.contains(&kind) || document_type(kind).is_some()
}

fn attribute_help(name: &str) -> String {
    let lower: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let known = [
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "partitionkey",
        "traceparent",
    ];
    match nearest(&lower, &known) {
        _ if name == "data" => "look at the payload with cel: data.count > 0".into(),
        Some(near) if near != name => {
            format!("did you mean {near:?}? names are lower-case letters and digits")
        }
        _ if is_attribute(&lower) => format!("names are lower-case letters and digits: {lower:?}"),
        _ => "names are lower-case letters and digits".into(),
    }
}

/// The value in which a text stands.
fn find(node: &Node, wanted: &str) -> Option<Place> {
    match &node.value {
        Value::Scalar { text, .. } => {
            let at = text.find(wanted)?;
            Some(node.within(at..at + wanted.len()).unwrap_or_else(|| node.place.clone()))
        }
        Value::List(items) => items.iter().find_map(|item| find(item, wanted)),
        Value::Map(entries) => entries.iter().find_map(|(_, value)| find(value, wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;

    const HEAD: &str = "events:\n  enabled: true\n  backends: [{ type: local }, { type: stdout }]\nroutes:\n";

    fn warned_of(text: &str, seen: Option<&[&str]>) -> String {
        let loaded = load_text(text, &[]).unwrap();
        let seen = seen.map(|seen| seen.iter().map(ToString::to_string).collect());
        let lines = loaded.warnings(seen.as_ref()).to_strings();
        // Without the file, which is another each time.
        let file =
            lines.first().and_then(|line| line.split_once(".yaml:")).map(|(path, _)| format!("{path}.yaml:"));
        file.map_or(String::new(), |file| lines.join("\n").replace(&file, ""))
    }

    fn warned(routes: &str) -> String {
        warned_of(&format!("{HEAD}{routes}"), None)
    }

    #[test]
    fn nothing_is_said_of_rules_that_are_meant() {
        let routes = "
  - { name: a, match: [{ exact: { type: document.processed } }], deliver: [local] }
  - { name: b, match: [{ exact: { type: com.example.x } }, { cel: data.n > 1 }], deliver: [local] }
  - { name: c, match: [{ exact: { type: com.example.x } }, { cel: data.n <= 1 }], deliver: [local] }
  - { name: d, match: [{ prefix: { type: com.example. } }], deliver: [stdout] }
";
        assert_eq!(warned(routes), "");
        assert_eq!(warned_of("events: { enabled: true, backend: local }", None), "");
        assert_eq!(warned_of("", None), "");
    }

    #[test]
    fn rules_that_take_nothing_are_named() {
        insta::assert_snapshot!(warned("
  - name: a
    match: [{ exact: { type: com.example.x } }, { prefix: { type: org. } }]
    deliver: [local, stdout]
  - name: b
    match:
      - any: [{ exact: { Subject: x } }, { prefix: { source: s } }]
    deliver: [local]
  - name: c
    match: [{ not: { prefix: { data: x } } }, { exact: { data_type: x } }]
    deliver: [local]
"), @r#"
        7:12: route "a" takes no event: no event fulfils all of its conditions; conditions of a list all have to hold; put alternatives under any: […]
        11:26: no event has an attribute "Subject"; did you mean "subject"? names are lower-case letters and digits
        14:12: route "c" takes no event: no event fulfils all of its conditions; conditions of a list all have to hold; put alternatives under any: […]
        14:32: no event has an attribute "data"; look at the payload with cel: data.count > 0
        14:58: no event has an attribute "data_type"; did you mean "datacontenttype"? names are lower-case letters and digits
        "#);
    }

    #[test]
    fn types_that_are_nearly_right_switched_off_or_never_seen_are_named() {
        let head = "events:\n  enabled: true\n  backend: local\n  publish_events: { document_failed: false }\nroutes:\n";
        let text = format!(
            "{head}
  - {{ name: a, match: [{{ sql: \"type = 'com.storytelling.nlp.document.procesed'\" }}], deliver: [local] }}
  - {{ name: b, match: [{{ exact: {{ type: document.failed }} }}], deliver: [local] }}
  - {{ name: c, match: [{{ exact: {{ type: com.example.maid }} }}], deliver: [local] }}
  - {{ name: d, match: [{{ exact: {{ type: batch.started }} }}], deliver: [local] }}
"
        );
        insta::assert_snapshot!(warned_of(&text, Some(&["com.example.made"])), @r#"
        7:40: type "com.storytelling.nlp.document.procesed" is nearly one of the document's; did you mean "com.storytelling.nlp.document.processed"?
        8:23: route "b" gets no event: what it takes is not published (and 4:38); set events.publish_events.document_failed: true, or leave the route out
        9:23: route "c": the running host has had no event of type "com.example.maid" since its start; did you mean "com.example.made"?
        "#);
        let known = ["com.example.maid", "com.storytelling.nlp.document.procesed"];
        assert_eq!(warned_of(&text, Some(&known)).lines().count(), 1, "what is seen is not misspelt");
    }

    #[test]
    fn rules_that_others_leave_nothing_for_are_named() {
        insta::assert_snapshot!(warned("
  - { name: a, match: [{ prefix: { type: com. } }], stop: true, deliver: [local] }
  - { name: b, match: [{ exact: { type: com.x } }, { cel: data.n > 1 }], deliver: [local] }
  - { name: c, match: [{ exact: { type: org.x } }], stop: true, times: [{ to: '12:00' }], deliver: [local] }
  - { name: d, match: [{ exact: { type: org.x } }], deliver: [stdout] }
  - { name: e, otherwise: true, deliver: [stdout] }
"), @r#"7:13: route "b" gets no event: "a" before it takes all of its events and has stop: true (and 6:13); put it before, or narrow the other with match:"#);
        insta::assert_snapshot!(warned("
  - { name: rest, otherwise: true, deliver: [stdout] }
  - { name: all, deliver: [local] }
"), @r#"6:13: route "rest" gets no event: otherwise: is for what no other takes, and "all" takes all of it (and 7:13); leave it out, or narrow the other with match:"#);
        let disjoint = "
  - { name: a, match: [{ prefix: { type: com. } }], stop: true, deliver: [local] }
  - { name: b, match: [{ exact: { source: s } }], deliver: [local] }
  - { name: c, otherwise: true, deliver: [local, stdout] }
";
        assert_eq!(warned(disjoint), "", "what the first takes does not get to the second");
    }

    #[test]
    fn events_that_arrive_twice_and_what_nothing_uses_are_named() {
        insta::assert_snapshot!(warned("
  - { name: a, match: [{ prefix: { type: com. } }], deliver: [local] }
  - { name: b, match: [{ exact: { type: com.x } }, { cel: data.n > 1 }], deliver: [local] }
  - { name: c, match: [{ suffix: { type: .x } }, { exact: { source: s } }], deliver: [local] }
  - { name: d, match: [{ exact: { type: org.x } }], deliver: [local] }
"), @r#"
        3:39: no route delivers to backend "stdout"; name it in the deliver: of a route, or leave it out; it is connected to all the same (stdout)
        7:83: local gets every event of route "b" twice: route "a" delivers it there, too (and 6:62); narrow one of the two
        8:86: local gets an event twice that takes both route "a" and route "c" (and 6:62); such as { source: s, type: com..x }; narrow one of the two
        9:62: local gets an event twice that takes both route "c" and route "d" (and 8:86); such as { source: s, type: org.x }; narrow one of the two
        "#);
        let plugins = tempfile::tempdir().unwrap();
        std::fs::write(plugins.path().join("idle.wasm"), "").unwrap();
        let text = format!("plugins: {{ directory: {} }}\n", plugins.path().display());
        assert!(warned_of(&text, None).starts_with("1:23: no step uses these plugins in "));
    }
}
