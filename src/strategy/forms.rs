//! What a value looks like inside a longer text: for finding it again, never for sending it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::model::encode_form;

/// A value as it is, in base64 (both alphabets, at each of the three alignments that a longer text
/// gives it), percent-encoded, in hex and as JSON escapes it; without repeats.
pub(super) fn forms(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![value.to_vec(), hex::encode(value).into_bytes(), hex::encode_upper(value).into_bytes()];
    for lead in 0..3 {
        forms.push(base64_inside(&STANDARD_NO_PAD, value, lead));
        forms.push(base64_inside(&URL_SAFE_NO_PAD, value, lead));
    }
    if let Ok(text) = std::str::from_utf8(value) {
        let form = Zeroizing::new(encode_form(text));
        forms.push(form.replace('+', "%20").into_bytes());
        forms.push(lower_escapes(&form.replace('+', "%20")));
        forms.push(form.as_bytes().to_vec());
        // What a path or `encodeURIComponent` leaves as it is.
        forms.push(lenient_escapes(text));
        forms.extend(in_json(text));
    }
    forms.sort();
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

/// The part of a base64 text that depends on the value alone, where `lead` bytes of something
/// else stand before it, and anything after it.
fn base64_inside(engine: &impl Engine, value: &[u8], lead: usize) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; lead]);
    padded.extend_from_slice(value);
    let text = Zeroizing::new(engine.encode(&*padded));
    let from = (lead * 8).div_ceil(6);
    let to = padded.len() * 8 / 6;
    text.as_bytes()[from..to].to_vec()
}

fn lower_escapes(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for at in 0..bytes.len() {
        if text.as_bytes()[at] == b'%' {
            bytes[at + 1..at + 3].make_ascii_lowercase();
        }
    }
    bytes
}

/// As it stands between the quotes of a JSON string, the slash as some writers escape it too.
fn in_json(text: &str) -> [Vec<u8>; 2] {
    let json = Zeroizing::new(serde_json::Value::from(text).to_string());
    let inside = json.get(1..json.len() - 1).unwrap_or_default();
    [inside.as_bytes().to_vec(), inside.replace('/', "\\/").into_bytes()]
}

fn lenient_escapes(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '
            | b'"'
            | b'%'
            | b'<'
            | b'>'
            | b'#'
            | b'?'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}'
            | 0x7f..
            | ..0x20 => {
                encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            _ => encoded.push(byte),
        }
    }
    encoded
}
