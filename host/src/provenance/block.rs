//! Notes in chunks, chunks in blocks: what is written and read as one.
//!
//! ```text
//! block := u64 least identity · u64 greatest · u32 length of the filter · the filter · chunk*
//! chunk := u32 number of names · (u16 length · name)* · u32 length of the notes · notes
//! ```

use super::note::Note;

/// Notes of one recorder, with the names that they use.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    names: Vec<String>,
    notes: Vec<u8>,
    least: u64,
    greatest: u64,
    /// Hashes of the ids that are met here.
    pub(super) ids: Vec<u64>,
}

impl Chunk {
    /// Empties it; its room stays.
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.notes.clear();
        self.ids.clear();
        (self.least, self.greatest) = (0, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.notes.len()
    }

    pub(super) fn note(&mut self, identity: u64, note: &Note<'_>) {
        let first = self.is_empty();
        self.least = if first { identity } else { self.least.min(identity) };
        self.greatest = self.greatest.max(identity);
        note.write(identity, &mut self.notes);
    }

    pub(super) fn name(&self, number: u16) -> Option<&str> {
        self.names.get(usize::from(number)).map(String::as_str)
    }

    pub(super) fn add_name(&mut self, name: &str) -> u16 {
        let known = self.names.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }
}

/// What is kept of a block in memory.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub(super) least: u64,
    pub(super) greatest: u64,
    filter: Box<[u64]>,
}

impl Summary {
    pub(super) fn may_have_id(&self, hash: u64) -> bool {
        !self.filter.is_empty()
            && places(hash, self.filter.len()).all(|(word, bit)| self.filter[word] & bit != 0)
    }
}

/// Ten bits for each id and seven looks: one in a hundred is found where it is not.
fn filter(ids: &[u64]) -> Box<[u64]> {
    let words = (ids.len() * 10).div_ceil(64);
    let mut filter = vec![0; words].into_boxed_slice();
    for id in ids {
        places(*id, words).for_each(|(word, bit)| filter[word] |= bit);
    }
    filter
}

fn places(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let bits = words as u64 * 64;
    // Two halves of one good hash make as many as are wanted (Kirsch and Mitzenmacher, 2006).
    let (one, two) = (hash, (hash >> 32) | 1);
    (0..7_u64).map(move |n| {
        let bit = one.wrapping_add(n.wrapping_mul(two)) % bits;
        // Below the number of words.
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

/// Writes chunks as one block, in place of what `out` holds.
pub(super) fn encode(chunks: &[Chunk], out: &mut Vec<u8>) -> Summary {
    let ids: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.ids.iter().copied()).collect();
    let least = chunks.iter().map(|chunk| chunk.least).min().unwrap_or_default();
    let greatest = chunks.iter().map(|chunk| chunk.greatest).max().unwrap_or_default();
    let summary = Summary { least, greatest, filter: filter(&ids) };
    out.clear();
    out.extend_from_slice(&least.to_le_bytes());
    out.extend_from_slice(&greatest.to_le_bytes());
    put_length(summary.filter.len(), out);
    summary.filter.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    for chunk in chunks {
        put_length(chunk.names.len(), out);
        for name in &chunk.names {
            let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&name.as_bytes()[..usize::from(length)]);
        }
        put_length(chunk.notes.len(), out);
        out.extend_from_slice(&chunk.notes);
    }
    summary
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Names and notes of one chunk, as they lie in a block.
pub(super) struct Read<'a> {
    names: Vec<&'a str>,
    notes: &'a [u8],
}

impl<'a> Read<'a> {
    pub(super) fn notes(&self) -> impl Iterator<Item = (u64, Note<'a>)> {
        Note::read_all(self.notes)
    }

    pub(super) fn name(&self, number: u16) -> &'a str {
        self.names.get(usize::from(number)).copied().unwrap_or("?")
    }
}

/// Reads the head of a block, and where its chunks begin.
pub(super) fn summary(block: &[u8]) -> Option<(Summary, &[u8])> {
    let (least, rest) = block.split_first_chunk()?;
    let (greatest, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (words, rest) =
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_mul(8)?)?;
    let filter = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let (least, greatest) = (u64::from_le_bytes(*least), u64::from_le_bytes(*greatest));
    Some((Summary { least, greatest, filter }, rest))
}

/// The chunks of a block. Ends at the first that is cut short.
pub(super) fn chunks(block: &[u8]) -> impl Iterator<Item = Read<'_>> {
    let mut rest = summary(block).map_or(&[][..], |(_, rest)| rest);
    std::iter::from_fn(move || {
        let (count, mut after) = rest.split_first_chunk()?;
        let mut names = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let (length, names_on) = after.split_first_chunk()?;
            let (name, names_on) = names_on.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            // A name that is cut at its longest may end within a character.
            names.push(std::str::from_utf8(name).unwrap_or("?"));
            after = names_on;
        }
        let (length, after) = after.split_first_chunk()?;
        let (notes, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(Read { names, notes })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_knows_its_ids_and_few_others() {
        let mut chunk = Chunk::default();
        let hash = |n: u64| crate::provenance::recorder::id_hash(&format!("evt_{n}"));
        for n in 0..5_000 {
            chunk.ids.push(hash(n));
            chunk.note(n + 100, &Note::Sent { route: 0, lanes: 1 });
        }
        let mut bytes = b"what was there before".to_vec();
        encode(&[chunk], &mut bytes);
        let (summary, _) = super::summary(&bytes).unwrap();
        assert!((0..5_000).all(|n| summary.may_have_id(hash(n))));
        let wrong = (5_000..105_000).filter(|n| summary.may_have_id(hash(*n))).count();
        assert!(wrong < 2_000, "{wrong} of 100,000");
        assert_eq!((summary.least, summary.greatest), (100, 5_099));
    }

    #[test]
    fn chunks_keep_their_own_names() {
        let chunk = |name: &str| {
            let mut chunk = Chunk::default();
            let route = chunk.add_name(name);
            chunk.note(1, &Note::Sent { route, lanes: 1 });
            chunk
        };
        let mut bytes = Vec::new();
        encode(&[chunk("one"), chunk("two")], &mut bytes);
        let read: Vec<_> = chunks(&bytes).map(|chunk| (chunk.name(0), chunk.notes().count())).collect();
        assert_eq!(read, [("one", 1), ("two", 1)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = summary(&bytes);
            for chunk in chunks(&bytes) {
                let _ = (chunk.name(0), chunk.notes().count());
            }
        }
    }
}
