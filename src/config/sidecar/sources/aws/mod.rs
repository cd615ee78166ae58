//! AWS: whose credentials a source starts from, and the role that a connection takes over them.

mod role;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::reader::Reader;
use super::authority::address;
use super::narrowed::unknown;
use crate::config::units;
use crate::config::yaml::{Fields, Node};
use crate::model::{Host, Scheme, Url};

pub(super) use role::connection;

/// `aws:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSource {
    /// Whose credentials are the first.
    pub base: AwsBase,
    /// The region of the token service; none where it is never called.
    pub region: Option<String>,
    /// The token service, instead of the region's.
    pub sts_url: Option<Url>,
    /// The certificates that every endpoint's must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where the first credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsBase {
    /// Files with a key that lasts.
    Static {
        /// Its id.
        access_key_file: PathBuf,
        /// The key.
        secret_key_file: PathBuf,
        /// The token beside a temporary one.
        session_token_file: Option<PathBuf>,
    },
    /// A profile of a shared credentials file.
    Profile {
        /// The file.
        file: PathBuf,
        /// The profile.
        name: String,
    },
    /// A token of another issuer, exchanged for a role (IRSA and its kin).
    WebIdentity {
        /// The token, which the platform exchanges.
        token_file: PathBuf,
        /// The role.
        role_arn: String,
    },
    /// The endpoint of a container (EKS Pod Identity, ECS).
    PodIdentity {
        /// Its address.
        url: Url,
        /// What it is shown.
        token_file: Option<PathBuf>,
    },
    /// The instance's metadata service, version 2.
    Imds {
        /// Its address.
        url: Url,
    },
}

/// What a connection there says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsConnection {
    /// The role that is taken over the first credentials.
    pub role: Option<AssumeRole>,
    /// Whether a session is made, which can be narrowed: by that role, or the source's web identity.
    pub is_minted: bool,
    /// How long a session lasts (an hour, unless said).
    pub duration: Option<Duration>,
    /// What a session may at most, beside its role: a policy, as one JSON text.
    pub session_policy: Option<String>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRole {
    /// Which.
    pub role_arn: String,
    /// What the role's owner asks for.
    pub external_id: Option<String>,
    /// Session tags beside `agent` and `connection`.
    pub tags: BTreeMap<String, String>,
}

/// What the token service takes: a quarter of an hour to twelve.
const SHORTEST: Duration = Duration::from_secs(900);
const LONGEST: Duration = Duration::from_secs(43_200);
/// The longest session policy, in characters.
const LONGEST_POLICY: usize = 2048;

const IMDS: &str = "http://169.254.169.254";
const POD_IDENTITY: &str = "http://169.254.170.23/v1/credentials";
const POD_TOKEN: &str = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token";
/// Addresses of container endpoints, which are reached over http: ECS, and EKS in both families.
const CONTAINER: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// Addresses of the metadata service.
const INSTANCE: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

impl AwsConnection {
    /// What is left of it under a rule's `scope: { session_policy: {…}, duration: 15m }`.
    ///
    /// # Errors
    /// It names something else, no session is made, or more is asked for than the connection has.
    pub fn narrowed(&self, scope: &Map<String, Value>) -> Result<Self, String> {
        unknown(scope, &["session_policy", "duration"])?;
        if !self.is_minted {
            return Err("its keys are used as they are: give it `assume_role`, whose sessions can be narrowed".into());
        }
        let mut narrowed = self.clone();
        if let Some(policy) = scope.get("session_policy") {
            if self.session_policy.is_some() {
                return Err("it has a `session_policy` already, and a session has one: leave out either".into());
            }
            narrowed.session_policy = Some(policy_text(policy)?);
        }
        if let Some(duration) = scope.get("duration") {
            let duration = duration.as_str().and_then(units::time).filter(|time| fits(*time));
            let duration = duration.ok_or("its `duration` is a time from 15m to 12h")?;
            if self.duration.is_some_and(|most| duration > most) {
                return Err("its `duration` is longer than the connection's".into());
            }
            narrowed.duration = Some(duration);
        }
        Ok(narrowed)
    }
}

fn fits(time: Duration) -> bool {
    (SHORTEST..=LONGEST).contains(&time)
}

