//! A plugin's own metrics: bounded in number, their names checked, resolved once for each instance.

use parking_lot::Mutex;

use crate::telemetry::StepMetrics;

/// The metrics of one sort that a step has, shared by its instances.
pub(super) struct Own<M>(Mutex<Vec<(String, M)>>);

impl<M> Default for Own<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M: Clone> Own<M> {
    /// The metric of that name, made where it is new.
    ///
    /// # Errors
    /// Why it is left out.
    pub(super) fn get(&self, name: &str, make: impl FnOnce(&str) -> M) -> Result<M, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err("a metric was left out: its name is not 1 to 64 of a-z, 0-9 and _");
        }
        let mut known = self.0.lock();
        if let Some((_, metric)) = known.iter().find(|(known, _)| known == name) {
            return Ok(metric.clone());
        }
        if known.len() >= StepMetrics::MOST_OWN {
            return Err("a metric was left out: the step has as many as it may");
        }
        let metric = make(name);
        known.push((name.to_owned(), metric.clone()));
        Ok(metric)
    }
}

/// What one instance has asked for, with what it was refused.
pub(super) struct Resolved<M>(Vec<(String, Option<M>)>);

impl<M> Default for Resolved<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M> Resolved<M> {
    pub(super) fn get(&mut self, name: String, resolve: impl FnOnce(&str) -> Option<M>) -> Option<&M> {
        let index = match self.0.iter().position(|(known, _)| *known == name) {
            Some(index) => index,
            // Twice the most: names that were refused are remembered too, but not without end.
            None if self.0.len() >= 2 * StepMetrics::MOST_OWN => return None,
            None => {
                let metric = resolve(&name);
                self.0.push((name, metric));
                self.0.len() - 1
            }
        };
        self.0[index].1.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_bounded_and_their_names_checked() {
        let own = Own::default();
        let get = |name: &str| own.get(name, |_| 1);
        assert!(get("Bad Name").is_err());
        assert!(get("").is_err());
        for index in 0..StepMetrics::MOST_OWN {
            assert!(get(&format!("c{index}")).is_ok());
        }
        assert!(get("one_more").is_err());
        assert!(get("c0").is_ok());
    }

    #[test]
    fn an_instance_asks_once_for_each_name_and_remembers_a_bounded_number() {
        let mut resolved = Resolved::default();
        for index in 0..1_000 {
            resolved.get(format!("n{index}"), |_| Some(index));
        }
        assert_eq!(resolved.get("n0".into(), |_| panic!("asked again")), Some(&0));
        assert_eq!(resolved.0.len(), 2 * StepMetrics::MOST_OWN);
    }
}
