//! The chain: each line ends in a MAC over the line before's MAC and its own bytes, so that no
//! line can be edited, removed or moved by someone who does not hold the key.

use std::sync::Arc;

use aws_lc_rs::hmac;

/// What stands before the MAC in a line.
const FIELD: &[u8] = b",\"mac\":\"";
/// What stands behind it.
const END: &[u8] = b"\"}";
const HEX: usize = 64;

/// HMAC-SHA256 of a line and of everything before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mac([u8; 32]);

impl Mac {
    pub(super) fn hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 lower-case hex digits; the other case is another spelling, which no line has.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let strict = text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
        hex::decode_to_slice(text, &mut bytes).ok()?;
        strict.then_some(Self(bytes))
    }
}

/// The key of every chain in a folder.
#[derive(Clone, Debug)]
pub(super) struct ChainKey(Arc<hmac::Key>);

impl ChainKey {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// What stands for "the line before" in front of a chain's first line. It names the chain, so
    /// that a file cannot take another one's name, nor the index's place.
    pub(super) fn seed(&self, chain: &str) -> Mac {
        self.mac(b"nexus-sidecar audit chain 1: ", chain.as_bytes())
    }

    /// The MAC of a line whose bytes before the MAC field are `body`.
    pub(super) fn next(&self, previous: Mac, body: &[u8]) -> Mac {
        self.mac(&previous.0, body)
    }

    fn mac(&self, first: &[u8], second: &[u8]) -> Mac {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(first);
        context.update(second);
        let mut mac = [0; 32];
        let tag = context.sign();
        for (to, from) in mac.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Mac(mac)
    }
}

/// The growing end of one chain.
#[derive(Debug)]
pub(super) struct Chain {
    key: ChainKey,
    /// Lines so far.
    pub(super) count: u64,
    /// The last line's MAC.
    pub(super) last: Mac,
}

impl Chain {
    pub(super) fn start(key: &ChainKey, name: &str) -> Self {
        Self { key: key.clone(), count: 0, last: key.seed(name) }
    }

    pub(super) fn resume(key: &ChainKey, count: u64, last: Mac) -> Self {
        Self { key: key.clone(), count, last }
    }

    /// Adds a line, given without its closing brace, and puts its whole bytes behind `out`.
    pub(super) fn push(&mut self, body: &[u8], out: &mut Vec<u8>) {
        self.last = self.key.next(self.last, body);
        self.count += 1;
        let mut digits = [0; HEX];
        // The lengths agree, so this cannot fail; a line of zeros would be found by verify.
        let _ = hex::encode_to_slice(self.last.0, &mut digits);
        for part in [body, FIELD, &digits, END, b"\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Splits a line (without its newline) into what is hashed and the MAC's digits.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = line.len().checked_sub(FIELD.len() + HEX + END.len())?;
    let rest = line.get(body..)?.strip_prefix(FIELD)?.strip_suffix(END)?;
    Some((&line[..body], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_hashed() {
        let key = ChainKey::new(b"k");
        let mut chain = Chain::start(&key, "a");
        let mut out = Vec::new();
        chain.push(b"{\"v\":1", &mut out);
        chain.push(b"{\"v\":2", &mut out);
        let mut previous = key.seed("a");
        for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let (body, mac) = split(line).unwrap();
            previous = key.next(previous, body);
            assert_eq!(previous.hex().as_bytes(), mac);
            assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok());
        }
        assert_eq!((chain.count, chain.last), (2, previous));
        assert_ne!(key.seed("a"), key.seed("b"));
    }

    #[test]
    fn a_known_answer() {
        // RFC 4231, test case 2, split as the chain splits it.
        let mac = ChainKey::new(b"Jefe").mac(b"what do ya ", b"want for nothing?");
        assert_eq!(mac.hex(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn near_misses_are_no_lines() {
        let mac = "ab".repeat(32);
        assert!(split(format!("{{,\"mac\":\"{mac}\"}}").as_bytes()).is_some());
        for bad in [
            String::new(),
            "\"}".into(),
            format!(",\"mac\":\"{mac}\""),
            format!(",\"mac\":\"{mac}\"}} "),
            format!(",\"mac\":\"{}\"}}", &mac[1..]),
        ] {
            assert!(split(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Mac::parse(mac.as_bytes()).is_some());
        assert!(Mac::parse(mac.to_uppercase().as_bytes()).is_none());
        assert!(Mac::parse(&mac.as_bytes()[1..]).is_none());
    }
}
