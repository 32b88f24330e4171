//! What instances take beside their memories and tables: each has room for the functions, globals and imports of its module, which no
//! limit of a store counts. A file that has a module of a million globals instantiated again and again is refused.
//!
//! Only lengths and counts are read here, before anything else is: what is not as it should be is for the compiler to refuse.

/// Bytes of an instance for each function, global or import, rounded up.
const ITEM: u64 = 32;
/// More core instances than a store may have are refused when it is started.
const INSTANCES: u64 = 64;

/// An upper bound, in bytes.
pub(super) fn weight(file: &[u8]) -> u64 {
    let mut counts = Counts::default();
    // Not by recursion: components may lie in each other as deep as a file is long.
    let mut rest = vec![(file, false)];
    while let Some((part, inner)) = rest.pop() {
        counts.read(part, inner, &mut rest);
    }
    let Counts { heaviest, modules, instances, components, inner } = counts;
    // Each module is instantiated once, and what is left may all be the heaviest, in every instance of its component.
    let again = instances.saturating_sub(modules).saturating_add(1);
    let times = if inner { again.saturating_mul(components.saturating_add(1)) } else { again };
    heaviest.saturating_mul(ITEM).saturating_mul(times.min(INSTANCES))
}

#[derive(Default)]
struct Counts {
    /// Functions, globals and imports of the module that has most of them.
    heaviest: u64,
    modules: u64,
    /// Core instances.
    instances: u64,
    /// Instances of components.
    components: u64,
    /// Whether a module lies in a component within the component.
    inner: bool,
}

impl Counts {
    fn read<'a>(&mut self, part: &'a [u8], inner: bool, rest: &mut Vec<(&'a [u8], bool)>) {
        let mut reader = Reader(part.get(8..).unwrap_or_default());
        let is_component = part.get(6) == Some(&1);
        let mut items = 0_u64;
        while let Some((number, content)) = reader.section() {
            let count = u64::from(Reader(content).number().unwrap_or(0));
            match (is_component, number) {
                (true, 1) => {
                    self.inner |= inner;
                    rest.push((content, inner));
                }
                (true, 4) => rest.push((content, true)),
                (true, 2) => self.instances += Reader(content).instantiated().unwrap_or(count),
                (true, 5) => self.components += count,
                // Imports, functions, globals.
                (false, 2 | 3 | 6) => items += count,
                _ => {}
            }
        }
        if !is_component {
            self.modules += 1;
            self.heaviest = self.heaviest.max(items);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        let number = self.byte()?;
        let length = self.number()?;
        Some((number, self.bytes(length)?))
    }

    /// How many of a section of core instances are made of modules, and not of names.
    fn instantiated(&mut self) -> Option<u64> {
        let mut found = 0;
        for _ in 0..self.number()? {
            let of_module = self.byte()? == 0;
            if of_module {
                found += 1;
                self.number()?;
            }
            for _ in 0..self.number()? {
                let length = self.number()?;
                self.bytes(length)?;
                self.byte()?;
                self.number()?;
            }
        }
        Some(found)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, length: u32) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(first)
    }

    /// In LEB128.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_module_weighs_as_often_as_it_may_be_instantiated() {
        let globals = "(global i32 (i32.const 0))".repeat(1_000);
        let module = format!("(core module $m (import \"\" \"f\" (func)) {globals} (func))");
        assert_eq!(weight(&file(&format!("(module {globals})"))), 1_000 * ITEM);
        let times = |count: usize| {
            let names = "(core instance $names (export \"f\" (func $f)))";
            let instances = "(core instance (instantiate $m (with \"\" (instance $names))))".repeat(count);
            format!(
                "{module} (core module $e (func (export \"f\"))) (core instance $i (instantiate $e)) (alias core export $i \"f\" (core func $f)) {names} {instances}"
            )
        };
        let once = file(&format!("(component {})", times(1)));
        assert_eq!(weight(&once), 1_002 * ITEM);
        assert_eq!(weight(&file(&format!("(component {})", times(5)))), 5 * 1_002 * ITEM);
        assert_eq!(weight(&file(&format!("(component {})", times(500)))), INSTANCES * 1_002 * ITEM);
        let within = format!(
            "(component (component $c {}) (instance (instantiate $c)) (instance (instantiate $c)))",
            times(2)
        );
        assert!(weight(&file(&within)) >= 4 * 1_002 * ITEM);
    }

    #[test]
    fn what_is_cut_short_or_endlessly_deep_is_weighed_as_well() {
        let whole = file("(component (core module $m (func)) (core instance (instantiate $m)))");
        (0..whole.len()).for_each(|end| _ = weight(&whole[..end]));
        let mut deep = Vec::new();
        for _ in 0..5_000 {
            let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
            let mut length = deep.len();
            while length >= 0x80 {
                outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            outer.push(u8::try_from(length).unwrap());
            outer.append(&mut deep);
            deep = outer;
        }
        assert_eq!(weight(&deep), 0);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_stop_the_scales(bytes in proptest::collection::vec(0_u8..=255, 0..200)) {
            weight(&[b"\0asm\x0d\0\x01\0".to_vec(), bytes].concat());
        }
    }
}
