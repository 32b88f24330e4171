//! What is left of JSON text when only some fields stay: their own text, and the objects and arrays around them.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use stagewire_plugin::json::{Path, Reach, Step};

/// The data with nothing but what the paths name. Where nothing is left of the whole, `{}` or `[]` or `null` is.
///
/// # Errors
/// The data is not JSON, or nested too deeply.
pub(crate) fn kept(data: &[u8], paths: &[Path]) -> Result<Vec<u8>, serde_json::Error> {
    let mut keep = Keep { paths, trail: Vec::new(), out: Vec::new() };
    let mut reader = serde_json::Deserializer::from_slice(data);
    let any = Value(&mut keep).deserialize(&mut reader)?;
    reader.end()?;
    if any {
        return Ok(keep.out);
    }
    let first = data.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(match first {
        Some(b'{') => b"{}".to_vec(),
        Some(b'[') => b"[]".to_vec(),
        _ => b"null".to_vec(),
    })
}

struct Keep<'p, 'de> {
    paths: &'p [Path],
    trail: Vec<Step<'de>>,
    out: Vec<u8>,
}

impl<'de> Keep<'_, 'de> {
    /// Takes what is to be kept of the next member or element, which begins with `key`; whether there was any.
    fn part<E>(
        &mut self,
        step: Step<'de>,
        key: &str,
        read: impl FnOnce(&mut Self, Reach) -> Result<bool, E>,
    ) -> Result<bool, E> {
        self.trail.push(step);
        let reach = self.paths.iter().map(|path| path.reach(&self.trail)).max().unwrap_or(Reach::Elsewhere);
        let before = self.out.len();
        self.out.extend_from_slice(key.as_bytes());
        let any = read(self, reach)?;
        if any {
            self.out.push(b',');
        } else {
            self.out.truncate(before);
        }
        self.trail.pop();
        Ok(any)
    }

    fn take(&mut self, value: &RawValue) -> bool {
        self.out.extend_from_slice(value.get().as_bytes());
        true
    }

    /// Ends what began at `before`: with its bracket if anything is in it, else as if it had never been.
    fn close(&mut self, before: usize, any: bool, bracket: u8) -> bool {
        if any {
            self.out.pop();
            self.out.push(bracket);
        } else {
            self.out.truncate(before);
        }
        any
    }
}

/// A value in which something may be to keep; whether there was.
struct Value<'k, 'p, 'de>(&'k mut Keep<'p, 'de>);

impl<'de> DeserializeSeed<'de> for Value<'_, '_, 'de> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let keep = self.0;
        let (before, mut any) = (keep.out.len(), false);
        keep.out.push(b'{');
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let name = name(key.get()).map_err(serde::de::Error::custom)?;
            any |= keep.part(Step::Key(name), key.get(), |keep, reach| {
                keep.out.push(b':');
                match reach {
                    Reach::Here => map.next_value::<&RawValue>().map(|value| keep.take(value)),
                    Reach::Below => map.next_value_seed(Value(keep)),
                    Reach::Elsewhere => map.next_value::<IgnoredAny>().map(|_| false),
                }
            })?;
        }
        Ok(keep.close(before, any, b'}'))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let keep = self.0;
        let (before, mut any) = (keep.out.len(), false);
        keep.out.push(b'[');
        let (mut index, mut more) = (0, true);
        while more {
            any |= keep.part(Step::Index(index), "", |keep, reach| {
                let read = match reach {
                    Reach::Here => elements.next_element::<&RawValue>()?.map(|value| keep.take(value)),
                    Reach::Below => elements.next_element_seed(Value(keep))?,
                    Reach::Elsewhere => elements.next_element::<IgnoredAny>()?.map(|_| false),
                };
                more = read.is_some();
                Ok(read.unwrap_or(false))
            })?;
            index += 1;
        }
        Ok(keep.close(before, any, b']'))
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// The name that a key spells, which is copied only if it has escapes.
fn name(key: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    match key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str(key).map(Cow::Owned),
    }
}
