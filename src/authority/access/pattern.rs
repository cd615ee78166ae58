/// What a claim must look like: text in which `*` stands for one or more characters other than
/// `:` and `/`, and `**` for one or more of any.
///
/// A `*` that crossed `:` would take `repo:acme/app:pull_request` for a branch of `repo:acme/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    /// `*`
    Within,
    /// `**`
    Across,
}

/// No claim that is longer is looked at: the work is the product of both lengths.
const LONGEST: usize = 1024;

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut steps = Vec::with_capacity(text.len());
        for byte in text.bytes() {
            match (byte, steps.last_mut()) {
                (b'*', Some(last @ (Step::Within | Step::Across))) => *last = Step::Across,
                (b'*', _) => steps.push(Step::Within),
                _ => steps.push(Step::Byte(byte)),
            }
        }
        Self(steps)
    }

    /// Tells whether the whole text is so.
    pub(super) fn matches(&self, text: &str) -> bool {
        if text.len() > LONGEST {
            return false;
        }
        // `open[i]`: the bytes so far fit the first `i` steps.
        let mut open = vec![false; self.0.len() + 1];
        open[0] = true;
        for byte in text.bytes() {
            let mut next = vec![false; open.len()];
            for (at, step) in self.0.iter().enumerate() {
                let takes = match step {
                    Step::Byte(own) => *own == byte,
                    Step::Within => byte != b':' && byte != b'/',
                    Step::Across => true,
                };
                // A wildcard that has taken one byte may take the next.
                let more = !matches!(step, Step::Byte(_)) && open[at + 1];
                next[at + 1] |= takes && (open[at] || more);
            }
            open = next;
        }
        open.last() == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_stay_within_their_part() {
        for (pattern, text, want) in [
            ("agents", "agents", true),
            ("agents", "agents2", false),
            ("agents", "Agents", false),
            ("agents", "", false),
            ("system:serviceaccount:agents:*", "system:serviceaccount:agents:bot", true),
            ("system:serviceaccount:agents:*", "system:serviceaccount:agents:", false),
            ("system:serviceaccount:agents:*", "system:serviceaccount:agents:a:b", false),
            ("system:serviceaccount:*:bot", "system:serviceaccount:x:y:bot", false),
            ("system:serviceaccount:agents:*", "xsystem:serviceaccount:agents:bot", false),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:pull_request:ref:refs/heads/main", false),
            ("repo:acme/**", "repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/**", "repo:acme/", false),
            ("***", "a:b", true),
            ("a*a", "aa", false),
            ("a*a", "aba", true),
            ("*a*", "aaa", true),
            ("*", "\u{e9}", true),
            ("a?[b]", "a?[b]", true),
            ("a?", "ab", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), want, "{pattern} {text}");
        }
        // What makes a matcher that goes back slow.
        assert!(!Pattern::new(&"*a".repeat(100)).matches(&"a".repeat(150)));
        assert!(!Pattern::new("**").matches(&"a".repeat(LONGEST + 1)));
    }

    proptest! {
        #[test]
        fn text_without_wildcards_matches_itself_alone(one in "[a-c:/]{0,8}", other in "[a-c:/]{0,8}") {
            prop_assert_eq!(Pattern::new(&one).matches(&other), one == other);
        }

        #[test]
        fn a_piece_replaced_by_a_wildcard_still_matches(a in "[a-c:]{0,5}", b in "[a-c]{1,5}", c in "[a-c:]{0,5}") {
            let text = format!("{a}{b}{c}");
            for pattern in [format!("{a}*{c}"), format!("{a}**{c}")] {
                prop_assert!(Pattern::new(&pattern).matches(&text), "{}", pattern);
            }
        }
    }
}
