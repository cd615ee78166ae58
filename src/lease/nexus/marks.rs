use std::collections::BTreeMap;

/// More names than this are not told apart.
const MOST: usize = 4096;

/// The number of the last event about each of some names.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, u64>);

impl Marks {
    /// Notes an event about a name. Where too many are known, the one that was told of longest
    /// ago is forgotten, and its number answered: whatever is as old may have changed.
    pub(super) fn note(&mut self, name: &str, number: u64) -> Option<u64> {
        let mark = self.0.entry(name.to_owned()).or_default();
        *mark = number.max(*mark);
        if self.0.len() <= MOST {
            return None;
        }
        let oldest = self.0.iter().min_by_key(|(_, number)| **number).map(|(name, _)| name.clone())?;
        self.0.remove(&oldest)
    }

    /// The last event about a name; zero where there was none.
    pub(super) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_told() {
        let mut marks = Marks::default();
        let most = u64::try_from(MOST).unwrap();
        for number in 1..=most {
            assert_eq!(marks.note(&format!("c{number}"), number), None);
        }
        assert_eq!((marks.of("c1"), marks.of("c7"), marks.of("other")), (1, 7, 0));
        assert_eq!(marks.note("c1", most + 1), None);
        assert_eq!(marks.note("c1", 3), None);
        assert_eq!(marks.of("c1"), most + 1, "an older event takes nothing back");
        assert_eq!(marks.note("new", most + 2), Some(2));
        assert_eq!(marks.of("c2"), 0);
    }
}
