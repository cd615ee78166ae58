//! Google Cloud: a service account's key, the metadata server, or an identity of elsewhere.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::super::reader::Reader;
use super::authority::address;
use super::narrowed::{texts, unknown};
use crate::config::yaml::{Fields, Node};
use crate::model::Url;

/// `google:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleSource {
    /// Who it is there.
    pub identity: GoogleIdentity,
    /// The certificates that every endpoint's must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Who asks for tokens, and how that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoogleIdentity {
    /// The key of a service account, as its JSON file has it.
    ServiceAccount {
        /// The file.
        file: PathBuf,
        /// The token endpoint, instead of the one that the file names.
        token_url: Option<Url>,
    },
    /// The account of the machine.
    Metadata {
        /// The server.
        url: Url,
        /// Which account; `default`, or an address.
        account: String,
    },
    /// A token of another issuer is exchanged (RFC 8693).
    WorkloadIdentity(Box<WorkloadIdentity>),
}

/// An identity of elsewhere, as a workload identity pool knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadIdentity {
    /// The provider's name: `//iam.googleapis.com/projects/…`.
    pub audience: String,
    /// What the other issuer's token is.
    pub subject_type: String,
    /// Where that token is.
    pub subject: GoogleSubject,
    /// The endpoint that exchanges it.
    pub token_url: Url,
    /// The service account that is then acted as.
    pub impersonate: Option<String>,
    /// Where that is asked for.
    pub iam_url: Url,
}

/// Where the token of another issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleSubject {
    /// A file or an address.
    pub from: SubjectFrom,
    /// The field of a JSON object that it is; none: all of it.
    pub field: Option<String>,
}

/// A file or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectFrom {
    /// A file that the platform exchanges.
    File(PathBuf),
    /// An address, with the headers that are sent to it.
    Url(Url, Vec<(String, String)>),
}

/// What a connection there says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleConnection {
    /// The OAuth scopes.
    pub scopes: BTreeSet<String>,
}

impl GoogleConnection {
    /// What is left of it under a rule's `scope: { scopes: […] }`.
    ///
    /// # Errors
    /// It names something else, or a scope that the connection does not have.
    pub fn narrowed(&self, scope: &Map<String, Value>) -> Result<Self, String> {
        unknown(scope, &["scopes"])?;
        let scopes: BTreeSet<String> = match scope.get("scopes") {
            Some(scopes) => texts(scopes, "scopes")?.into_iter().collect(),
            None => self.scopes.clone(),
        };
        match scopes.iter().find(|scope| !self.scopes.contains(*scope)) {
            Some(beyond) => Err(format!("{beyond:?} is none of its scopes")),
            None => Ok(Self { scopes }),
        }
    }
}

const METADATA: &str = "http://169.254.169.254";
const EXCHANGE: &str = "https://sts.googleapis.com/v1/token";
const IAM: &str = "https://iamcredentials.googleapis.com";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<GoogleSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let kinds = ["service_account_file", "metadata", "workload_identity"];
    let said: Vec<_> = kinds.iter().filter_map(|key| Some((*key, fields.get(key)?))).collect();
    let token_url = fields.get("token_url");
    let identity = match said[..] {
        [("service_account_file", file)] => {
            let file = reader.path(file);
            let token_url = match token_url {
                Some(node) => Some(address(node, false, reader)?),
                None => None,
            };
            file.map(|file| GoogleIdentity::ServiceAccount { file, token_url })
        }
        [("metadata", node)] => metadata(node, reader),
        [("workload_identity", node)] => workload(node, reader),
        [_, (_, node), ..] => {
            reader.findings.with(node, "there is one identity already: say another source for this one");
            None
        }
        _ => {
            let why = "say who it is there: `service_account_file`, `metadata` or `workload_identity`";
            reader.findings.with(node, why);
            None
        }
    };
    if let (Some(node), false) = (token_url, matches!(identity, Some(GoogleIdentity::ServiceAccount { .. }) | None)) {
        reader.findings.with(node, "`token_url` stands beside `service_account_file` alone");
    }
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    fields.finish(&[], reader.findings);
    Some(GoogleSource { identity: identity?, ca_file })
}

