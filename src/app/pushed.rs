//! `policy: [ authority ]`: the policy that the Authority hands out, and the last good one of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Narrowing, Reloader};
use crate::config::{Config, Document, Problems, RemoteConfig};
use crate::lease::{NexusSource, PolicyDocument, PolicyError};
use crate::policy::Policy;
use crate::telemetry::Metrics;

/// The longest file that is read back.
const LONGEST: u64 = 8 << 20;

/// The policy of an Authority, kept on this machine for a start while it cannot be asked.
pub struct PushedPolicy {
    source: Arc<NexusSource>,
    kept: KeptPolicy,
    current: PolicyDocument,
    narrowing: Narrowing,
}

/// The file of the last good policy.
pub struct KeptPolicy {
    file: PathBuf,
    /// Whose it is: another Authority's policy is nobody's here.
    url: String,
}

/// Why there is no policy to start with.
#[derive(Debug, thiserror::Error)]
pub enum PushedError {
    /// The Authority gave none, and none was kept.
    #[error("{source}, and none is kept in {kept}")]
    Unavailable {
        /// What it said.
        source: PolicyError,
        /// Where one would be kept.
        kept: PathBuf,
    },
    /// The Authority says that there is none.
    #[error(transparent)]
    None(PolicyError),
    /// What it gave is no policy, and none was kept.
    #[error("the Authority's policy {number} is not valid\n{problems}")]
    Invalid {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        problems: Problems,
    },
}

/// A policy to start with.
pub struct Start {
    /// The rules.
    pub policy: Policy,
    /// What follows them.
    pub pushed: PushedPolicy,
    /// Why it is not the one that the Authority has now, if it is not.
    pub warning: Option<String>,
}

impl KeptPolicy {
    /// Where a sidecar of this configuration keeps what this Authority said.
    pub fn of(config: &Config, remote: &RemoteConfig) -> Self {
        let url = format!("{}{}", remote.url.destination(), remote.url.target().path());
        Self { file: config.authority.data_dir.join("authority-policy.json"), url }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The last good one, if this Authority ever gave one.
    pub fn read(&self) -> Option<PolicyDocument> {
        let mut text = String::new();
        File::open(&self.file).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        let kept: Value = serde_json::from_str(&text).ok()?;
        let document = kept.get("document")?.as_str()?.to_owned();
        let version = kept.get("version")?.as_u64()?;
        (kept.get("url")?.as_str()? == self.url).then_some(PolicyDocument { version, document })
    }

    /// Keeps one, whole or not at all, for its owner alone.
    fn write(&self, document: &PolicyDocument) -> io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let kept = json!({ "url": self.url, "version": document.version, "document": document.document });
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(kept.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.file)?;
        Ok(())
    }

    fn keep(&self, document: &PolicyDocument) {
        if let Err(error) = self.write(document) {
            let file = self.file.display();
            tracing::warn!(%file, %error, "the Authority's policy could not be kept for a start without it");
        }
    }
}

/// The document as a policy file, named for its number.
pub fn document_of(policy: &PolicyDocument) -> Document {
    Document::of_authority(policy.version, &policy.document)
}

fn compile(document: &PolicyDocument, narrowing: &Narrowing) -> Result<Policy, Problems> {
    let policy = Policy::compile(vec![document_of(document)])?;
    narrowing.check(&policy).map(|()| policy)
}

impl PushedPolicy {
    /// Asks the Authority for its policy. Where it cannot be asked, or what it has is not valid,
    /// the last good one holds, with a warning. A policy whose leases cannot be narrowed as it says
    /// is not valid here.
    pub async fn start(source: Arc<NexusSource>, kept: KeptPolicy, narrowing: Narrowing) -> Result<Start, PushedError> {
        let (error, warning) = match source.policy().await {
            Ok(current) => match compile(&current, &narrowing) {
                Ok(policy) => {
                    kept.keep(&current);
                    return Ok(Start { policy, pushed: Self { source, kept, current, narrowing }, warning: None });
                }
                Err(problems) => {
                    let number = current.version;
                    (PushedError::Invalid { number, problems }, format!("the Authority's policy {number} is not valid"))
                }
            },
            Err(error @ PolicyError::None) => return Err(PushedError::None(error)),
            Err(error) => {
                let warning = error.to_string();
                (PushedError::Unavailable { source: error, kept: kept.file.clone() }, warning)
            }
        };
        let good = |kept: PolicyDocument| compile(&kept, &narrowing).ok().map(|policy| (kept, policy));
        let Some((current, policy)) = kept.read().and_then(good) else { return Err(error) };
        let warning = Some(format!("{warning}: the last good one, {}, holds", current.version));
        Ok(Start { policy, pushed: Self { source, kept, current, narrowing }, warning })
    }

    /// Goes by these sources from now on.
    pub fn narrowed_by(&mut self, narrowing: Narrowing) {
        self.narrowing = narrowing;
    }

    /// Takes what the Authority says from now on, for as long as it is polled.
    pub async fn follow(mut self, reloader: Reloader, metrics: Arc<Metrics>) {
        let mut moved = self.source.policy_changes();
        // What changed before the stream was open is told by its hello.
        loop {
            match self.source.next_policy(&mut moved).await {
                Ok(document) if document == self.current => {}
                Ok(document) => self.take(document, &reloader, &metrics),
                Err(error) => {
                    tracing::error!(%error, "the last policy stays");
                    metrics.reloaded(false);
                }
            }
        }
    }

    fn take(&mut self, document: PolicyDocument, reloader: &Reloader, metrics: &Metrics) {
        let number = document.version;
        match compile(&document, &self.narrowing) {
            Ok(policy) => {
                let version = policy.version().to_string();
                reloader.policy(policy);
                tracing::info!(number, policy = %version, "the Authority's policy was taken");
                self.kept.keep(&document);
                self.current = document;
                metrics.reloaded(true);
            }
            Err(Problems(problems)) => {
                for problem in problems {
                    tracing::error!(number, %problem, "the Authority's policy is not valid: the last one stays");
                }
                metrics.reloaded(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_its_owners_and_its_authoritys_alone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |url: &str| KeptPolicy { file: folder.path().join("data/policy.json"), url: url.to_owned() };
        let document = PolicyDocument { version: 7, document: "version: 1\n".to_owned() };
        assert_eq!(kept("https://a.test/").read(), None);
        kept("https://a.test/").write(&document).unwrap();
        assert_eq!(kept("https://a.test/").read(), Some(document));
        assert_eq!(kept("https://b.test/").read(), None);
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("data"), mode("data/policy.json")), (0o700, 0o600));
        fs::write(folder.path().join("data/policy.json"), "{").unwrap();
        assert_eq!(kept("https://a.test/").read(), None);
    }

    #[test]
    fn a_version_holds_the_authoritys_number_and_the_content() {
        let text = "version: 1\nrules:\n  - { host: a.test, action: forward }\n";
        let version = |number, text: &str| {
            let document = PolicyDocument { version: number, document: text.to_owned() };
            Policy::compile(vec![document_of(&document)]).unwrap().version().to_string()
        };
        let seven = version(7, text);
        assert!(seven.starts_with("7:") && seven.len() == 18, "{seven}");
        assert_ne!(seven, version(8, text));
        assert_ne!(seven, version(7, &text.replace("a.test", "b.test")));
        let wrong = PolicyDocument { version: 9, document: "version: 2".to_owned() };
        let problems = Policy::compile(vec![document_of(&wrong)]).unwrap_err();
        assert!(problems.to_string().contains("the Authority's policy 9:1:10"), "{problems}");
    }
}
