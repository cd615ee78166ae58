//! `authority doctor`: whether an Authority is well, and what to do if it is not. It makes nothing.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::authority::{Authority, Overview, State};
use crate::cli::doctor::{Finding, Report, clock_now, disk_of, port, secret_file, span};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::cli::{exit, harden, start, store};
use crate::config::{Config, KeySource, KeysFrom, ServiceConfig};
use crate::telemetry::{Clock, SystemClock};
use crate::tls::{ends_at, server_tls};

const EXAMPLES: &str = "\
Each line is a check: ok; skip, with the reason; warn, to know of; fail, to be mended.

Examples:
  nexus-sidecar authority doctor
  nexus-sidecar authority doctor --config nexus-sidecar.yaml --json | jq .ok";

/// A certificate that ends sooner is told.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// An audit of more lines takes longer than who asks for a look wants to wait.
const LINES: u64 = 200_000;

/// Check the store, its keys and what it is served with, and say what to do
///
/// Whether the store opens, what is under which key, whether the audit's chains hold, addresses and
/// certificates, API keys, connections that somebody has to see to, room and clock. Nothing is made,
/// and nobody is asked. Exit 1 if something has to be mended.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The result as JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and answers the exit code.
pub(super) fn execute(config: Option<&Path>, args: &Args) -> Result<ExitCode, Failure> {
    harden::harden()?;
    let config = start::config(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut report = Report::default();
    let found = &mut report.findings;
    found.extend(key_files(&config));
    found.extend(store(&config, &clock));
    if let Err(problems) = config.check_for_authority() {
        found.push(Finding::fail("configuration", problems.to_string()).then("correct it: it is not served before"));
    }
    found.extend(served(&config.service, clock.wall()));
    found.push(disk_of("disk", &config.authority.data_dir, "changes are refused once it is full"));
    found.push(clock_now(&*clock));
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.text() })?;
    Ok(ExitCode::from(if report.failed() { exit::FAILED } else { exit::OK }))
}

fn key_files(config: &Config) -> Vec<Finding> {
    let authority = &config.authority;
    let mut found = Vec::new();
    match &authority.key {
        KeySource::File(path) if path.exists() || Authority::has_store(authority) => {
            found.push(secret_file("key", path))
        }
        _ => {}
    }
    for other in &authority.other_keys {
        found.extend(if let KeySource::File(path) = other { Some(secret_file("other key", path)) } else { None });
    }
    found
}

fn store(config: &Config, clock: &Arc<dyn Clock>) -> Vec<Finding> {
    const OF: &str = "store";
    let of = &config.authority;
    if !Authority::has_store(of) {
        let none = Finding::skip(OF, format!("there is none in {} yet", of.data_dir.display()));
        return vec![none.then("nexus-sidecar authority serve makes it, its key, and the first API key")];
    }
    if of.key == KeySource::Passphrase && !io::stdin().is_terminal() {
        let skipped = Finding::skip(OF, "its key is a passphrase, and there is no terminal to ask for it");
        return vec![skipped.then("run it in a terminal to look into the store")];
    }
    let authority = match store::open(of, Arc::clone(clock)) {
        Ok(authority) => authority,
        Err(failure) => return vec![Finding::fail(OF, failure.message())],
    };
    let overview = match authority.overview() {
        Ok(overview) => overview,
        Err(error) => return vec![Finding::fail(OF, error.to_string())],
    };
    let said = format!("{}, version {}, opens with its key", authority.store_name(), overview.schema);
    let mut found = vec![Finding::ok(OF, said), rotation(of.other_keys.len(), &overview)];
    found.push(audit(&authority, overview.audit_lines));
    found.push(api_keys(&overview));
    found.extend(connections(&overview));
    found
}

fn rotation(others: usize, overview: &Overview) -> Finding {
    const OF: &str = "sealing";
    let rotate = "nexus-sidecar authority rotate-key";
    match (overview.under_other_keys, others) {
        (0, 0) => Finding::ok(OF, "everything is under authority.key"),
        (0, _) => Finding::warn(OF, "every connection is under authority.key, and authority.other_keys has more")
            .then(format!("{rotate}, if it has not said yet that nothing is left; then take the others out")),
        (rows, 0) => Finding::fail(OF, format!("{rows} rows are under another key than authority.key"))
            .then(format!("name that key in authority.other_keys, and run {rotate}")),
        (rows, _) => {
            let said = format!("{rows} rows are under another key than authority.key: a rotation is under way");
            Finding::warn(OF, said).then(rotate)
        }
    }
}

