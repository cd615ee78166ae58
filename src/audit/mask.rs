/// Masks what of a raw target may be a secret: values of the query, and user information.
///
/// Names stay, and so does the number of pairs: `/a?token=x&flag` is `/a?token=***&flag`.
pub(super) fn target(raw: &str) -> String {
    let (front, query) = match raw.split_once('?') {
        Some((front, query)) => (front, Some(query)),
        None => (raw, None),
    };
    let mut masked = String::with_capacity(raw.len());
    let authority = front.find("://").map_or(0, |colon| colon + 3);
    let end = front[authority..].find('/').map_or(front.len(), |slash| authority + slash);
    match front[..end].rfind('@') {
        Some(at) => {
            masked.push_str(&front[..authority.min(at)]);
            masked.push_str("***");
            masked.push_str(&front[at..]);
        }
        None => masked.push_str(front),
    }
    if let Some(query) = query {
        masked.push('?');
        masked.push_str(&self::query(query));
    }
    masked
}

/// Masks the values of a query's pairs.
fn query(raw: &str) -> String {
    let piece = |piece: &str| match piece.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}=***"),
        _ => piece.to_owned(),
    };
    raw.split('&').map(piece).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_passwords_go() {
        for (raw, masked) in [
            ("/a/b", "/a/b"),
            ("api.test:443", "api.test:443"),
            ("http://api.test/a@b?x=1&y&z=&=s&q=a=b", "http://api.test/a@b?x=***&y&z=&=***&q=***"),
            ("http://user:pass@api.test/p", "http://***@api.test/p"),
            ("http://a@b@c", "http://***@c"),
            ("user:pass@api.test:443", "***@api.test:443"),
            ("?", "?"),
            ("", ""),
        ] {
            assert_eq!(target(raw), masked, "{raw}");
        }
    }
}
