//! What a rule says of query items and headers, and what a request has of them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::glob::Glob;
use crate::config::Matcher;
use crate::model::{Query, decode_form};

/// An item that must occur exactly once and match, or must be absent.
///
/// A rule that allows is strict: whatever a lenient server could take for a second occurrence
/// counts as one. A rule that denies is lenient: one occurrence that matches is enough.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) name: String,
    /// As written; `None` means absent.
    pub(super) pattern: Option<String>,
    exact: Option<Glob>,
    lenient: Option<Glob>,
}

/// Where an item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Query,
    Header(HeaderName),
}

/// An answer that may be missing when a live request is asked about again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Known {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// What is known of a request's query and headers.
pub(super) trait Evidence {
    /// Tells whether an allowing rule's item is met.
    fn strictly(&self, item: &Item) -> Known;
    /// Tells whether a denying rule's item is met.
    fn leniently(&self, item: &Item) -> Known;
    /// Finds a query item that lets an origin see another method, unless `named` says that the
    /// rule looks at it.
    fn override_item(&self, named: &dyn Fn(&str) -> bool) -> Option<String>;
}

impl Item {
    pub(super) fn new(place: Place, matcher: &Matcher) -> Self {
        let lower = |pattern: &String| Glob::value(&pattern.to_lowercase());
        Self {
            place,
            name: matcher.name.clone(),
            pattern: matcher.pattern.clone(),
            exact: matcher.pattern.as_deref().map(Glob::value),
            lenient: matcher.pattern.as_ref().map(lower),
        }
    }

    /// The value that the pattern stands for, where it has no wildcard.
    pub(super) fn literal(&self) -> Option<&str> {
        self.pattern.as_deref().filter(|_| self.exact.as_ref().is_some_and(Glob::is_literal))
    }

    /// Judges the occurrences of a request for an allowing rule.
    pub(super) fn strictly(&self, found: &Occurrences<'_>) -> bool {
        match &self.exact {
            None => found.count == 0,
            Some(glob) => match (&*found.exact, found.count) {
                ([value], 1) => glob.matches(value) && (!found.is_list || self.speaks_of_lists()),
                _ => false,
            },
        }
    }

    /// Judges the occurrences of a request for a denying rule.
    pub(super) fn leniently(&self, found: &Occurrences<'_>) -> bool {
        match &self.lenient {
            None => found.exact.is_empty(),
            Some(glob) => found.readings.iter().any(|reading| glob.matches(reading)),
        }
    }

    fn speaks_of_lists(&self) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.contains(','))
    }
}

/// Every occurrence of one item in a request.
#[derive(Debug, Default)]
pub(super) struct Occurrences<'a> {
    /// The values under exactly this name.
    pub(super) exact: Vec<Cow<'a, str>>,
    /// How many occurrences a lenient reader could see.
    pub(super) count: usize,
    /// A header line that holds a list, which stands for several lines (RFC 9110, section 5.3).
    pub(super) is_list: bool,
    /// Every value that a lenient reader could see, in lower case.
    pub(super) readings: Vec<String>,
}

impl<'a> Occurrences<'a> {
    /// Finds a query item. Lenient readers ignore the case of names and split at `;` too.
    pub(super) fn in_query(query: Option<&'a Query>, name: &str) -> Self {
        let mut found = Self::default();
        for piece in query.into_iter().flat_map(Query::pieces) {
            let whole = found.see(piece, name);
            if whole && decode_form(name_of(piece)) == name {
                found.exact.push(decode_form(value_of(piece)));
            }
            if piece.contains(';') {
                for part in piece.split(';') {
                    found.see(part, name);
                }
                // The first part is the piece itself over again.
                found.count -= usize::from(whole);
            }
        }
        found
    }

    /// Notes a pair if a lenient reader takes it for this item.
    fn see(&mut self, piece: &str, name: &str) -> bool {
        let named = same_name(&decode_form(name_of(piece)), name);
        if named {
            self.count += 1;
            self.readings.push(decode_form(value_of(piece)).to_lowercase());
        }
        named
    }

    /// Finds a header. A list in one line is several occurrences to a lenient reader, and where
    /// headers become variables (RFC 3875, section 4.1.18) `X_A` is `X-A`.
    pub(super) fn in_headers(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut found = Self::default();
        for (other, value) in headers {
            let exact = other == name;
            let alike = || other.as_str().contains('_') && other.as_str().replace('_', "-") == name.as_str();
            if !exact && !alike() {
                continue;
            }
            let text = String::from_utf8_lossy(value.as_bytes());
            found.count += 1;
            found.readings.push(text.to_lowercase());
            if text.contains(',') {
                found.is_list = true;
                found.readings.extend(text.split(',').map(|part| part.trim().to_lowercase()));
            }
            if exact {
                found.exact.push(text);
            }
        }
        found
    }
}

/// Compares as a reader that ignores case does.
fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!a.is_ascii() && a.to_lowercase() == b.to_lowercase())
}

fn name_of(piece: &str) -> &str {
    piece.split_once('=').map_or(piece, |(name, _)| name)
}

fn value_of(piece: &str) -> &str {
    piece.split_once('=').map_or("", |(_, value)| value)
}

