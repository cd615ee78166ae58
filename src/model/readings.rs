//! The other ways in which servers read a path, for rules that deny.

use std::collections::BTreeSet;

/// All readings of a form, the form in lower case among them. The steps are closed under
/// combination: each is applied to what the others gave, until nothing new appears.
pub(super) fn of(form: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![form.to_ascii_lowercase()];
    // Each step shortens or keeps a path, so this ends; the bound is for what nobody foresaw.
    while let Some(path) = todo.pop() {
        if seen.len() >= 64 || !seen.insert(path.clone()) {
            continue;
        }
        todo.extend(steps(&path));
    }
    seen.into_iter().collect()
}

/// Tells whether any step but lower case changes the path.
pub(super) fn differs(form: &str) -> bool {
    let visible = |path: &str| decode(path.as_bytes());
    let own = visible(&form.to_ascii_lowercase());
    steps(&form.to_ascii_lowercase()).iter().any(|reading| visible(reading) != own)
        || form.contains("%2F")
        || form.contains("%5C")
}

fn steps(path: &str) -> [String; 5] {
    [merge_slashes(path), open_separators(path), cut_parameters(path), cut_trailing_slash(path), decode_once(path)]
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    merged
}

fn open_separators(path: &str) -> String {
    path.replace("%2f", "/").replace("%2F", "/").replace("%5c", "/").replace("%5C", "/")
}

fn cut_parameters(path: &str) -> String {
    let cut: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    cut.join("/")
}

fn cut_trailing_slash(path: &str) -> String {
    match path.strip_suffix('/') {
        Some("") | None => path.to_owned(),
        Some(rest) => rest.to_owned(),
    }
}

fn decode_once(path: &str) -> String {
    String::from_utf8_lossy(&decode(path.as_bytes())).to_lowercase()
}

/// Decodes every well-formed escape once and leaves the rest.
pub(super) fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match escape_at(path, at) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// The byte that an escape at this place stands for, or `None` if there is no escape.
pub(super) fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    if path.get(at) != Some(&b'%') {
        return None;
    }
    let digit = |i: usize| path.get(i).and_then(|&b| char::from(b).to_digit(16));
    let value = digit(at + 1)? * 16 + digit(at + 2)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_found() {
        let readings = of("/Admin%2F;x//users/");
        for want in ["/admin%2f;x//users/", "/admin/users", "/admin//users", "/admin%2f/users"] {
            assert!(readings.iter().any(|r| r == want), "{want} in {readings:?}");
        }
        assert!(of("/a%2541").iter().any(|r| r == "/aa"));
    }

    #[test]
    fn a_plain_path_has_itself() {
        assert_eq!(of("/a/b"), ["/a/b"]);
    }
}