/// The one text of a policy that fits into a session.
fn policy_text(policy: &Value) -> Result<String, String> {
    let text = policy.as_object().filter(|policy| policy.contains_key("Statement")).map(|_| policy.to_string());
    let text = text.ok_or("its `session_policy` is a mapping with a `Statement`")?;
    if text.len() > LONGEST_POLICY {
        return Err(format!("its `session_policy` is longer than {LONGEST_POLICY} characters"));
    }
    Ok(text)
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<AwsSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let region = match fields.get("region") {
        Some(node) => Some(region(node, reader)?),
        None => None,
    };
    let sts_url = match fields.get("sts_url") {
        Some(node) => Some(address(node, false, reader)?),
        None => None,
    };
    let kinds = ["static", "profile", "web_identity", "pod_identity", "imds"];
    let said: Vec<_> = kinds.iter().filter_map(|key| Some((*key, fields.get(key)?))).collect();
    let base = match said[..] {
        [("static", node)] => keys(node, reader),
        [("profile", node)] => profile(node, reader),
        [("web_identity", node)] => role::web_identity(node, reader),
        [("pod_identity", node)] => pod_identity(node, reader),
        [("imds", node)] => imds(node, reader),
        [_, (_, node), ..] => {
            reader.findings.with(node, "a source starts from one kind of credentials: say another source for these");
            None
        }
        _ => {
            let kinds = kinds.map(|kind| format!("`{kind}`")).join(", ");
            reader.findings.with(node, format!("say whose credentials it starts from: one of {kinds}"));
            None
        }
    };
    if let (Some(AwsBase::WebIdentity { .. }), None) = (&base, &region) {
        return reader.missing(node, "region");
    }
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    fields.finish(&[], reader.findings);
    Some(AwsSource { base: base?, region, sts_url, ca_file })
}

fn region(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > 32 || !text.bytes().all(good) || text.starts_with('-') {
        reader.findings.with(node, "this is no region, such as eu-central-1");
        return None;
    }
    Some(text.to_owned())
}

fn keys(node: &Node, reader: &mut Reader<'_>) -> Option<AwsBase> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mut needed = |key: &'static str, reader: &mut Reader<'_>| match fields.get(key) {
        Some(node) => reader.path(node),
        None => reader.missing(node, key),
    };
    let (access_key_file, secret_key_file) = (needed("access_key_file", reader), needed("secret_key_file", reader));
    let session_token_file = fields.get("session_token_file").and_then(|node| reader.path(node));
    fields.finish(&[], reader.findings);
    Some(AwsBase::Static { access_key_file: access_key_file?, secret_key_file: secret_key_file?, session_token_file })
}

fn profile(node: &Node, reader: &mut Reader<'_>) -> Option<AwsBase> {
    let mut fields = Fields::open(node, reader.findings)?;
    let file = match fields.get("file") {
        Some(node) => reader.path(node),
        None => reader.missing(node, "file"),
    };
    let name = match fields.get("name") {
        Some(node) => node.text(reader.findings).map(str::to_owned),
        None => Some("default".to_owned()),
    };
    fields.finish(&[], reader.findings);
    Some(AwsBase::Profile { file: file?, name: name? })
}

fn pod_identity(node: &Node, reader: &mut Reader<'_>) -> Option<AwsBase> {
    let mut fields = Fields::open(node, reader.findings)?;
    let (url, usual_token) = match fields.get("url") {
        Some(node) => (of_machine(node, &CONTAINER, reader), None),
        None => (Url::parse(POD_IDENTITY).ok(), Some(PathBuf::from(POD_TOKEN))),
    };
    let token_file = match fields.get("token_file") {
        Some(node) => Some(reader.path(node)?),
        None => usual_token,
    };
    fields.finish(&[], reader.findings);
    Some(AwsBase::PodIdentity { url: url?, token_file })
}

fn imds(node: &Node, reader: &mut Reader<'_>) -> Option<AwsBase> {
    let mut fields = Fields::open(node, reader.findings)?;
    let url = match fields.get("url") {
        Some(node) => of_machine(node, &INSTANCE, reader),
        None => Url::parse(IMDS).ok(),
    };
    fields.finish(&[], reader.findings);
    Some(AwsBase::Imds { url: url? })
}

/// An address over https, on this machine, or one of those that the platform answers at itself.
fn of_machine(node: &Node, known: &[&str], reader: &mut Reader<'_>) -> Option<Url> {
    let url = Url::parse(node.text(reader.findings)?).ok();
    let is_known = |url: &Url| match url.destination().host() {
        Host::Ip(ip) => known.iter().any(|known| known.parse::<IpAddr>() == Ok(*ip)),
        Host::Name(_) => false,
    };
    match url.filter(|url| url.destination().scheme() == Scheme::Http && is_known(url)) {
        Some(url) => Some(url),
        None => address(node, false, reader),
    }
}
