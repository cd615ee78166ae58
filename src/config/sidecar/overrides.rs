//! `NEXUS_SIDECAR__SECTION__KEY`: scalars of the file, from the environment.

use crate::config::Environment;
use crate::config::yaml::{Content, Entry, Findings, Node, did_you_mean};

const PREFIX: &str = "NEXUS_SIDECAR__";

/// Every scalar, and every list of scalars (written with commas). `*` is a name of the user's.
const KNOWN: &[&str] = &[
    "listen.proxy,",
    "listen.admin,",
    "listen.health,",
    "authority.store",
    "authority.store.postgres.host",
    "authority.store.postgres.database",
    "authority.store.postgres.user",
    "authority.store.postgres.password.file",
    "authority.store.postgres.password.env",
    "authority.store.postgres.tls",
    "authority.store.postgres.ca_file",
    "authority.store.postgres.connections",
    "authority.key.file",
    "authority.key.env",
    "authority.key.fd",
    "authority.key.passphrase",
    "authority.key.command,",
    "authority.listen,",
    "authority.tls.cert_file",
    "authority.tls.key_file",
    "authority.tls.client_ca_file",
    "authority.cleartext",
    "authority.limits.rate",
    "authority.limits.leases",
    "authority.limits.unauthenticated",
    "authority.limits.connections",
    "authority.networks,",
    "ca.dir",
    "upstream.ca_files,",
    "upstream.hosts.*",
    "upstream.connect_timeout",
    "upstream.idle_timeout",
    "upstream.max_idle_per_key",
    "upstream.max_idle",
    "limits.header",
    "limits.buffer",
    "limits.replay",
    "limits.drain",
    "limits.connections",
    "limits.streams",
    "limits.leaves",
    "timeouts.header",
    "timeouts.handshake",
    "timeouts.keep_alive",
    "timeouts.response",
    "timeouts.body",
    "timeouts.tunnel",
    "timeouts.lease",
    "lease.max_age",
    "lease.max_stale",
    "lease.grace",
    "anonymous",
    "cleartext",
    "sources.*.embedded.data_dir",
    "sources.*.url",
    "sources.*.dialect",
    "sources.*.auth",
    "sources.*.auth.bearer_file",
    "sources.*.auth.api_key_file",
    "sources.*.auth.client_cert_file",
    "sources.*.auth.client_key_file",
    "sources.*.ca_file",
    "sources.*.cleartext",
    "sources.*.unauthenticated",
    "sources.*.command.timeout",
    "sources.*.kubernetes.url",
    "sources.*.kubernetes.ca_file",
    "sources.*.kubernetes.token_file",
    "sources.*.kubernetes.namespace",
    "sources.*.kubernetes.cleartext",
    "sources.*.spiffe.socket",
    "sources.*.vault.url",
    "sources.*.vault.namespace",
    "sources.*.vault.ca_file",
    "sources.*.vault.cleartext",
    "sources.*.vault.auth.token_file",
    "sources.*.vault.auth.approle.mount",
    "sources.*.vault.auth.approle.role_id",
    "sources.*.vault.auth.approle.secret_id_file",
    "sources.*.vault.auth.kubernetes.mount",
    "sources.*.vault.auth.kubernetes.role",
    "sources.*.vault.auth.kubernetes.token_file",
    "sources.*.github_app.app_id",
    "sources.*.github_app.key_file",
    "sources.*.github_app.url",
    "sources.*.github_app.ca_file",
    "sources.*.aws.region",
    "sources.*.aws.sts_url",
    "sources.*.aws.ca_file",
    "sources.*.aws.static.access_key_file",
    "sources.*.aws.static.secret_key_file",
    "sources.*.aws.static.session_token_file",
    "sources.*.aws.profile.file",
    "sources.*.aws.profile.name",
    "sources.*.aws.web_identity.token_file",
    "sources.*.aws.web_identity.role_arn",
    "sources.*.aws.pod_identity.url",
    "sources.*.aws.pod_identity.token_file",
    "sources.*.aws.imds.url",
    "sources.*.google.service_account_file",
    "sources.*.google.token_url",
    "sources.*.google.ca_file",
    "sources.*.google.metadata.url",
    "sources.*.google.metadata.account",
    "sources.*.google.workload_identity.audience",
    "sources.*.google.workload_identity.subject_type",
    "sources.*.google.workload_identity.subject.file",
    "sources.*.google.workload_identity.subject.url",
    "sources.*.google.workload_identity.subject.field",
    "sources.*.google.workload_identity.token_url",
    "sources.*.google.workload_identity.impersonate",
    "sources.*.google.workload_identity.iam_url",
    "sources.*.azure.url",
    "sources.*.azure.tenant",
    "sources.*.azure.client_id",
    "sources.*.azure.client_secret_file",
    "sources.*.azure.certificate.cert_file",
    "sources.*.azure.certificate.key_file",
    "sources.*.azure.federated_token_file",
    "sources.*.azure.managed_identity.url",
    "sources.*.azure.managed_identity.client_id",
    "sources.*.azure.ca_file",
    "connections.*.source",
    "connections.*.name",
    "connections.*.id",
    "connections.*.command,",
    "connections.*.environment,",
    "connections.*.format",
    "connections.*.field",
    "connections.*.ttl",
    "connections.*.expires_at",
    "connections.*.expires_in",
    "connections.*.path",
    "connections.*.provider",
    "connections.*.hosts,",
    "connections.*.strategy",
    "connections.*.owned",
    "connections.*.owner",
    "connections.*.installation",
    "connections.*.repositories,",
    "connections.*.scope",
    "connections.*.scopes,",
    "connections.*.audience,",
    "connections.*.spiffe_id",
    "connections.*.secret",
    "connections.*.service_account",
    "connections.*.audiences,",
    "connections.*.namespace",
    "connections.*.folder",
    "connections.*.token_file",
    "policy,",
    "audit.mode",
    "audit.dir",
    "audit.key_file",
    "audit.max_file",
    "log.format",
    "log.level",
    // Not enforced yet: reading the section says so.
    "listen.transparent,",
];

