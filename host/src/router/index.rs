//! Which routes an event might take at all, by its `type`, `source` and `subject`: the rest cost it nothing.
//!
//! A route stands under texts of which one must be an attribute's, or its beginning, or its end. One that no such thing is known
//! of is looked at for every event.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::attribute::Attribute;
use super::bound::{Bound, Form, Need};
use crate::Event;

/// Places of routes, ascending.
type Places = Box<[usize]>;

/// The routes under the texts that they need.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Those of a type, and those that stand under nothing.
    by_type: HashMap<Box<str>, Places, FixedState>,
    /// Those that stand under nothing.
    open: Places,
    others: Vec<Table>,
}

/// What one attribute must be in one form, and the places of the routes under each text.
type Group<'a> = (&'a Attribute, Form, HashMap<&'a str, Vec<usize>>);

/// Routes under what one attribute must be in one form.
#[derive(Debug)]
struct Table {
    attribute: Attribute,
    by_text: ByText,
}

#[derive(Debug)]
enum ByText {
    Is(HashMap<Box<str>, Places, FixedState>),
    Begins(Chains),
    Ends(Chains),
}

/// Beginnings of texts in their order, each with the longest other one that is its own beginning. All that a text begins
/// with are in the chain of the last one that is not greater than it.
#[derive(Debug)]
struct Chains {
    sorted: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    text: Box<[u8]>,
    shorter: Option<usize>,
    places: Places,
}

impl Index {
    pub(super) fn new(bounds: &[Bound]) -> Self {
        let keys: Vec<Option<Vec<&Need>>> = bounds.iter().map(keys).collect();
        let standing: Vec<_> = keys.iter().map(Option::is_some).collect();
        let open: Places = (0..keys.len()).filter(|place| !standing[*place]).collect();
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (place, need) in keys
            .iter()
            .enumerate()
            .flat_map(|(place, keys)| keys.iter().flatten().map(move |need| (place, need)))
        {
            let found = groups
                .iter()
                .position(|(attribute, form, _)| (*attribute, *form) == (&need.attribute, need.form));
            let at = found.unwrap_or_else(|| {
                groups.push((&need.attribute, need.form, HashMap::new()));
                groups.len() - 1
            });
            let places = groups[at].2.entry(&*need.text).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
        let mut index = Self { open, ..Self::default() };
        for (attribute, form, texts) in groups {
            if (attribute, form) == (&Attribute::Type, Form::Is) {
                let with_open = |(text, places)| (Box::from(text), merged(places, &index.open));
                index.by_type = texts.into_iter().map(with_open).collect();
                continue;
            }
            let by_text = match form {
                Form::Is => {
                    ByText::Is(texts.into_iter().map(|(text, places)| (text.into(), places.into())).collect())
                }
                Form::Begins => ByText::Begins(Chains::new(texts, |text| text.bytes().collect())),
                Form::Ends => ByText::Ends(Chains::new(texts, |text| text.bytes().rev().collect())),
            };
            index.others.push(Table { attribute: attribute.clone(), by_text });
        }
        index
    }

    /// The places of the routes that it might take, ascending.
    pub(super) fn candidates<'a>(&'a self, event: &Event) -> Candidates<'a> {
        let listed = self.by_type.get(event.kind()).unwrap_or(&self.open);
        let mut candidates = Candidates::Listed(listed);
        for Table { attribute, by_text } in &self.others {
            let text = match attribute {
                Attribute::Type => Some(event.kind()),
                Attribute::Source => Some(event.source()),
                Attribute::Subject => event.subject(),
                Attribute::Named(_) => None,
            };
            let Some(text) = text else { continue };
            match by_text {
                ByText::Is(texts) => texts.get(text).into_iter().for_each(|places| candidates.add(places)),
                ByText::Begins(chains) => chains.of(&text.bytes(), |places| candidates.add(places)),
                ByText::Ends(chains) => chains.of(&text.bytes().rev(), |places| candidates.add(places)),
            }
        }
        candidates.in_order()
    }
}

impl Chains {
    fn new(texts: HashMap<&str, Vec<usize>>, bytes: impl Fn(&str) -> Box<[u8]>) -> Self {
        let link = |(text, places): (&str, Vec<usize>)| Link {
            text: bytes(text),
            shorter: None,
            places: places.into(),
        };
        let mut sorted: Vec<Link> = texts.into_iter().map(link).collect();
        sorted.sort_by(|a, b| a.text.cmp(&b.text));
        for at in 1..sorted.len() {
            // Whatever it begins with is in the chain of the one before.
            let mut shorter = Some(at - 1);
            while let Some(before) =
                shorter.filter(|before| !sorted[at].text.starts_with(&sorted[*before].text))
            {
                shorter = sorted[before].shorter;
            }
            sorted[at].shorter = shorter;
        }
        Self { sorted }
    }

    /// Calls `each` for every one that the text begins with.
    fn of(&self, text: &(impl Iterator<Item = u8> + Clone), mut each: impl FnMut(&Places)) {
        let after = self
            .sorted
            .partition_point(|link| link.text.iter().copied().cmp(text.clone()) != Ordering::Greater);
        let mut at = after.checked_sub(1);
        while let Some(link) = at.map(|at| &self.sorted[at]) {
            let mut text = text.clone();
            if link.text.iter().all(|byte| text.next() == Some(*byte)) {
                each(&link.places);
            }
            at = link.shorter;
        }
    }
}

/// Places as they stand in the index, or put together from several of its tables.
#[derive(Debug)]
pub(super) enum Candidates<'a> {
    Listed(&'a [usize]),
    Gathered(Vec<usize>),
}

impl Candidates<'_> {
    fn add(&mut self, places: &Places) {
        match self {
            Self::Listed(listed) => {
                let mut gathered = Vec::with_capacity(listed.len() + places.len() + 8);
                gathered.extend_from_slice(listed);
                gathered.extend_from_slice(places);
                *self = Self::Gathered(gathered);
            }
            Self::Gathered(gathered) => gathered.extend_from_slice(places),
        }
    }

    fn in_order(mut self) -> Self {
        if let Self::Gathered(gathered) = &mut self {
            gathered.sort_unstable();
            gathered.dedup();
        }
        self
    }

    /// The one of that number.
    pub(super) fn get(&self, number: usize) -> Option<usize> {
        match self {
            Self::Listed(listed) => listed.get(number).copied(),
            Self::Gathered(gathered) => gathered.get(number).copied(),
        }
    }
}

fn merged(mut places: Vec<usize>, others: &[usize]) -> Places {
    places.extend_from_slice(others);
    places.sort_unstable();
    places.into()
}

/// Texts of which one must be an event's; nothing where that is not known.
fn keys(bound: &Bound) -> Option<Vec<&Need>> {
    match bound {
        Bound::Open => None,
        Bound::Need(need) => {
            let says_something = need.form == Form::Is || !need.text.is_empty();
            (need.attribute.is_text() && says_something).then(|| vec![need])
        }
        // Any one member that limits the events limits the whole; the best is the one that the fewest events have.
        Bound::All(bounds) => bounds.iter().filter_map(keys).min_by_key(|keys| {
            let worst = keys
                .iter()
                .map(|need| (need.form, need.attribute != Attribute::Type, usize::MAX - need.text.len()));
            (worst.max(), keys.len())
        }),
        Bound::One(bounds) => bounds.iter().map(keys).collect::<Option<Vec<_>>>().map(|keys| keys.concat()),
    }
}
