use serde_json::{Map, Value};

use crate::model::strict_json;

/// Reads a JSON object in which no name is written twice, at any depth: of two readers one takes
/// the first and one the last, and only one of them is who checked it (RFC 7515, section 5.2).
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match strict_json(bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_written_twice_are_refused_however_they_are_written() {
        for good in ["{}", r#"{"a":1,"b":{"a":[{"a":null}]}}"#, r#" {"a":-1.5e3,"A":true} "#] {
            let want: Value = serde_json::from_str(good).unwrap();
            assert_eq!(object(good.as_bytes()).map(Value::Object), Some(want), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            "[]",
            "7",
            "",
            "{}{}",
            "{} x",
            r#"{"a":1e999}"#,
            "{\"a\":\"\u{1}\"}",
        ] {
            assert_eq!(object(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(object("[".repeat(100_000).as_bytes()), None);
        assert_eq!(object(r#"{"a":"#.repeat(100_000).as_bytes()), None);
    }
}
