use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use super::forms::forms;
use crate::lease::Memo;

/// Below this length a value turns up by chance: it is only compared with the whole of what is
/// looked at.
const SHORT: usize = 8;

/// Answers "does this contain what was injected?" and shows nothing.
///
/// It looks for each value in every form that `strategy::forms` knows. A value shorter than eight bytes is found
/// only where it stands alone.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<[Arc<Watched>]>>);

/// One value, and what it looks like.
struct Watched {
    value: Zeroizing<Vec<u8>>,
    /// Made on the first look that could find something: most answers hold nothing as long as
    /// a credential.
    needles: OnceLock<Needles>,
}

impl Watch {
    /// Watches values; empty ones are left out. What was watched before with the same credentials
    /// is taken from their memo, so that its forms are made once.
    pub(super) fn over(values: Vec<Zeroizing<Vec<u8>>>, memo: Option<&Memo>) -> Self {
        let known = memo.and_then(|memo| memo.get()?.downcast_ref::<Arc<[Arc<Watched>]>>());
        let watched = |value: Zeroizing<Vec<u8>>| {
            let before = known.and_then(|known| known.iter().find(|known| known.value == value));
            before.map_or_else(|| Arc::new(Watched { value, needles: OnceLock::new() }), Arc::clone)
        };
        let all: Arc<[_]> = values.into_iter().filter(|value| !value.is_empty()).map(watched).collect();
        if all.is_empty() {
            return Self(None);
        }
        if let Some(memo) = memo {
            // Whoever was first stays: the values of one strategy are the same in every request,
            // but for signatures.
            let _ = memo.get_or_init(|| Box::new(Arc::clone(&all)));
        }
        Self(Some(all))
    }

    /// Tells whether bytes contain what was injected, plain or in a common encoding.
    pub fn sees(&self, bytes: &[u8]) -> bool {
        self.0.iter().flat_map(|all| all.iter()).any(|watched| watched.is_in(bytes))
    }

    /// Tells whether nothing was injected.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Watched {
    fn is_in(&self, bytes: &[u8]) -> bool {
        // No encoding of a value is shorter than the value.
        if bytes.len() < self.value.len() {
            return false;
        }
        if self.value.len() < SHORT {
            return self.value.as_slice() == bytes;
        }
        self.needles.get_or_init(|| Needles::new(forms(&self.value))).are_in(bytes)
    }
}

/// The forms of a value, and the bytes that one of them starts with: few places of an answer's
/// header are looked at twice.
struct Needles {
    forms: Vec<Zeroizing<Vec<u8>>>,
    starts: [bool; 256],
}

impl Needles {
    fn new(forms: Vec<Zeroizing<Vec<u8>>>) -> Self {
        let mut starts = [false; 256];
        forms.iter().filter_map(|form| form.first()).for_each(|&first| starts[usize::from(first)] = true);
        Self { forms, starts }
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        let possible = bytes.iter().enumerate().filter(|&(_, &byte)| self.starts[usize::from(byte)]);
        possible.into_iter().any(|(at, _)| self.forms.iter().any(|form| bytes[at..].starts_with(form)))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;
    use crate::model::encode_form;

    fn watch(values: &[&str]) -> Watch {
        Watch::over(values.iter().map(|value| Zeroizing::new(value.as_bytes().to_vec())).collect(), None)
    }

    #[test]
    fn nothing_injected_sees_nothing() {
        assert!(Watch::default().is_empty() && watch(&[""]).is_empty());
        assert!(!Watch::default().sees(b"") && !watch(&[""]).sees(b""));
    }

    #[test]
    fn encodings_and_near_misses() {
        let secret = "p:ss wörd/+?";
        let watch = watch(&[secret]);
        for seen in [
            "p:ss wörd/+?",
            "https://a.example/?t=p%3Ass+w%C3%B6rd%2F%2B%3F&x",
            "p%3Ass%20w%C3%B6rd%2F%2B%3F",
            "p%3ass%20w%c3%b6rd%2f%2b%3f",
            "/p:ss%20w%C3%B6rd/+%3F",
            "703a73732077c3b672642f2b3f",
            "703A73732077C3B672642F2B3F",
        ] {
            assert!(watch.sees(seen.as_bytes()), "{seen}");
        }
        for unseen in ["", "p:ss wörd/+", "P:SS WÖRD/+?", "p:ss  wörd/+?"] {
            assert!(!watch.sees(unseen.as_bytes()), "{unseen}");
        }
    }

    #[test]
    fn a_short_value_is_seen_alone() {
        let watch = watch(&["k-123"]);
        assert!(watch.sees(b"k-123"));
        assert!(!watch.sees(b"ak-123") && !watch.sees(b"k-1234"));
    }

    proptest! {
        #[test]
        fn base64_is_seen_at_every_alignment(value in "[ -~]{8,40}", before in "[ -~]{0,7}", after in "[ -~]{0,7}") {
            let text = format!("{before}{value}{after}");
            let watch = watch(&[&value]);
            prop_assert!(watch.sees(STANDARD.encode(&text).as_bytes()));
            prop_assert!(watch.sees(URL_SAFE.encode(&text).as_bytes()));
            prop_assert!(watch.sees(hex::encode(&text).as_bytes()));
            let escaped = before + &encode_form(&value);
            prop_assert!(watch.sees(escaped.as_bytes()));
        }
    }
}
