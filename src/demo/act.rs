//! The demonstration itself: everything is started, the agent does its work, and what happened
//! is checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DemoError;
use super::agent::{Agent, Said};
use super::report::{self, Call, Check, Progress, Report};
use super::secrets::Secrets;
use super::services::Services;
use super::sidecar::Sidecar;
use crate::audit;
use crate::config::AuditConfig;
use crate::telemetry::{Clock, SystemClock};

/// What the agent's environment is made of.
pub struct Surroundings<'a> {
    /// The proxy's URL.
    pub proxy: &'a str,
    /// A file: everything that may be trusted.
    pub bundle: &'a Path,
    /// A file: the sidecar's CA alone.
    pub own_ca: &'a Path,
}

/// Makes the environment of a command, as `run` does.
pub type EnvironmentOf<'a> = &'a dyn Fn(&Surroundings<'_>) -> BTreeMap<OsString, OsString>;

/// Makes the private folder of one demonstration, removed when it is dropped. Whoever holds it
/// ends the runtime first, since a sidecar that was not stopped may still write to it.
pub fn place() -> Result<TempDir, DemoError> {
    // Mode 0700, as `tempfile` makes every folder.
    let made = tempfile::Builder::new().prefix("nexus-sidecar-demo-").tempdir();
    made.map_err(|source| DemoError::Io { action: "make a temporary folder", source })
}

/// Holds the demonstration in an empty folder and answers what it found. With `tamper`, one byte
/// of the audit is changed before it is verified.
pub async fn run(
    folder: &Path,
    tamper: bool,
    environment: EnvironmentOf<'_>,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, DemoError> {
    let begun = SystemClock.boot();
    let secrets = Secrets::draw()?;
    let services = Services::start(&secrets, SystemClock.wall()).await?;
    for (service, wants) in services.all().into_iter().zip(["an OAuth 2.0 token", "SigV4 signatures", "a bearer token"])
    {
        watch(Progress::Started(format!("{:<41} wants {wants}", service.url())));
    }
    let sidecar = Sidecar::start(folder, &secrets, &services).await?;
    watch(Progress::Started(
        "the sidecar serves, with its store, its policy and its audit in a folder of this run".to_owned(),
    ));
    let Heard { calls, same_object, variables, written } = act(&sidecar, &services, environment, folder, watch).await?;
    let log = sidecar.audit.clone();
    sidecar.stop().await?;
    let mut checks = report::of_calls(&calls, same_object, services.unexplained());
    let held = format!("{variables} variables, its requests and every answer");
    checks.push(secrecy(&secrets, "no secret is in what the agent held, sent or received", &held, &written));
    checks.push(secrecy(&secrets, "no secret is in the audit", "its files", &everything_in(&log.dir)?));
    if tamper {
        let file = change_one_byte(&log.dir)?;
        watch(Progress::Started(format!("one byte of {file} was changed")));
    }
    checks.push(verified(&log, &calls));
    checks.iter().for_each(|check| watch(Progress::Checked(check)));
    let held = calls.iter().all(|call| call.held) && checks.iter().all(|check| check.held);
    Ok(Report { calls, checks, held, milliseconds: (SystemClock.boot() - begun).as_millis() })
}

/// What the agent told of its work.
#[derive(Default)]
struct Heard {
    calls: Vec<Call>,
    /// Its object came back byte for byte.
    same_object: bool,
    /// How many variables its environment has.
    variables: usize,
    /// Everything that it wrote: its environment and the answers that it got are in it.
    written: Vec<u8>,
}

/// Lets the agent work.
async fn act(
    sidecar: &Sidecar,
    services: &Services,
    environment: EnvironmentOf<'_>,
    folder: &Path,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Heard, DemoError> {
    let place = folder.join("agent");
    fs::create_dir(&place).map_err(|source| DemoError::Io { action: "make the agent's folder", source })?;
    let bundle = written(&place, "ca-bundle.pem", &[&sidecar.roots_pem, &sidecar.ca_pem].map(String::as_str).concat())?;
    let own_ca = written(&place, "ca.pem", &sidecar.ca_pem)?;
    let mut variables = environment(&Surroundings { proxy: &sidecar.proxy_url, bundle: &bundle, own_ca: &own_ca });
    let elsewhere = format!("https://elsewhere.demo.test:{}", services.chat.address.port());
    for (name, url) in [
        ("TICKETS", services.tickets.url()),
        ("STORAGE", services.storage.url()),
        ("CHAT", services.chat.url()),
        ("ELSEWHERE", elsewhere),
    ] {
        variables.insert(name.into(), url.into());
    }
    let mut heard = Heard::default();
    let agent = Agent::start(&variables, &place)?;
    sidecar.gate.started(agent.pid());
    let written = agent
        .listen(|said| match said {
            Said::Call(sent) => {
                let seen = services.take(sent.method, sent.url);
                heard.calls.extend(Call::judge(&sent, seen.as_ref()).inspect(|call| watch(Progress::Called(call))));
            }
            Said::SameObject => heard.same_object = true,
            Said::Variable => heard.variables += 1,
            Said::Answer => {}
        })
        .await?;
    Ok(Heard { written, ..heard })
}

fn written(folder: &Path, name: &str, text: &str) -> Result<PathBuf, DemoError> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|source| DemoError::Io { action: "write the certificates", source })?;
    Ok(path)
}