/// Sets what variables say in a file's tree, so that it is read and checked like the rest.
pub(super) fn apply(root: &mut Node, environment: &Environment, findings: &mut Findings) {
    for (name, value) in environment.below(PREFIX) {
        let variable = format!("{PREFIX}{name}");
        let path = name.to_lowercase().replace("__", ".");
        let Some(known) = KNOWN.iter().find(|known| stands_for(known.trim_end_matches(','), &path)) else {
            let near = did_you_mean(&path, KNOWN.iter().map(|known| known.trim_end_matches(',')));
            let near = near.map(|near| format!("{PREFIX}{}", near.to_uppercase().replace('.', "__")));
            let advice = near.map(|near| format!(": did you mean {near}?")).unwrap_or_default();
            findings.without_place(format!("{variable}: there is no such setting{advice}"));
            continue;
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            findings.without_place(format!("{variable}: the value is empty or not UTF-8"));
            continue;
        };
        let mut node = Node::new(root.at.clone(), Content::Text(value.to_owned()));
        node.variable = Some(variable.clone());
        if known.ends_with(',') {
            let item = |text: &str| Node { content: Content::Text(text.trim().to_owned()), ..node.clone() };
            node.content = Content::List(value.split(',').map(item).collect());
        }
        if !set(root, &path, node) {
            findings.without_place(format!("{variable}: the file has something else than a mapping above it"));
        }
    }
}

fn stands_for(known: &str, path: &str) -> bool {
    let (mut known, mut path) = (known.split('.'), path.split('.'));
    loop {
        match (known.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(name)) if !name.is_empty() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

fn set(above: &mut Node, path: &str, node: Node) -> bool {
    if matches!(above.content, Content::Null) {
        above.content = Content::Map(Vec::new());
    }
    let at = above.at.clone();
    let Content::Map(entries) = &mut above.content else { return false };
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    let found = entries.iter().position(|entry| entry.key == key);
    let index = found.unwrap_or_else(|| {
        let mut empty = Node::new(at.clone(), Content::Map(Vec::new()));
        empty.variable.clone_from(&node.variable);
        entries.push(Entry { key: key.to_owned(), at, node: empty });
        entries.len() - 1
    });
    let Some(entry) = entries.get_mut(index) else { return false };
    match rest {
        None => {
            entry.node = node;
            true
        }
        Some(rest) => {
            // Of the sources of the key one stands alone: the variable's, not the file's.
            if let (true, Content::Map(sources)) = (key == "key", &mut entry.node.content) {
                sources.retain(|source| source.node.variable.is_some());
            }
            set(&mut entry.node, rest, node)
        }
    }
}
