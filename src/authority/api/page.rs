//! Lists, a page at a time: `limit`, and a `cursor` that says where the page before ended.
//!
//! A cursor is the key of the last item in hexadecimal. It is no secret and proves nothing: whoever
//! makes one up sees what they may list anyway, from another place on. So any that is well formed is
//! taken.

use serde_json::{Value, json};

use super::call::Call;
use super::endpoint::{Kind, Parameter, Place};

pub(in crate::authority) const LIMIT: Parameter = Parameter {
    name: "limit",
    place: Place::Query,
    kind: Kind::Number { least: 1, most: 1000, default: Some(100) },
    says: "Items on a page",
};

pub(in crate::authority) const CURSOR: Parameter = Parameter {
    name: "cursor",
    place: Place::Query,
    // Pairs of digits: bytes from 0x20 to 0x7f, of which every key consists.
    kind: Kind::Text { pattern: "^([2-7][0-9a-f]){1,300}$", good: is_cursor, example: "676974687562" },
    says: "`next_cursor` of the page before; the first page without",
};

fn is_cursor(text: &str) -> bool {
    let digits = |pair: &[u8]| matches!(pair, [b'2'..=b'7', b'0'..=b'9' | b'a'..=b'f']);
    (2..=600).contains(&text.len()) && text.as_bytes().chunks(2).all(digits)
}

/// Which page is asked for.
pub(in crate::authority) struct Page {
    /// The two parts of the key that it starts after; empty for the first.
    pub(in crate::authority) after: (String, String),
    limit: usize,
}

impl Page {
    pub(in crate::authority) fn of(call: &Call) -> Self {
        let key = call.given("cursor").and_then(|cursor| hex::decode(cursor).ok()).unwrap_or_default();
        let key = String::from_utf8(key).unwrap_or_default();
        // The second part holds no blank; the first may.
        let (first, second) = key.rsplit_once(' ').unwrap_or((&key, ""));
        let after = (first.to_owned(), second.to_owned());
        Self { after, limit: usize::try_from(call.number("limit")).unwrap_or(1) }
    }

    /// How many to ask the store for: one more tells whether there is another page.
    pub(in crate::authority) fn wanted(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// The page of what was found, each item with the two parts of its key, under this name.
    pub(in crate::authority) fn body(&self, name: &str, mut found: Vec<(String, String, Value)>) -> Value {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().filter(|_| has_more);
        let next_cursor = last.map(|(first, second, _)| hex::encode(format!("{first} {second}")));
        let items: Vec<Value> = found.into_iter().map(|(.., item)| item).collect();
        json!({ name: items, "next_cursor": next_cursor, "has_more": has_more })
    }
}

/// The schema of a page.
pub(in crate::authority) fn schema(name: &str, item: &Value) -> Value {
    let example = item["examples"][0].clone();
    json!({
        "type": "object",
        "required": [name, "next_cursor", "has_more"],
        "properties": {
            name: { "type": "array", "items": item, "maxItems": 1000 },
            "next_cursor": { "type": ["string", "null"], "pattern": "^([2-7][0-9a-f])+$" },
            "has_more": { "type": "boolean" },
        },
        "additionalProperties": false,
        "examples": [{ name: [example], "next_cursor": null, "has_more": false }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_bytes_of_text_in_hexadecimal() {
        for good in ["20", "676974687562", &hex::encode("a.b_c-9 00000000-0000-4000-8000-000000000000")] {
            assert!(is_cursor(good), "{good}");
        }
        for bad in ["", "2", "1f", "80", "6G", "6A", "67 ", &"61".repeat(301)] {
            assert!(!is_cursor(bad), "{bad}");
        }
    }

    #[test]
    fn the_last_page_says_so() {
        let page = Page { after: (String::new(), String::new()), limit: 2 };
        let item = |name: &str| (name.to_owned(), "1".to_owned(), json!(name));
        let more = page.body("names", vec![item("a"), item("b"), item("c")]);
        assert_eq!(more, json!({"names": ["a", "b"], "next_cursor": "622031", "has_more": true}));
        let last = page.body("names", vec![item("a"), item("b")]);
        assert_eq!(last, json!({"names": ["a", "b"], "next_cursor": null, "has_more": false}));
    }
}
