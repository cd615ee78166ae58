use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Document, RuleDefault, rule, test};
use crate::config::yaml::{self, Fields, Findings, Node};
use crate::config::{At, Catalogue, Located, Problems};

/// Providers of one's own come with the Authority's `provider apply`.
const NOT_YET: [&str; 1] = ["provider"];

/// Reads policy files as one set, in order. What is wrong inside of them stands in each
/// document, so that `Policy::compile` can report it together with what is wrong with the set.
///
/// # Errors
/// Files that cannot be read, and one that is listed twice.
pub fn load_documents(files: &[PathBuf]) -> Result<Vec<Document>, Problems> {
    let mut findings = Findings::default();
    let mut documents: Vec<Document> = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        if files[..index].contains(file) {
            findings.without_place(format!("the policy file {} is listed twice", file.display()));
            continue;
        }
        let rules = documents.iter().map(|document| document.rules.len()).sum();
        match std::fs::read_to_string(file) {
            Ok(text) => documents.push(read(file, text, rules)),
            Err(error) => {
                findings.without_place(format!("cannot read the policy file {}: {error}", file.display()));
            }
        }
    }
    findings.or(Some(documents))
}

impl Document {
    /// Reads the text of one file. `file` is only what problems call it.
    pub fn parse(file: &Path, text: &str) -> Self {
        read(file, text.to_owned(), 0)
    }

    /// Reads the text of the Authority's policy of this number.
    pub fn of_authority(number: u64, text: &str) -> Self {
        let called = format!("the Authority's policy {number}");
        Self { number: Some(number), ..Self::parse(Path::new(&called), text) }
    }
}

/// `rules` is the number of rules in the files before this one: a rule without a name is called
/// by its number in the set.
fn read(file: &Path, text: String, rules: usize) -> Document {
    let at = At { file: Arc::new(file.to_owned()), line: 1, column: 1 };
    let mut findings = Findings::default();
    let root = yaml::parse(&at.file, &text, &mut findings);
    let mut document =
        Document { at, text, number: None, default: None, rules: Vec::new(), tests: Vec::new(), problems: Vec::new() };
    if let Some(fields) = root.as_ref().and_then(|root| Fields::open(root, &mut findings)) {
        fill(&mut document, fields, rules, &mut findings);
    }
    document.problems = findings.into_problems();
    document
}

fn fill(document: &mut Document, mut fields: Fields<'_>, rules: usize, findings: &mut Findings) {
    version(&mut fields, findings);
    document.default = fields.get("default").and_then(|node| default(node, findings));
    if let Some(list) = fields.get("rules") {
        for (index, node) in list.list(findings).iter().enumerate() {
            document.rules.extend(rule::read(node, rules + index + 1, Catalogue::built_in(), findings));
        }
    }
    if let Some(list) = fields.get("tests") {
        document.tests = list.list(findings).iter().filter_map(|node| test::read(node, findings)).collect();
    }
    fields.refuse(&NOT_YET, findings);
    fields.finish(&NOT_YET, findings);
}

/// `version: 1`, which every file says, so that a later form is never taken for this one.
pub(in crate::config) fn version(fields: &mut Fields<'_>, findings: &mut Findings) {
    match fields.get("version") {
        None => findings.at(&fields.node().at, "`version: 1` is missing"),
        Some(node) if matches!(&node.content, yaml::Content::Number(number) if number.as_u64() == Some(1)) => {}
        Some(node) => findings.with(node, "this version of nexus-sidecar reads `version: 1` alone"),
    }
}

fn default(node: &Node, findings: &mut Findings) -> Option<Located<RuleDefault>> {
    match node.text(findings)? {
        "deny" => Some(node.located(RuleDefault::Deny)),
        "tunnel" => Some(node.located(RuleDefault::Tunnel)),
        other => {
            findings.with(node, format!("`default` is deny or tunnel, not {other:?}"));
            None
        }
    }
}
