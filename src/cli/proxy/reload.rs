//! Follows the files of a running sidecar: as one set, all or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::app::{Narrowing, Reloader};
use crate::cli::failure::Failure;
use crate::cli::start;
use crate::config::{Config, FileSet};
use crate::identity::Gate;
use crate::policy::Policy;
use crate::telemetry::Metrics;

/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(1);

/// Files that move together are read once nothing has moved for this long.
const QUIET: Duration = Duration::from_millis(300);

/// Looks at the files and swaps what they say.
pub(super) struct Follower {
    file: PathBuf,
    /// As it was at the start: what `listen` and the like are compared with.
    running: Config,
    files: FileSet,
    metrics: Arc<Metrics>,
    hangup: Signal,
}

/// What a valid set says.
struct Loaded {
    config: Config,
    /// None where it is not in files, or was not at the start.
    policy: Option<Policy>,
    gate: Gate,
}

impl Follower {
    /// Looks at the files that a sidecar starts with.
    pub(super) fn new(file: PathBuf, config: &Config, metrics: &Arc<Metrics>) -> Result<Self, Failure> {
        let hangup = signal(SignalKind::hangup())
            .map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")))?;
        let files = FileSet::new(files(&file, config));
        Ok(Self { file, running: config.clone(), files, metrics: Arc::clone(metrics), hangup })
    }

    /// Follows them until dropped. SIGHUP reads them at once, moved or not.
    pub(super) async fn follow(mut self, reloader: Reloader) {
        loop {
            let asked = tokio::select! {
                _ = self.hangup.recv() => true,
                () = sleep(POLL) => false,
            };
            if asked || self.moved() {
                self.settle().await;
                self.reload(&reloader).await;
            }
        }
    }

    /// Waits until nothing moves any more.
    async fn settle(&mut self) {
        loop {
            sleep(QUIET).await;
            if !self.moved() {
                return;
            }
        }
    }

    fn moved(&mut self) -> bool {
        tokio::task::block_in_place(|| self.files.moved())
    }

    /// Reads the set, once more if a file of it moved meanwhile, and takes it if all of it is
    /// valid; the old one stays otherwise.
    async fn reload(&mut self, reloader: &Reloader) {
        let loaded = loop {
            let loaded = tokio::task::block_in_place(|| self.load());
            if !self.moved() {
                break loaded;
            }
            self.settle().await;
        };
        match loaded {
            Ok(Loaded { config, policy, gate }) => {
                let version = policy.as_ref().map_or("the Authority's", |policy| policy.version());
                tracing::info!(policy = version, "the configuration was reloaded");
                if let Some(policy) = policy {
                    reloader.policy(policy);
                }
                reloader.gate(Arc::new(gate));
                self.metrics.reloaded(true);
                for section in config.needs_restart(&self.running) {
                    tracing::warn!(section, "a change was not taken: it needs a restart");
                }
            }
            Err(failure) => {
                for line in failure.message().lines() {
                    tracing::error!(problem = line, "the changed configuration is invalid: the old one stays");
                }
                self.metrics.reloaded(false);
            }
        }
    }

    /// Reads configuration, policy and passwords. The files that a new configuration names are
    /// looked at before they are read, and followed from then on even if they are invalid.
    fn load(&mut self) -> Result<Loaded, Failure> {
        let config = loop {
            let config = start::config(Some(&self.file))?;
            let named = files(&self.file, &config);
            if self.files.paths().eq(named.iter()) {
                break config;
            }
            // Looked at before it is read again, so that no move between the two is missed.
            self.files = FileSet::new(named);
        };
        config.check_for_proxy().map_err(|problems| Failure::invalid(&problems))?;
        // The sources are those of the start: a change of them needs a restart.
        let of_files = !config.policy_of_authority && !self.running.policy_of_authority;
        let policy = of_files.then(|| start::load_policy(&config, &Narrowing::of(&self.running))).transpose()?;
        let gate = super::gate(&config)?;
        Ok(Loaded { config, policy, gate })
    }
}

/// Everything that is read again: the configuration, its policies and its agents' passwords.
fn files(file: &Path, config: &Config) -> Vec<PathBuf> {
    let passwords = config.agents.iter().map(|agent| agent.proxy_password_file.clone());
    [file.to_owned()].into_iter().chain(config.policy.iter().cloned()).chain(passwords).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const POLICY: &str = "version: 1\nrules:\n  - { name: a, host: a.test, action: forward }\n";

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            files.write("one.yaml", POLICY);
            files.password("pw", "secret");
            files.configure("one.yaml", "pw");
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        fn password(&self, name: &str, text: &str) {
            self.write(name, text);
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn configure(&self, policy: &str, password: &str) {
            let (folder, password) = (self.0.path().display(), self.path(password));
            let text = format!(
                "version: 1\nlisten: {{ proxy: '127.0.0.1:0' }}\npolicy: [{policy}]\nca: {{ dir: {folder}/ca }}\n\
                 agents: [ {{ name: bot, proxy_password_file: {} }} ]\n",
                password.display()
            );
            self.write("c.yaml", &text);
        }

        fn follower(&self) -> Follower {
            let file = self.path("c.yaml");
            let config = start::config(Some(&file)).unwrap();
            Follower::new(file, &config, &Arc::new(Metrics::new())).unwrap()
        }
    }

    #[tokio::test]
    async fn a_set_is_taken_as_a_whole_or_not_at_all() {
        let files = Files::new();
        let mut follower = files.follower();
        let before = follower.load().unwrap().policy.unwrap().version().to_string();
        files.write("one.yaml", &POLICY.replace("a.test", "b.test"));
        assert!(follower.files.moved());
        assert_ne!(*before, **follower.load().unwrap().policy.unwrap().version());
        files.password("pw", "");
        assert!(follower.files.moved() && follower.load().is_err());
        files.password("pw", "other");
        files.write("one.yaml", "version: 1\nrules: 7\n");
        assert!(follower.load().is_err());
    }

    #[tokio::test]
    async fn a_file_that_a_broken_set_names_is_followed() {
        let files = Files::new();
        let mut follower = files.follower();
        files.configure("two.yaml", "pw");
        assert!(follower.files.moved() && follower.load().is_err());
        assert!(!follower.files.moved());
        files.write("two.yaml", POLICY);
        assert!(follower.files.moved() && follower.load().is_ok());
        files.write("one.yaml", "");
        assert!(!follower.files.moved(), "a file that is named no longer is followed no longer");
    }

    #[tokio::test]
    async fn an_unreadable_configuration_leaves_the_set_as_it_was() {
        let files = Files::new();
        let mut follower = files.follower();
        files.write("c.yaml", "version: [");
        assert!(follower.files.moved() && follower.load().is_err());
        files.write("one.yaml", &POLICY.replace("a.test", "b.test"));
        assert!(follower.files.moved());
    }
}
