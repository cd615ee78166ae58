use crate::lease::secret_json::SecretJson;
use crate::model::Secret;

/// An answer of a cloud, or a key file of one: a JSON object whose texts are wiped when dropped.
pub(super) struct Reply(SecretJson);

impl Reply {
    /// Reads a body; `None` where it is no JSON object, or one that names something twice.
    pub(super) fn parse(body: &Secret) -> Option<Self> {
        let json = SecretJson::parse(body.expose()).ok()?;
        matches!(json, SecretJson::Object(_)).then_some(Self(json))
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.text(&[name]).filter(|text| !text.is_empty())
    }

    /// A text that is one short word, such as an error's code: nothing else is ever repeated.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        self.text(name).filter(|text| text.len() <= 64 && text.bytes().all(good))
    }

    /// A whole number, or a text that is one.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        match self.0.at(&[name])? {
            SecretJson::Count(count) => Some(*count),
            SecretJson::Text(text) => {
                let text = text.expose_str()?;
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                if digits { text.parse().ok() } else { None }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_of_its_own_is_not_read() {
        let parse = |text: &str| Reply::parse(&Secret::new(text));
        let reply = parse(r#"{"a":"x","n":3600,"t":"60","o":{"a":[1]},"l":[{}],"b":true,"z":null,"w":"a b"}"#).unwrap();
        assert_eq!((reply.text("a"), reply.count("n"), reply.count("t")), (Some("x"), Some(3600), Some(60)));
        assert_eq!((reply.text("o"), reply.word("w"), reply.count("a"), reply.text("n")), (None, None, None, None));
        for bad in ["", "[]", "7", "null", "{}x", r#"{"a":1,"a":2}"#, r#"{"a":"#, "\u{1}"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(parse(&r#"{"a":"#.repeat(10_000)).is_none());
    }
}
