use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::yaml::{Content, Findings, Node, did_you_mean};
use crate::config::{Environment, units};

/// What every section is read with: where paths start, and where problems go.
pub(super) struct Reader<'a> {
    pub(super) findings: &'a mut Findings,
    environment: &'a Environment,
    base: Option<PathBuf>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment, base: Option<PathBuf>, findings: &'a mut Findings) -> Self {
        Self { findings, environment, base }
    }

    /// The variables.
    pub(super) fn environment(&self) -> &Environment {
        self.environment
    }

    /// A default that needs a home; a problem where there is none.
    pub(super) fn default_dir(&mut self, what: &str, dir: Option<PathBuf>) -> Option<PathBuf> {
        if dir.is_none() {
            self.findings.without_place(format!("HOME is not set to a folder, so {what} cannot be known: set it"));
        }
        dir
    }

    /// The environment's folder for state.
    pub(super) fn state_dir(&mut self) -> Option<PathBuf> {
        let dir = self.environment.state_dir();
        self.default_dir("the folder of the audit", dir)
    }

    pub(super) fn missing<T>(&mut self, node: &Node, key: &str) -> Option<T> {
        self.findings.with(node, format!("`{key}` is missing"));
        None
    }

    /// A path, absolute: `~` is the home, a relative one starts at the file's folder.
    pub(super) fn path(&mut self, node: &Node) -> Option<PathBuf> {
        let text = node.text(self.findings)?;
        if text == "~" || text.starts_with("~/") {
            let Some(home) = self.environment.home() else {
                self.findings.with(node, "`~` has no meaning: HOME is not set to a folder");
                return None;
            };
            return Some(home.join(text.trim_start_matches('~').trim_start_matches('/')));
        }
        if text.starts_with('~') {
            self.findings.with(node, "`~` stands for the own home alone: write the path out");
            return None;
        }
        match (&self.base, PathBuf::from(text)) {
            (_, path) if path.is_absolute() => Some(path),
            (Some(base), path) => Some(base.join(path)),
            (None, _) => {
                self.findings.with(node, "without a configuration file this path must be absolute");
                None
            }
        }
    }

    /// One address or a list.
    pub(super) fn addresses(&mut self, node: &Node) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for node in node.one_or_list(self.findings) {
            let Some(text) = node.text(self.findings) else { continue };
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self
                    .findings
                    .with(node, format!("{text:?} is no address with a port, such as 127.0.0.1:14101 or [::1]:14101")),
            }
        }
        addresses
    }

    /// One of some words.
    pub(super) fn word<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<&'n str> {
        let text = node.text(self.findings)?;
        if known.contains(&text) {
            return Some(text);
        }
        let advice = did_you_mean(text, known.iter().copied());
        let advice = advice.map(|word| format!(": did you mean {word}?")).unwrap_or_default();
        self.findings.with(node, format!("this is {}, not {text:?}{advice}", known.join(" or ")));
        None
    }

    /// Sets a size, if it is written.
    pub(super) fn size(&mut self, node: Option<&Node>, least: u64, most: u64, set: &mut u64) {
        let Some(node) = node else { return };
        let size = match &node.content {
            Content::Number(number) => number.as_u64(),
            Content::Text(text) => units::size(text),
            _ => None,
        };
        match size.filter(|size| (least..=most).contains(size)) {
            Some(size) => *set = size,
            None => self.findings.with(
                node,
                format!("this must be a size from {} to {}, such as 64KiB or 10MiB", show_size(least), show_size(most)),
            ),
        }
    }

    /// Sets a count, if it is written.
    pub(super) fn count(&mut self, node: Option<&Node>, most: u64, set: &mut usize) {
        let count = node.and_then(|node| node.number(1, most, self.findings));
        if let Some(count) = count.and_then(|count| usize::try_from(count).ok()) {
            *set = count;
        }
    }

    /// Sets a time, if it is written. Nothing waits for ever, and nothing not at all.
    pub(super) fn time(&mut self, node: Option<&Node>, set: &mut Duration) {
        const LONGEST: Duration = Duration::from_secs(7 * 86400);
        let Some(node) = node else { return };
        let time = match &node.content {
            Content::Text(text) => units::time(text),
            _ => None,
        };
        match time.filter(|time| !time.is_zero() && *time <= LONGEST) {
            Some(time) => *set = time,
            None => {
                self.findings.with(node, "this must be a time with its unit, from 1ms to 7d, such as 500ms, 30s or 5m")
            }
        }
    }
}

fn show_size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 30 && bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}
