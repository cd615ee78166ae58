use std::fmt;
use std::sync::Arc;

use super::host::end;
use super::{Host, HostError};

/// Hosts that a rule or a connection names: one exactly, or a pattern.
///
/// `*.zone` stands for one or more labels before the zone and never for the zone itself. A `*`
/// further right stands for exactly one label: `sts.*.amazonaws.com` is `sts` in every region.
/// `*` is a whole label, and never the last one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host and no other.
    Exact(Host),
    /// Every name of this form.
    Like {
        /// Whether one or more labels stand before those that are given.
        below: bool,
        /// The labels, joined by dots; `*` is any one label.
        labels: Arc<str>,
    },
}

impl HostPattern {
    /// Reads `api.example.com`, `192.0.2.1`, `[2001:db8::1]`, `*.example.com` or
    /// `api.*.example.com`.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (below, form) = match text.strip_prefix("*.") {
            Some(zone) => (true, zone),
            None => (false, text),
        };
        if !below && !form.contains('*') {
            return Host::parse(form).map(Self::Exact);
        }
        // Some label in place of each star; the name around them gets its one spelling.
        let form = form.strip_suffix('.').unwrap_or(form);
        let stars: Vec<bool> = form.split('.').map(|label| label == "*").collect();
        let named: Vec<&str> = form.split('.').map(|label| if label == "*" { "a" } else { label }).collect();
        let Host::Name(name) = Host::parse(&named.join("."))? else { return Err(HostError::NotAName) };
        // IDNA reads other dots than ours too: then the stars would stand elsewhere.
        if name.split('.').count() != stars.len() || stars.last() == Some(&true) {
            return Err(HostError::NotAName);
        }
        let labels = name.split('.').zip(stars).map(|(label, star)| if star { "*" } else { label });
        Ok(Self::Like { below, labels: labels.collect::<Vec<_>>().join(".").into() })
    }

    /// Tells whether the pattern stands for this host.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(one), host) => one == host,
            (Self::Like { below, labels }, Host::Name(name)) => {
                let (mut own, mut others) = (labels.rsplit('.'), name.rsplit('.'));
                let met = own.by_ref().all(|label| others.next().is_some_and(|other| label == "*" || label == other));
                met && others.next().is_some() == *below
            }
            (Self::Like { .. }, Host::Ip(_)) => false,
        }
    }

    /// Tells whether it stands for more than one host.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Like { .. })
    }

    /// The last two labels of all of its hosts, where they are one and the same.
    pub fn end(&self) -> Option<&str> {
        match self {
            Self::Exact(host) => host.end(),
            Self::Like { labels, .. } => end(labels).filter(|end| !end.contains('*')),
        }
    }

    /// Tells whether some host matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(host), pattern) | (pattern, Self::Exact(host)) => pattern.matches(host),
            (Self::Like { below: below_a, labels: a }, Self::Like { below: below_b, labels: b }) => {
                let alike = |(a, b): (&str, &str)| a == "*" || b == "*" || a == b;
                let reach = match count(a).cmp(&count(b)) {
                    std::cmp::Ordering::Less => *below_a,
                    std::cmp::Ordering::Equal => below_a == below_b,
                    std::cmp::Ordering::Greater => *below_b,
                };
                reach && a.rsplit('.').zip(b.rsplit('.')).all(alike)
            }
        }
    }

    /// Tells whether every host of `other` is one of this pattern's.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(host)) => self.matches(host),
            (Self::Exact(_), Self::Like { .. }) => false,
            (Self::Like { below: below_a, labels: a }, Self::Like { below: below_b, labels: b }) => {
                let takes = |(a, b): (&str, &str)| a == "*" || a == b;
                let (few, many) = (count(a), count(b));
                let reach = if *below_a { many > few || (many == few && *below_b) } else { many == few && !below_b };
                reach && a.rsplit('.').zip(b.rsplit('.')).all(takes)
            }
        }
    }
}