fn secrecy(secrets: &Secrets, claim: &'static str, place: &str, text: &[u8]) -> Check {
    let leaked = secrets.found_in(text);
    let found = if leaked.is_empty() {
        format!("{place} were searched, {} bytes, in plain, Base64 and hex", text.len())
    } else {
        format!("{place} show the {}", leaked.join(", the "))
    };
    Check { claim, found, held: leaked.is_empty() && !text.is_empty() }
}

/// Asks the audit for its proof, and whether it knows of every request that came to the sidecar.
fn verified(audit: &AuditConfig, calls: &[Call]) -> Check {
    let expected = calls.iter().filter(|call| call.came_to_the_sidecar()).count();
    let (found, held) = match audit::verify(&audit.dir, &audit.key_file, &[]) {
        Err(error) => (error.to_string(), false),
        Ok(report) => match report.findings.first() {
            Some(finding) => (finding.to_string(), false),
            None => {
                let (requests, open) = (report.requests, report.open);
                let found = format!("{requests} requests in {} chained lines, {open} without an end", report.lines);
                (found, open == 0 && requests >= expected as u64)
            }
        },
    };
    Check { claim: "the audit verifies", found, held }
}

fn everything_in(dir: &Path) -> Result<Vec<u8>, DemoError> {
    let mut all = Vec::new();
    for file in files(dir)? {
        all.extend(fs::read(file).map_err(|source| DemoError::Io { action: "read the audit", source })?);
    }
    Ok(all)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, DemoError> {
    let failed = |source| DemoError::Io { action: "list the audit", source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        found.extend(path.is_file().then_some(path));
    }
    found.sort();
    Ok(found)
}

/// Lets the record of the refused DELETE name another ticket: what somebody with an editor would
/// do. Answers the file's name.
fn change_one_byte(dir: &Path) -> Result<String, DemoError> {
    const TICKET: &[u8] = b"OPS-7";
    let failed = |source| DemoError::Io { action: "change the audit", source };
    for file in files(dir)? {
        let mut bytes = fs::read(&file).map_err(failed)?;
        let Some(place) = bytes.windows(TICKET.len()).position(|window| window == TICKET) else { continue };
        bytes[place + TICKET.len() - 1] += 1;
        fs::write(&file, bytes).map_err(failed)?;
        return Ok(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    Err(DemoError::Made("a change: no record names the ticket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(given: &Surroundings<'_>) -> BTreeMap<OsString, OsString> {
        BTreeMap::from([
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("https_proxy".into(), given.proxy.into()),
            ("CURL_CA_BUNDLE".into(), given.bundle.into()),
        ])
    }

    #[tokio::test]
    async fn the_whole_loop_holds() {
        let place = place().unwrap();
        let mut lines = 0;
        let report = run(place.path(), false, &environment, &mut |_| lines += 1).await.unwrap();
        assert!(report.held, "{report:#?}");
        assert_eq!((report.calls.len(), report.checks.len()), (10, 7));
        assert_eq!(lines, 4 + 10 + 7);
    }

    #[tokio::test]
    async fn one_changed_byte_of_the_audit_fails_its_check_alone() {
        let place = place().unwrap();
        let report = run(place.path(), true, &environment, &mut |_| ()).await.unwrap();
        let failed: Vec<_> = report.checks.iter().filter(|check| !check.held).map(|check| check.claim).collect();
        assert_eq!(failed, ["the audit verifies"], "{report:#?}");
        assert!(!report.held && report.calls.iter().all(|call| call.held));
    }

    #[test]
    fn a_leak_is_named_and_an_empty_text_proves_nothing() {
        let secrets = Secrets::draw().unwrap();
        let leak = secrecy(&secrets, "c", "its answers", format!("x{}y", secrets.chat).as_bytes());
        assert!(!leak.held && leak.found.contains("chat token") && !leak.found.contains(&secrets.chat));
        assert!(!secrecy(&secrets, "c", "its answers", b"").held);
        assert!(secrecy(&secrets, "c", "its answers", b"nothing").held);
    }
}
