//! What a session of a role says of whoever borrows it.

use std::time::Duration;

use aws_lc_rs::digest;

use crate::config::AwsConnection;
use crate::lease::Ask;

/// An hour: what the token service gives by itself, and what one role may give another's session.
const USUAL: Duration = Duration::from_secs(3600);

/// A session to be made.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// `RoleSessionName`: the agent.
    pub(super) name: String,
    /// The agent and the connection, as tags have them.
    pub(super) agent: String,
    pub(super) connection: String,
    pub(super) duration: Duration,
    pub(super) policy: Option<String>,
}

impl Session {
    pub(super) fn of(ask: &Ask, place: &AwsConnection) -> Self {
        Self {
            name: fitted(&ask.agent, 2, 64, |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)),
            agent: fitted(&ask.agent, 1, 256, in_tag),
            connection: fitted(ask.connection.as_str(), 1, 256, in_tag),
            duration: place.duration.unwrap_or(USUAL),
            policy: place.session_policy.clone(),
        }
    }

    /// The same without what narrows it.
    pub(super) fn plain(&self) -> Self {
        Self { policy: None, duration: USUAL, ..self.clone() }
    }
}

fn in_tag(c: char) -> bool {
    c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c)
}

/// A name as it is where it fits. Another has a dash for what does not, and `=` with 16 hex digits of
/// its SHA-256 behind it; so has one that looks like that by itself, and no two become the same.
fn fitted(name: &str, least: usize, most: usize, good: impl Fn(char) -> bool) -> String {
    const TAIL: usize = 17;
    let is_ours = |tail: &str| tail.starts_with('=') && tail.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit());
    let looks_fitted = name.len().checked_sub(TAIL).and_then(|at| name.get(at..)).is_some_and(is_ours);
    if (least..=most).contains(&name.len()) && name.chars().all(&good) && !looks_fitted {
        return name.to_owned();
    }
    let kept: String = name.chars().map(|c| if good(c) { c } else { '-' }).take(most - TAIL).collect();
    let mut digits = hex::encode(digest::digest(&digest::SHA256, name.as_bytes()));
    digits.truncate(TAIL - 1);
    format!("{kept}={digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_agents_have_one_session_name() {
        let fit = |name: &str| fitted(name, 2, 64, |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c));
        assert_eq!(fit("triage-bot"), "triage-bot");
        let long = "a".repeat(65);
        let hostile = fit("a b");
        let names = ["a b", "a-b", "a!b", "a", "b", &long, &"a".repeat(64), &"a".repeat(66), &hostile, &fit(&hostile)];
        let fitted: Vec<String> = names.iter().map(|name| fit(name)).collect();
        for (index, one) in fitted.iter().enumerate() {
            assert!((2..=64).contains(&one.len()), "{one}");
            assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)), "{one}");
            assert!(!fitted[..index].contains(one), "{one}");
        }
        assert!(hostile.starts_with("a-b=") && hostile.len() == 20, "{hostile}");
    }
}