fn count(labels: &str) -> usize {
    labels.split('.').count()
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Like { below, labels } => write!(f, "{}{labels}", if *below { "*." } else { "" }),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_is_one_or_more_labels() {
        let below = p("*.example.net");
        assert!(below.matches(&host("a.example.net")));
        assert!(below.matches(&host("a.b.example.net")));
        assert!(!below.matches(&host("example.net")));
        assert!(!below.matches(&host("evilexample.net")));
        assert!(!below.matches(&host("192.0.2.1")));
    }

    #[test]
    fn a_star_inside_is_one_label() {
        let regional = p("sts.*.amazonaws.com");
        assert!(regional.matches(&host("sts.eu-west-1.amazonaws.com")));
        for other in [
            "sts.amazonaws.com",
            "sts.a.b.amazonaws.com",
            "x.sts.eu-west-1.amazonaws.com",
            "xsts.eu-west-1.amazonaws.com",
            "sts.eu-west-1.amazonaws.com.cn",
            "sts.eu-west-1.xamazonaws.com",
        ] {
            assert!(!regional.matches(&host(other)), "{other}");
        }
        let buckets = p("*.s3.*.amazonaws.com");
        assert!(buckets.matches(&host("a.b.s3.eu-west-1.amazonaws.com")));
        assert!(!buckets.matches(&host("s3.eu-west-1.amazonaws.com")));
        assert!(!buckets.matches(&host("a.s3.amazonaws.com")));
        assert!(regional.is_wildcard() && buckets.is_wildcard() && !p("a.example").is_wildcard());
    }

    #[test]
    fn one_spelling() {
        for (text, want) in [
            ("STS.*.AmazonAWS.com.", "sts.*.amazonaws.com"),
            ("*.S3.*.amazonaws.com", "*.s3.*.amazonaws.com"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("*.*.example", "*.*.example"),
            ("*.example", "*.example"),
        ] {
            assert_eq!(p(text).to_string(), want, "{text}");
        }
        for text in [
            "*",
            "*.",
            "*.*",
            "a.*",
            "a.*.",
            "a.b*.example",
            "a.**.example",
            "s*.example",
            "*.192.0.2.1",
            "1.*.2.3",
            "*a.example",
            "a..*.example",
            "a。b.*.example",
            "*.[::1]",
            "a.*.1",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn an_end_is_that_of_every_host() {
        for (text, want) in [
            ("sts.*.amazonaws.com", Some("amazonaws.com")),
            ("*.example.net", Some("example.net")),
            ("*.net", None),
            ("a.*.net", None),
            ("a.b.example.net", Some("example.net")),
            ("localhost", None),
            ("192.0.2.1", None),
        ] {
            assert_eq!(p(text).end(), want, "{text}");
        }
    }

    #[test]
    fn overlap_and_cover() {
        assert!(p("*.example.net").overlaps(&p("*.a.example.net")));
        assert!(p("*.example.net").covers(&p("*.a.example.net")));
        assert!(!p("*.a.example.net").covers(&p("*.example.net")));
        assert!(!p("*.example.net").overlaps(&p("*.vilexample.net")));
        assert!(!p("*.example.net").covers(&p("example.net")));
        assert!(p("a.example.net").overlaps(&p("*.example.net")));
        assert!(p("*.amazonaws.com").covers(&p("sts.*.amazonaws.com")));
        assert!(!p("sts.*.amazonaws.com").covers(&p("*.amazonaws.com")));
        assert!(p("sts.*.amazonaws.com").overlaps(&p("*.eu-west-1.amazonaws.com")));
        assert!(!p("sts.*.amazonaws.com").overlaps(&p("iam.*.amazonaws.com")));
    }

    /// Every name of one to four of these labels before a last one that every pattern has.
    fn all_hosts() -> Vec<Host> {
        let mut names = vec!["z".to_owned()];
        let mut longest = names.clone();
        for _ in 0..5 {
            longest = longest.iter().flat_map(|name| ["a", "b", "c"].map(|label| format!("{label}.{name}"))).collect();
            names.extend(longest.iter().cloned());
        }
        names.iter().map(|name| host(name)).collect()
    }

    proptest! {
        /// Patterns of up to four labels: names of one label more tell all of them apart.
        #[test]
        fn overlap_and_cover_are_what_trying_every_host_says(
            a in "(([ab]|\\*)\\.){0,3}z",
            b in "(([ab]|\\*)\\.){0,3}z",
        ) {
            let (a, b) = (p(&a), p(&b));
            let hosts = all_hosts();
            let both = hosts.iter().any(|host| a.matches(host) && b.matches(host));
            let all = hosts.iter().all(|host| a.matches(host) || !b.matches(host));
            prop_assert_eq!(a.overlaps(&b), both, "{} and {}", a, b);
            prop_assert_eq!(b.overlaps(&a), both);
            prop_assert_eq!(a.covers(&b), all, "{} over {}", a, b);
            if let Some(end) = a.end() {
                prop_assert!(hosts.iter().all(|host| host.end() == Some(end) || !a.matches(host)), "{}", a);
            }
            prop_assert_eq!(p(&a.to_string()), a);
        }
    }
}