/// A request as it stands before us.
pub(super) struct Live<'a> {
    pub(super) query: Option<&'a Query>,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Live<'a> {
    pub(super) fn find(&self, place: &Place, name: &str) -> Occurrences<'a> {
        match place {
            Place::Query => Occurrences::in_query(self.query, name),
            Place::Header(name) => Occurrences::in_headers(self.headers, name),
        }
    }
}

impl Evidence for Live<'_> {
    fn strictly(&self, item: &Item) -> Known {
        item.strictly(&self.find(&item.place, &item.name)).into()
    }

    fn leniently(&self, item: &Item) -> Known {
        item.leniently(&self.find(&item.place, &item.name)).into()
    }

    fn override_item(&self, named: &dyn Fn(&str) -> bool) -> Option<String> {
        override_items(self.query?).find(|name| !named(name)).map(Cow::into_owned)
    }
}

/// Query items by which frameworks let a request claim another method, as they were written.
pub(super) fn override_items(query: &Query) -> impl Iterator<Item = Cow<'_, str>> {
    // Rails, Laravel and Symfony; Google's APIs; ASP.NET; what mirrors the header's name.
    const NAMES: [&str; 6] =
        ["_method", "$httpmethod", "x-http-method-override", "x-http-method", "x-method-override", "httpmethod"];
    let parts = query.pieces().flat_map(|piece| piece.split(';'));
    parts
        .map(|part| decode_form(name_of(part)))
        .filter(|name| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pattern: Option<&str>) -> Item {
        Item::new(Place::Query, &Matcher { name: "Action".into(), pattern: pattern.map(str::to_owned) })
    }

    #[test]
    fn an_allowing_rule_wants_exactly_one() {
        for (query, want) in [
            ("Action=GetItem", true),
            ("x=1&%41ction=GetItem", true),
            ("Action=GetItem&Action=GetItem", false),
            ("Action=GetItem&action=DeleteItem", false),
            ("Action=GetItem;Action=DeleteItem", false),
            ("x=1;Action=GetItem", false),
            ("Action;x=GetItem&Action=GetItem", false),
            ("action=GetItem", false),
            ("Action=DeleteItem", false),
            ("", false),
        ] {
            let query = Query::new(query);
            let found = Occurrences::in_query(Some(&query), "Action");
            assert_eq!(item(Some("Get*")).strictly(&found), want, "{query:?}");
        }
    }

    #[test]
    fn a_denying_rule_takes_any() {
        for (query, want) in [
            ("Action=GetItem&Action=DeleteItem", true),
            ("x=1;action=deleteITEM", true),
            ("Action=DeleteItem;x=1", true),
            ("Action=GetItem", false),
            ("", false),
        ] {
            let query = Query::new(query);
            let found = Occurrences::in_query(Some(&query), "Action");
            assert_eq!(item(Some("DeleteItem")).leniently(&found), want, "{query:?}");
        }
    }

    #[test]
    fn absent_is_absent_in_every_reading() {
        let absent = |query: &str| {
            let query = Query::new(query);
            let found = Occurrences::in_query(Some(&query), "Action");
            (item(None).strictly(&found), item(None).leniently(&found))
        };
        assert_eq!(absent("x=1"), (true, true));
        assert_eq!(absent("action=1"), (false, true));
        assert_eq!(absent("Action"), (false, false));
    }

    #[test]
    fn a_list_in_one_header_is_many() {
        let mut headers = HeaderMap::new();
        headers.insert("x-action", "read, delete".parse().unwrap());
        let name = HeaderName::from_static("x-action");
        let of = |pattern: &str| {
            let matcher = Matcher { name: "x-action".into(), pattern: Some(pattern.to_owned()) };
            let item = Item::new(Place::Header(name.clone()), &matcher);
            let found = Occurrences::in_headers(&headers, &name);
            (item.strictly(&found), item.leniently(&found))
        };
        assert_eq!(of("read*"), (false, true));
        assert_eq!(of("delete"), (false, true));
        assert_eq!(of("read, *"), (true, true));
    }

    #[test]
    fn an_underscore_is_a_hyphen_to_some() {
        let name = HeaderName::from_static("x-action");
        let of = |lines: &[(&'static str, &'static str)]| {
            let line = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), http::HeaderValue::from_static(value))
            };
            let headers: HeaderMap = lines.iter().map(line).collect();
            let matcher = Matcher { name: "x-action".into(), pattern: Some("read".into()) };
            let item = Item::new(Place::Header(name.clone()), &matcher);
            let found = Occurrences::in_headers(&headers, &name);
            (item.strictly(&found), item.leniently(&found))
        };
        assert_eq!(of(&[("x-action", "read")]), (true, true));
        assert_eq!(of(&[("x-action", "read"), ("x_action", "delete")]), (false, true));
        assert_eq!(of(&[("x_action", "read")]), (false, true));
        assert_eq!(of(&[("x-actions", "read"), ("x_actio", "read")]), (false, false));
    }

    #[test]
    fn override_items_are_found_in_any_spelling() {
        for (query, want) in [("a=1&_method=DELETE", 1), ("%5Fmethod=x;_METHOD=y", 2), ("method=x&_methods=y", 0)] {
            assert_eq!(override_items(&Query::new(query)).count(), want, "{query}");
        }
    }
}
