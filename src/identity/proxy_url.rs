use std::fmt::Write as _;

use crate::model::Secret;

/// The URL by which an agent reaches its proxy, its name and password in it (RFC 3986, section
/// 3.2.1). `address` is `host:port`.
pub fn proxy_url(address: &str, name: &str, password: &Secret) -> String {
    format!("http://{}:{}@{address}", encoded(name.as_bytes()), encoded(password.expose()))
}

/// The same with a text in the password's place that is put in later, as it is.
pub fn proxy_url_with(address: &str, name: &str, later: &str) -> String {
    format!("http://{}:{later}@{address}", encoded(name.as_bytes()))
}

/// The password as it may show up where a proxy's URL is printed: itself, and as it stands there.
pub fn spellings(password: &Secret) -> Vec<String> {
    let mut all = vec![encoded(password.expose())];
    all.extend(password.expose_str().filter(|plain| *plain != all[0]).map(str::to_owned));
    all
}

/// Tells whether the password stands in a URL as it is.
pub fn is_plain_in_url(password: &Secret) -> bool {
    password.expose().iter().all(|byte| is_unreserved(*byte))
}

/// Clients decode what stands before the `@`.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_unreserved(*byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_password_holds_the_url_has_one_reading() {
        let password = Secret::new("p@ss:/w%20?#'\"$ ü");
        let url = proxy_url("127.0.0.1:1", "a b@c", &password);
        assert_eq!(url, "http://a%20b%40c:p%40ss%3A%2Fw%2520%3F%23%27%22%24%20%C3%BC@127.0.0.1:1");
        assert_eq!(url.matches('@').count(), 1);
        assert_eq!(proxy_url_with("h:1", "bot", "$(X)"), "http://bot:$(X)@h:1");
    }

    #[test]
    fn every_spelling_is_known() {
        assert_eq!(spellings(&Secret::new("plain-1")), ["plain-1"]);
        assert_eq!(spellings(&Secret::new("a b")), ["a%20b", "a b"]);
        assert_eq!(spellings(&Secret::new([0xff])), ["%FF"]);
        assert!(is_plain_in_url(&Secret::new("aZ9-._~")) && !is_plain_in_url(&Secret::new("a b")));
    }
}