fn metadata(node: &Node, reader: &mut Reader<'_>) -> Option<GoogleIdentity> {
    let mut fields = Fields::open(node, reader.findings)?;
    let url = match fields.get("url") {
        Some(node) => address(node, false, reader),
        None => Url::parse(METADATA).ok(),
    };
    let account = match fields.get("account") {
        Some(node) => account(node, reader),
        None => Some("default".to_owned()),
    };
    fields.finish(&[], reader.findings);
    Some(GoogleIdentity::Metadata { url: url?, account: account? })
}

/// An account's address, which goes into a path.
fn account(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte);
    if text.len() > 200 || !text.bytes().all(good) || text.starts_with('.') {
        reader.findings.with(node, "this is no service account, such as name@project.iam.gserviceaccount.com");
        return None;
    }
    Some(text.to_owned())
}

fn workload(node: &Node, reader: &mut Reader<'_>) -> Option<GoogleIdentity> {
    let mut fields = Fields::open(node, reader.findings)?;
    let audience = match fields.get("audience") {
        Some(node) => node.text(reader.findings).map(str::to_owned),
        None => reader.missing(node, "audience"),
    };
    let subject_type = match fields.get("subject_type") {
        Some(node) => node.text(reader.findings).map(str::to_owned),
        None => Some(JWT.to_owned()),
    };
    let subject = match fields.get("subject") {
        Some(node) => subject(node, reader),
        None => reader.missing(node, "subject"),
    };
    let mut url = |key: &'static str, usual: &str, reader: &mut Reader<'_>| match fields.get(key) {
        Some(node) => address(node, false, reader),
        None => Url::parse(usual).ok(),
    };
    let (token_url, iam_url) = (url("token_url", EXCHANGE, reader), url("iam_url", IAM, reader));
    let impersonate = match fields.get("impersonate") {
        Some(node) => Some(account(node, reader)?),
        None => None,
    };
    fields.finish(&[], reader.findings);
    let (audience, subject_type, subject) = (audience?, subject_type?, subject?);
    let (token_url, iam_url) = (token_url?, iam_url?);
    let whole = WorkloadIdentity { audience, subject_type, subject, token_url, impersonate, iam_url };
    Some(GoogleIdentity::WorkloadIdentity(Box::new(whole)))
}

fn subject(node: &Node, reader: &mut Reader<'_>) -> Option<GoogleSubject> {
    let mut fields = Fields::open(node, reader.findings)?;
    let (file, url) = (fields.get("file"), fields.get("url"));
    let mut headers = Vec::new();
    if let Some(node) = fields.get("headers") {
        for entry in node.entries(reader.findings) {
            let value = entry.node.text(reader.findings)?.to_owned();
            let name = http::HeaderName::from_bytes(entry.key.as_bytes());
            if name.is_err() || http::HeaderValue::from_str(&value).is_err() {
                entry.problem("this is no header".to_owned(), reader.findings);
            }
            headers.push((entry.key.clone(), value));
        }
    }
    let field = match fields.get("field") {
        Some(node) => Some(node.text(reader.findings)?.to_owned()),
        None => None,
    };
    let from = match (file, url) {
        (Some(file), None) => reader.path(file).map(SubjectFrom::File),
        (None, Some(url)) => address(url, false, reader).map(|url| SubjectFrom::Url(url, headers)),
        (Some(_), Some(node)) => {
            reader.findings.with(node, "the token is in a `file` or at a `url`: not both");
            None
        }
        (None, None) => reader.missing(node, "file"),
    };
    fields.finish(&[], reader.findings);
    Some(GoogleSubject { from: from?, field })
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<GoogleConnection> {
    let Some(node) = fields.get("scopes") else { return reader.missing(fields.node(), "scopes") };
    let mut scopes = BTreeSet::new();
    for node in node.one_or_list(reader.findings) {
        let scope = node.text(reader.findings)?;
        if !is_scope(scope) {
            reader.findings.with(node, "this is no scope (RFC 6749, section 3.3)");
        }
        scopes.insert(scope.to_owned());
    }
    Some(GoogleConnection { scopes })
}

/// One scope, without a comma, by which the metadata server splits them.
pub(super) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte))
}
