use super::{Content, Entry, Findings, Node, did_you_mean};

/// Reads a mapping key by key; what nobody asked for is reported at the end.
pub(in crate::config) struct Fields<'a> {
    node: &'a Node,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a mapping, or reports that the value is none.
    pub(in crate::config) fn open(node: &'a Node, findings: &mut Findings) -> Option<Self> {
        match &node.content {
            Content::Map(entries) => Some(Self { node, entries, asked: Vec::new() }),
            // `key:` with nothing behind it is what is left when every line below is commented out.
            Content::Null => Some(Self { node, entries: &[], asked: Vec::new() }),
            _ => {
                findings.with(node, format!("this must be a mapping, not {}", node.kind()));
                None
            }
        }
    }

    /// The mapping itself.
    pub(in crate::config) fn node(&self) -> &'a Node {
        self.node
    }

    /// Finds a value, `null` included.
    pub(in crate::config) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Reports keys of the design that this version does not enforce, each with its reason.
    pub(in crate::config) fn refuse(&mut self, keys: &[&'static str], findings: &mut Findings) {
        for key in keys {
            if let Some(entry) = self.entries.iter().find(|entry| entry.key == *key) {
                entry.problem(format!("`{key}` is not available yet"), findings);
            }
        }
    }

    /// Reports every key that was neither asked for nor refused.
    pub(in crate::config) fn finish(self, refused: &[&'static str], findings: &mut Findings) {
        for entry in self.entries {
            if self.asked.contains(&entry.key.as_str()) || refused.contains(&entry.key.as_str()) {
                continue;
            }
            let advice = match did_you_mean(&entry.key, self.asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            entry.problem(format!("unknown key `{}`: {advice}", entry.key), findings);
        }
    }
}
