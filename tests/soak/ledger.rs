//! What a writer said that it did: how often each thing must have happened, and how often it may.

use std::collections::BTreeMap;

/// An event of the audit and what it is about.
pub(crate) type Deed = (String, String);

#[derive(Default)]
pub(crate) struct Ledger {
    deeds: BTreeMap<Deed, Times>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    /// Acknowledged.
    pub(crate) sure: u64,
    /// Begun, and nobody said how it ended.
    pub(crate) open: u64,
}

impl Ledger {
    /// Takes a line of a writer: `? EVENT SUBJECT` before, `! EVENT SUBJECT` once acknowledged. A line
    /// without an end, of a writer that was killed over it, is none.
    pub(crate) fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(mark), Some(event), Some(subject)) = (words.next(), words.next(), words.next()) else { return };
        let times = self.deeds.entry((event.to_owned(), subject.to_owned())).or_default();
        match mark {
            "?" => times.open += 1,
            "!" => {
                times.open = times.open.saturating_sub(1);
                times.sure += 1;
            }
            _ => {}
        }
    }

    /// How often something must have happened, and may have beyond that.
    pub(crate) fn times(&self, deed: &Deed) -> Times {
        self.deeds.get(deed).copied().unwrap_or_default()
    }

    pub(crate) fn deeds(&self) -> impl Iterator<Item = (&Deed, Times)> {
        self.deeds.iter().map(|(deed, times)| (deed, *times))
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.deeds.values().map(|times| times.sure).sum()
    }
}
