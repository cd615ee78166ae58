//! Secrets that are recognised wherever they turn up, in the spellings that a leak could have.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// One secret value for each field of a strategy, and for what guards the sidecar itself. Each
/// holds bytes that every encoding changes.
pub const CANARIES: [(&str, &str); 8] = [
    ("access_token", "tok-5e1d\"+/=\\~9a71c3"),
    ("api_key", "key-b20f\"+/=\\~44d8e6"),
    ("query_key", "qry-77c3\"+/=\\~0b9f12"),
    ("password", "pwd-c9a4\"+/=\\~e13b58"),
    ("api_secret", "sec-1f86\"+/=\\~a7d02c"),
    ("secret_key", "aws-8d3b\"+/=\\~5c60f9"),
    ("session_token", "ses-e47a\"+/=\\~d2816b"),
    ("proxy_password", "prx-06f5\"+/=\\~b38ec4"),
];

pub fn canary(field: &str) -> &'static str {
    CANARIES.iter().find(|(name, _)| *name == field).unwrap().1
}

/// The spellings of a value that are searched for.
pub fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec(), hex::encode(value).into_bytes(), hex::encode_upper(value).into_bytes()];
    for lead in 0..3 {
        let padded = [&vec![0; lead][..], value].concat();
        // What depends on the value alone, whatever stands before and behind it.
        let (from, to) = ((lead * 8_usize).div_ceil(6), padded.len() * 8 / 6);
        forms.push(STANDARD_NO_PAD.encode(&padded).as_bytes()[from..to].to_vec());
        forms.push(URL_SAFE_NO_PAD.encode(&padded).as_bytes()[from..to].to_vec());
    }
    if let Ok(text) = std::str::from_utf8(value) {
        forms.push(percent(text, false).into_bytes());
        forms.push(percent(text, true).into_bytes());
        let json = serde_json::to_string(text).unwrap();
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
        // What `{:?}` of a text shows.
        let debug = format!("{text:?}");
        forms.push(debug.as_bytes()[1..debug.len() - 1].to_vec());
    }
    forms
}

pub fn percent(text: &str, lower: bool) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ if lower => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Which of the values stand in these bytes, in any spelling.
pub fn found<'a>(bytes: &[u8], values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
    let is_in = |form: &[u8]| memchr::memmem::find(bytes, form).is_some();
    let values = values.into_iter().filter(|(_, value)| forms(value).iter().any(|form| is_in(form)));
    values.map(|(name, _)| name.to_owned()).collect()
}

/// Fails if any canary stands in these bytes.
pub fn assert_clean(place: &str, bytes: &[u8]) {
    let found = found(bytes, CANARIES.iter().map(|(name, value)| (*name, value.as_bytes())));
    assert!(found.is_empty(), "{found:?} in {place}:\n{}", String::from_utf8_lossy(&bytes[..bytes.len().min(8000)]));
}

#[test]
fn a_planted_canary_is_found_in_every_spelling() {
    for (name, value) in CANARIES {
        for form in forms(value.as_bytes()) {
            let planted = [b"noise ".as_slice(), &form, b" noise"].concat();
            assert!(found(&planted, [(name, value.as_bytes())]) == [name], "{}", String::from_utf8_lossy(&planted));
        }
        for around in ["", "a", "ab", "user:"] {
            let whole = STANDARD_NO_PAD.encode(format!("{around}{value}!"));
            assert!(found(whole.as_bytes(), [(name, value.as_bytes())]) == [name], "{whole}");
        }
        assert!(found(b"nothing of the kind", [(name, value.as_bytes())]).is_empty());
        assert!(found(&value.as_bytes()[1..], [(name, value.as_bytes())]).is_empty());
    }
}
