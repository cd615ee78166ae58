use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::Reader;
use super::{
    ANONYMOUS, AgentConfig, Config, RemoteConfig, SourceConfig, SourceKind, keys, overrides, sections, sources,
};
use crate::config::document::{name_of_agent, version};
use crate::config::yaml::{self, Content, Fields, Findings, Node};
use crate::config::{At, Environment, Problems};

impl Config {
    /// Reads a configuration file, with what the environment overrides.
    ///
    /// # Errors
    /// Everything that is wrong with the file and the variables, at once.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, Problems> {
        let mut findings = Findings::default();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                findings.without_place(format!("cannot read the configuration {}: {error}", file.display()));
                return findings.or(None);
            }
        };
        let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let config = yaml::parse(&Arc::new(file.to_owned()), &text, &mut findings)
            .and_then(|root| read(root, Some(whole), environment, &mut findings));
        findings.or(config)
    }

    /// The configuration without a file: the defaults, with what the environment overrides.
    ///
    /// # Errors
    /// A default folder that cannot be known, since there is no `HOME`; a wrong variable.
    pub fn defaults(environment: &Environment) -> Result<Self, Problems> {
        let mut findings = Findings::default();
        let at = At { file: Arc::new("defaults".into()), line: 1, column: 1 };
        let config = read(Node::new(at, Content::Map(Vec::new())), None, environment, &mut findings);
        findings.or(config)
    }

    /// Reads the file that was named, else the user's own if there is one, else the defaults.
    /// The working directory is never searched: an agent may write there.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn find(named: Option<&Path>, environment: &Environment) -> Result<Self, Problems> {
        match named.map(Path::to_owned).or_else(|| environment.config_file()) {
            Some(file) => Self::load(&file, environment),
            None => Self::defaults(environment),
        }
    }
}

fn read(mut root: Node, file: Option<PathBuf>, environment: &Environment, findings: &mut Findings) -> Option<Config> {
    overrides::apply(&mut root, environment, findings);
    let mut fields = Fields::open(&root, findings)?;
    let base = file.as_ref().and_then(|file| file.parent()).map(Path::to_owned);
    if file.is_some() {
        version(&mut fields, findings);
    }
    let mut reader = Reader::new(environment, base, findings);
    let sources_node = fields.get("sources");
    let default_dir = environment.data_dir();
    let sources = sources::read(sources_node, default_dir.as_deref(), &mut reader);
    let own_store = sources.read.iter().find_map(|source| match &source.kind {
        SourceKind::Embedded(dir) => Some(dir.clone()),
        _ => None,
    });
    let data_dir = own_store.or_else(|| reader.default_dir("the data folder", default_dir)).unwrap_or_default();
    let remote = only_service(&sources.read);
    let (mut timeouts, mut limits) = (super::Timeouts::default(), super::Limits::default());
    let listen = sections::listen(fields.get("listen"), &mut reader);
    let (authority, service) = keys::authority(fields.get("authority"), &data_dir, &mut reader);
    let ca_dir = sections::ca(fields.get("ca"), &data_dir, &mut reader);
    let upstream = sections::upstream(fields.get("upstream"), &mut timeouts, &mut reader);
    sections::limits(fields.get("limits"), &mut limits, &mut timeouts, &mut reader);
    sections::timeouts(fields.get("timeouts"), &mut timeouts, &mut reader);
    let lease = sections::lease(fields.get("lease"), &mut reader);
    let agents = fields.get("agents").map(|node| agents(node, &mut reader)).unwrap_or_default();
    let anonymous = fields.get("anonymous").is_some_and(|node| reader.word(node, &["deny", "allow"]) == Some("allow"));
    let cleartext = fields.get("cleartext").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let connections = sources::connections(fields.get("connections"), &sources, &mut reader);
    let (policy, policy_of_authority) = match fields.get("policy") {
        Some(node) => policy(node, sources.may_hand_out_policy(remote.is_some()), &mut reader),
        None => (environment.policy_file().filter(|_| file.is_none()).into_iter().collect(), false),
    };
    let audit = sections::audit(fields.get("audit"), &mut reader);
    let log = sections::log(fields.get("log"), &mut reader);
    if file.is_some() {
        fields.finish(&[], reader.findings);
    }
    Some(Config {
        file,
        listen,
        authority,
        service,
        sources: sources.read,
        remote,
        ca_dir,
        upstream,
        limits,
        timeouts,
        lease,
        agents,
        anonymous,
        cleartext,
        connections,
        policy,
        policy_of_authority,
        audit,
        log,
    })
}

/// The Authority service, where there is exactly one: whose policy it would be is no question then.
fn only_service(sources: &[SourceConfig]) -> Option<RemoteConfig> {
    let mut services = sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Nexus(remote) => Some(remote.clone()),
        _ => None,
    });
    services.next().filter(|_| services.next().is_none())
}

fn agents(node: &Node, reader: &mut Reader<'_>) -> Vec<AgentConfig> {
    let mut agents: Vec<AgentConfig> = Vec::new();
    for node in node.list(reader.findings) {
        let Some(mut fields) = Fields::open(node, reader.findings) else { continue };
        let name = match fields.get("name") {
            Some(name) => name_of_agent(name, reader.findings),
            None => reader.missing(node, "name"),
        };
        let file = match fields.get("proxy_password_file") {
            Some(file) => reader.path(file),
            None => reader.missing(node, "proxy_password_file"),
        };
        fields.finish(&[], reader.findings);
        let (Some(name), Some(proxy_password_file)) = (name, file) else { continue };
        if name.value == ANONYMOUS {
            reader.findings.with(node, "`anonymous` is the name of callers without a password: choose another");
            continue;
        }
        if agents.iter().any(|agent| agent.name == name.value) {
            reader.findings.with(node, format!("the agent {:?} is listed twice", name.value));
            continue;
        }
        agents.push(AgentConfig { name: name.value, proxy_password_file });
    }
    agents
}

/// The files of the policy, or that the Authority has it.
fn policy(node: &Node, has_authority: bool, reader: &mut Reader<'_>) -> (Vec<PathBuf>, bool) {
    let nodes = node.one_or_list(reader.findings);
    let authority = nodes.iter().find(|node| matches!(&node.content, Content::Text(text) if text == "authority"));
    match authority {
        Some(node) if nodes.len() > 1 => {
            let why = "`authority` stands alone: its policy is the whole policy, and no file is tried beside it";
            reader.findings.with(node, why);
            (Vec::new(), false)
        }
        Some(node) if !has_authority => {
            let why = "`authority` needs one source with `dialect: nexus`; a file of that name is written ./authority";
            reader.findings.with(node, why);
            (Vec::new(), false)
        }
        Some(_) => (Vec::new(), true),
        None => (nodes.iter().filter_map(|node| reader.path(node)).collect(), false),
    }
}
