//! As much of XML as the token service writes: elements and text. Whatever else there is (a document
//! type, entities of its own, processing instructions, CDATA, comments) makes it no answer of that
//! service.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

const DEEPEST: usize = 16;
const MOST: usize = 256;

/// By its path, the text of each element that holds no other; `None` where it is not well-formed, or
/// where two elements have one path. The names lose no prefix: those answers have none.
pub(super) fn texts(xml: &str) -> Option<BTreeMap<String, Zeroizing<String>>> {
    let mut rest = xml.trim();
    if let Some(declared) = rest.strip_prefix("<?xml") {
        rest = declared.split_once("?>")?.1.trim_start();
    }
    let mut found = BTreeMap::new();
    let mut open: Vec<&str> = Vec::new();
    // What was read since the last element began; gone once one has ended.
    let mut text: Option<&str> = None;
    let mut is_over = false;
    while !rest.is_empty() {
        let (before, tag) = rest.split_once('<')?;
        if let Some(name) = tag.strip_prefix('/') {
            let (name, after) = name.split_once('>')?;
            if open.last() != Some(&name.trim_end()) {
                return None;
            }
            match text.take() {
                Some(_) => {
                    let kept = found.insert(open.join("/"), unescaped(before)?);
                    if kept.is_some() || found.len() > MOST {
                        return None;
                    }
                }
                None if before.trim().is_empty() => {}
                None => return None,
            }
            open.pop();
            is_over = open.is_empty();
            rest = if is_over { after.trim_start() } else { after };
            continue;
        }
        if is_over || !before.trim().is_empty() || open.len() >= DEEPEST {
            return None;
        }
        let (inside, after) = tag.split_once('>')?;
        let (inside, is_empty) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let name = element(inside)?;
        if !is_empty {
            open.push(name);
            text = Some(after);
        } else if open.is_empty() {
            return None;
        } else {
            text = None;
        }
        rest = after;
    }
    is_over.then_some(found)
}

/// The name of an element with its attributes, which are left out.
fn element(inside: &str) -> Option<&str> {
    let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    let is_name = name.bytes().all(good) && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let quotes = attributes.bytes().filter(|byte| *byte == b'"').count();
    (is_name && quotes.is_multiple_of(2) && !attributes.contains(['<', '&'])).then_some(name)
}

/// Text with the five entities and numbered characters (XML 1.0, sections 4.1 and 4.6) put in.
fn unescaped(text: &str) -> Option<Zeroizing<String>> {
    let mut whole = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (name, after) = after.split_once(';')?;
        whole.push_str(before);
        whole.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = after;
    }
    whole.push_str(rest);
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_their_texts() {
        let xml = "<?xml version=\"1.0\"?>\n<A xmlns=\"https://a.test/\">\n <B><C>x&amp;&#65;&#x42;</C><D/><E></E></B>\n</A>\n";
        let found = texts(xml).unwrap();
        let found: Vec<_> = found.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(found, [("A/B/C", "x&AB"), ("A/B/E", "")]);
    }

    #[test]
    fn what_the_service_does_not_write_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
        let many = format!("<a>{}</a>", (0..300).map(|n| format!("<b{n}>x</b{n}>")).collect::<String>());
        for bad in [
            "",
            "x",
            "<a>",
            "</a>",
            "<a></b>",
            "<a>x</a><a>y</a>",
            "<a/>",
            "<a>x<b>y</b></a>",
            "<a><b>y</b>x</a>",
            "<a><b>1</b><b>2</b></a>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<a>&amp</a>",
            "<a>&#xD800;</a>",
            "<a><![CDATA[x]]></a>",
            "<a><!-- x --></a>",
            "<a><?p x?></a>",
            "<a b=\"></a>",
            "<a b=\"&x;\">x</a>",
            "<a>x</a>y",
            "<1>x</1>",
            &deep,
            &many,
        ] {
            assert!(texts(bad).is_none(), "{bad}");
        }
    }
}
