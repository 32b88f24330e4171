//! Where in a trace something is: W3C Trace Context, as text and as numbers.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use crate::Event;
use crate::event::Value;

/// The attribute of CloudEvents' distributed tracing extension, and the header of W3C Trace Context.
pub const PARENT: &str = "traceparent";
/// As [`PARENT`], for what vendors add.
pub const STATE: &str = "tracestate";

/// W3C Trace Context 3.2.2.5: the caller may have recorded.
const SAMPLED: u8 = 1;
/// The flags that are known; others must not be passed on (3.2.2.5.2).
const KNOWN: u8 = 3;
/// Version, trace, parent and flags, with hyphens between.
const LENGTH: usize = 55;

/// One span, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace; not 0.
    pub trace: u128,
    /// The span in it; not 0.
    pub span: u64,
    flags: u8,
}

impl Context {
    /// A span of a trace that is recorded.
    pub(super) fn sampled(trace: u128, span: u64) -> Self {
        Self { trace, span, flags: SAMPLED }
    }

    /// Reads `00-TRACE-SPAN-FLAGS`. Of a later version the known part is read, as the specification asks for.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let head = bytes.get(..LENGTH)?;
        let separated = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        let lower = head.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        let fits = match &head[..2] {
            b"00" => bytes.len() == LENGTH,
            b"ff" => false,
            _ => bytes.len() == LENGTH || bytes[LENGTH] == b'-',
        };
        if !separated || !lower || !fits {
            return None;
        }
        u8::from_str_radix(&text[..2], 16).ok()?;
        let trace = u128::from_str_radix(&text[3..35], 16).ok()?;
        let span = u64::from_str_radix(&text[36..52], 16).ok()?;
        let flags = u8::from_str_radix(&text[53..LENGTH], 16).ok()?;
        (trace != 0 && span != 0).then_some(Self { trace, span, flags: flags & KNOWN })
    }

    /// What the event's own extension says.
    pub fn of(event: &Event) -> Option<Self> {
        match event.attribute(PARENT)? {
            Value::String(text) => Self::parse(text),
            _ => None,
        }
    }

    /// Whether the one who began it records.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Another span of the trace, recorded.
    pub(super) fn child(self, span: u64) -> Self {
        Self { span, flags: self.flags | SAMPLED, ..self }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// A span's id that everybody works out alike from what they know of the event: nothing needs to be carried along, not
/// even through a journal and a restart.
pub(super) fn derived(context: Context, parts: &[&[u8]]) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(0x7472_6163).build_hasher();
    hasher.write_u128(context.trace);
    hasher.write_u64(context.span);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_example_is_read_and_written() {
        let context = Context::parse(EXAMPLE).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span, 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), EXAMPLE);
        assert!(!Context::parse(&EXAMPLE.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn a_later_version_may_have_more_and_this_one_may_not() {
        let later = format!("cc{}-what-comes", &EXAMPLE[2..]);
        assert_eq!(Context::parse(&later).unwrap().to_string(), EXAMPLE);
        assert_eq!(Context::parse(&later.replace("01-what", "01.what")), None);
        assert_eq!(Context::parse(&format!("{EXAMPLE}-more")), None);
    }

    #[test]
    fn what_is_none_is_not_taken_for_one() {
        let upper = EXAMPLE.to_uppercase();
        let no_trace = EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let no_span = EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16));
        let version = format!("ff{}", &EXAMPLE[2..]);
        let hyphen = EXAMPLE.replace("4bf92f35", "4bf-2f35");
        for wrong in ["", "00", upper.as_str(), &no_trace, &no_span, &version, &hyphen, &EXAMPLE[..54]] {
            assert_eq!(Context::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let context = Context::parse(&EXAMPLE.replace("-01", "-ff")).unwrap();
        assert!(context.to_string().ends_with("-03"));
    }

    #[test]
    fn derived_ids_tell_their_parts_apart() {
        let context = Context::parse(EXAMPLE).unwrap();
        let id = derived(context, &[b"a", b"bc"]);
        assert_eq!(id, derived(context, &[b"a", b"bc"]));
        assert_ne!(id, derived(context, &[b"ab", b"c"]));
        assert_ne!(id, derived(context.child(1), &[b"a", b"bc"]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}|00-[0-9a-f-]{32}-[0-9a-f-]{16}-[0-9a-f]{2}.{0,2}") {
            let _ = Context::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64..) {
            let context = Context::sampled(trace, span);
            prop_assert_eq!(Context::parse(&context.to_string()), Some(context));
        }
    }
}
