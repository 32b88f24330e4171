//! Which dead letters are meant.

use serde::{Deserialize, Serialize};

use super::{DeadLetter, Place};

/// Every condition that is given must hold; without any, all letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Filter {
    /// The letter's number, or the event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The route that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The backend that it failed at; `hook` also means the lanes `hook[0]`, `hook[1]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The event's type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Text that the reason contains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Given up at that time or later, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

impl Filter {
    /// Whether a letter is meant.
    pub fn wants(&self, letter: &DeadLetter) -> bool {
        let route = letter.route.as_ref().map(crate::names::RouteName::as_str);
        let is = |wanted: &Option<String>, given: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| given == Some(wanted))
        };
        let id = |id: &String| *id == letter.id.to_string() || id == letter.event.id();
        is(&self.route, route)
            && is(&self.kind, Some(letter.event.kind()))
            && self.id.as_ref().is_none_or(id)
            && self.backend.as_ref().is_none_or(|backend| at(&letter.place, backend))
            && self.reason.as_ref().is_none_or(|reason| letter.reason.contains(reason.as_str()))
            && self.since_ms.is_none_or(|since| letter.at_ms >= since)
    }
}

fn at(place: &Place, backend: &str) -> bool {
    let Place::Backend(name) = place else { return false };
    name.as_str().strip_prefix(backend).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::super::tests::letter;
    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let letter = letter("e-1", Place::Backend("hook[1]".into()));
        let text = |text: &str| Some(text.to_owned());
        let all = Filter::default();
        assert!(all.wants(&letter));
        for (filter, wanted) in [
            (Filter { id: text("e-1"), ..all.clone() }, true),
            (Filter { id: text("0"), ..all.clone() }, true),
            (Filter { id: text("2"), ..all.clone() }, false),
            (Filter { backend: text("hook"), ..all.clone() }, true),
            (Filter { backend: text("hook[1]"), ..all.clone() }, true),
            (Filter { backend: text("hoo"), ..all.clone() }, false),
            (Filter { reason: text("refused"), route: text("r"), ..all.clone() }, true),
            (Filter { reason: text("refused"), route: text("other"), ..all.clone() }, false),
            (Filter { kind: text("t"), since_ms: Some(2), ..all.clone() }, true),
            (Filter { since_ms: Some(3), ..all.clone() }, false),
        ] {
            assert_eq!(filter.wants(&letter), wanted, "{filter:?}");
        }
    }
}
