//! One thing that happened to one event, as bytes.
//!
//! Little-endian: `u8 kind · u64 identity · the rest`. Names are numbers into the table of the chunk that the note is in; texts have
//! their length before them.

/// Reasons are cut here: they are for people, and plugins write them.
pub(super) const LONGEST_TEXT: usize = 200;

/// What became of an event at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note<'a> {
    /// The rules were asked: so many routes take it.
    Routed { id_hash: u64, at_ms: u64, generation: u64, routes: u16 },
    /// A step was passed. The text is the reason; of a change, the names of the changed attributes with commas between.
    Step { route: u16, step: u8, plugin: u16, verdict: Verdict, text: &'a str },
    /// The end of a route: so many lanes were given it.
    Sent { route: u16, lanes: u8 },
    /// A backend confirmed it.
    Delivered { route: u16, backend: u16, tries: u16, at_ms: u64, latency_ms: u32, receipt: &'a str },
    /// It became a dead letter, by a step or a backend.
    Buried { route: u16, place: u16, at_ms: u64, reason: &'a str },
    /// Its route left it out.
    LeftOut { route: u16, reason: &'a str },
}

/// What a step made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes on as it is.
    Keep,
    /// It goes no further.
    Drop,
    /// One event came out, changed.
    Change,
    /// Several came out.
    Split,
    /// The plugin could not process it.
    Fail,
}

const VERDICTS: [Verdict; 5] = [Verdict::Keep, Verdict::Drop, Verdict::Change, Verdict::Split, Verdict::Fail];

impl Note<'_> {
    pub(super) fn write(&self, identity: u64, out: &mut Vec<u8>) {
        let mut put = |kind: u8| {
            out.push(kind);
            out.extend_from_slice(&identity.to_le_bytes());
        };
        match self {
            Self::Routed { id_hash, at_ms, generation, routes } => {
                put(1);
                [id_hash, at_ms, generation].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
                out.extend_from_slice(&routes.to_le_bytes());
            }
            Self::Step { route, step, plugin, verdict, text } => {
                put(2);
                out.extend_from_slice(&route.to_le_bytes());
                out.extend_from_slice(&plugin.to_le_bytes());
                out.extend_from_slice(&[*step, *verdict as u8]);
                put_text(text, out);
            }
            Self::Sent { route, lanes } => {
                put(3);
                out.extend_from_slice(&route.to_le_bytes());
                out.push(*lanes);
            }
            Self::Delivered { route, backend, tries, at_ms, latency_ms, receipt } => {
                put(4);
                out.extend_from_slice(&route.to_le_bytes());
                out.extend_from_slice(&backend.to_le_bytes());
                out.extend_from_slice(&tries.to_le_bytes());
                out.extend_from_slice(&at_ms.to_le_bytes());
                out.extend_from_slice(&latency_ms.to_le_bytes());
                put_text(receipt, out);
            }
            Self::Buried { route, place, at_ms, reason } => {
                put(5);
                out.extend_from_slice(&route.to_le_bytes());
                out.extend_from_slice(&place.to_le_bytes());
                out.extend_from_slice(&at_ms.to_le_bytes());
                put_text(reason, out);
            }
            Self::LeftOut { route, reason } => {
                put(6);
                out.extend_from_slice(&route.to_le_bytes());
                put_text(reason, out);
            }
        }
    }

    /// The notes of a chunk, each with the identity of its event. Ends at the first that is no note.
    pub(super) fn read_all(bytes: &[u8]) -> impl Iterator<Item = (u64, Note<'_>)> {
        let mut rest = Bytes(bytes);
        std::iter::from_fn(move || rest.note())
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    // Two hundred bytes at most.
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn note(&mut self) -> Option<(u64, Note<'a>)> {
        let kind = self.byte()?;
        let identity = self.long()?;
        let note = match kind {
            1 => Note::Routed {
                id_hash: self.long()?,
                at_ms: self.long()?,
                generation: self.long()?,
                routes: self.short()?,
            },
            2 => {
                let (route, plugin, step) = (self.short()?, self.short()?, self.byte()?);
                let verdict = *VERDICTS.get(usize::from(self.byte()?))?;
                Note::Step { route, step, plugin, verdict, text: self.text()? }
            }
            3 => Note::Sent { route: self.short()?, lanes: self.byte()? },
            4 => Note::Delivered {
                route: self.short()?,
                backend: self.short()?,
                tries: self.short()?,
                at_ms: self.long()?,
                latency_ms: u32::from_le_bytes(self.take()?),
                receipt: self.text()?,
            },
            5 => {
                let (route, place) = (self.short()?, self.short()?);
                Note::Buried { route, place, at_ms: self.long()?, reason: self.text()? }
            }
            6 => Note::LeftOut { route: self.short()?, reason: self.text()? },
            _ => return None,
        };
        Some((identity, note))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notes(text: &str) -> [Note<'_>; 6] {
        [
            Note::Routed { id_hash: 7, at_ms: 8, generation: 9, routes: 2 },
            Note::Step { route: 1, step: 2, plugin: 3, verdict: Verdict::Split, text },
            Note::Sent { route: 1, lanes: 4 },
            Note::Delivered { route: 1, backend: 5, tries: 300, at_ms: 1, latency_ms: 70_000, receipt: text },
            Note::Buried { route: 1, place: 5, at_ms: 2, reason: text },
            Note::LeftOut { route: 1, reason: text },
        ]
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let text = "ä".repeat(LONGEST_TEXT);
        let mut bytes = Vec::new();
        notes(&text)[4].write(1, &mut bytes);
        let (_, Note::Buried { reason, .. }) = Note::read_all(&bytes).next().unwrap() else {
            panic!("another note")
        };
        assert_eq!(reason, &text[..LONGEST_TEXT]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "\\PC{0,40}", identities in proptest::collection::vec(any::<u64>(), 5)) {
            let mut bytes = Vec::new();
            for (identity, note) in identities.iter().zip(&notes(&text)) {
                note.write(*identity, &mut bytes);
            }
            let read: Vec<_> = Note::read_all(&bytes).collect();
            let expected: Vec<_> = identities.into_iter().zip(notes(&text)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Note::read_all(&bytes).count();
        }
    }
}