fn audit(authority: &Authority, lines: u64) -> Finding {
    const OF: &str = "audit";
    let verify = "nexus-sidecar audit verify";
    if lines > LINES {
        return Finding::skip(OF, format!("{lines} lines take a while")).then(verify);
    }
    match authority.verify_audit(&[]) {
        Err(error) => Finding::fail(OF, error.to_string()),
        Ok(report) if report.findings.is_empty() => {
            let said = format!("{} lines of {} processes, and every chain holds", report.lines, report.instances);
            Finding::ok(OF, said)
        }
        Ok(report) => Finding::fail(OF, report.findings.join("; ")).then(format!("{verify} says more: see who did it")),
    }
}

fn api_keys(overview: &Overview) -> Finding {
    const OF: &str = "API keys";
    let Overview { keys, admin_keys, endless_keys, .. } = overview;
    let said = format!("{keys} alive, of which {admin_keys} manage and {endless_keys} never end");
    match (endless_keys, admin_keys) {
        (0, 0..=3) => Finding::ok(OF, said),
        _ => Finding::warn(OF, said)
            .then("nexus-sidecar authority key list; make new ones with --expires-in, and revoke the old"),
    }
}

fn connections(overview: &Overview) -> Vec<Finding> {
    const OF: &str = "connections";
    let list = "nexus-sidecar connection list";
    let words: Vec<String> =
        overview.connections.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
    let seen_to = |(state, _): &&(State, u64)| matches!(state, State::Attention | State::Failed | State::Expired);
    let said = if words.is_empty() { "there are none yet".to_owned() } else { words.join(", ") };
    let mut found = vec![match overview.connections.iter().find(seen_to) {
        Some(_) => Finding::warn(OF, said).then(format!("see to those that nothing is lent of: {list}")),
        None => Finding::ok(OF, said),
    }];
    if overview.untold > 0 {
        let said = format!("{} are revoked here, and their provider has not been told yet", overview.untold);
        found.push(Finding::warn("revocation", said).then("end them at the provider if that lasts"));
    }
    if !overview.frozen.is_empty() {
        let said = format!("nothing is lent in {}", overview.frozen.join(", "));
        found.push(Finding::warn("frozen", said).then("if it is over: unfreeze"));
    }
    found
}

/// Addresses, certificates, and whom the configuration admits.
fn served(service: &ServiceConfig, now: SystemTime) -> Vec<Finding> {
    let mut found: Vec<Finding> = service.listen.iter().map(|address| port("address", *address)).collect();
    let abroad = service.listen.iter().any(|address| !address.ip().is_loopback());
    match &service.tls {
        Some(tls) => {
            found.push(secret_file("TLS key", &tls.key_file));
            match server_tls(&tls.cert_file, &tls.key_file, tls.client_ca_file.as_deref()) {
                Err(error) => found.push(Finding::fail("TLS", error.to_string()).then("it is not served before")),
                Ok(_) => found.push(certificate("certificate", &tls.cert_file, now)),
            }
            found.extend(tls.client_ca_file.iter().map(|file| certificate("client CA", file, now)));
        }
        None if abroad => {
            let said = "in cleartext, on an address that others reach: whoever sees it has keys and credentials";
            found.push(Finding::warn("TLS", said).then("set authority.tls, unless something before it does TLS"));
        }
        None => found.push(Finding::ok("TLS", "none is needed: it is served to this machine alone")),
    }
    for issuer in &service.access.issuers {
        let of = format!("issuer {}", issuer.issuer);
        let files: Vec<&Path> = match &issuer.keys {
            KeysFrom::File(path) => vec![path],
            KeysFrom::Url { ca_file, bearer_file, .. } => {
                ca_file.iter().chain(bearer_file).map(AsRef::as_ref).collect()
            }
        };
        for file in files {
            found.push(match std::fs::read(file) {
                Ok(_) => Finding::ok(&of, format!("{} can be read", file.display())),
                Err(error) => Finding::fail(&of, format!("cannot read {}: {error}", file.display()))
                    .then("its tokens are not accepted before"),
            });
        }
    }
    found
}

fn certificate(of: &str, file: &Path, now: SystemTime) -> Finding {
    let shown = file.display();
    let end = match ends_at(file) {
        Ok(end) => end,
        Err(why) => return Finding::fail(of, format!("cannot use {shown}: {why}")),
    };
    match end.duration_since(now) {
        Err(_) => Finding::fail(of, format!("{shown} has ended")).then("renew it"),
        Ok(left) if left < SOON => Finding::warn(of, format!("{shown} ends in {}", span(left))).then("renew it"),
        Ok(left) => Finding::ok(of, format!("{shown} is good for {}", span(left))),
    }
}
