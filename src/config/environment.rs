use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::model::Secret;

/// The environment variables that configuration is read from, as a value that tests replace.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_tuple("Environment").field(&self.0.len()).finish()
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// One made of pairs.
    pub fn of<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Names and values whose name starts with a prefix, the prefix cut off. A value that is not
    /// UTF-8 is `None`.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
        let named = self.0.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str())));
        named.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
    }

    /// The secret that a variable holds: its one line.
    ///
    /// # Errors
    /// It is not set, or holds anything but one line; what it holds is not told.
    pub fn secret(&self, name: &str) -> Result<Secret, String> {
        let value = self.0.get(OsStr::new(name)).ok_or_else(|| format!("the variable {name} is not set"))?;
        let line = Secret::new(value.as_bytes()).line();
        line.ok_or_else(|| format!("the variable {name} is empty, or holds more than one line"))
    }

    /// Those of some names that are set.
    pub fn only<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<(OsString, OsString)> {
        let pair = |name| self.0.get_key_value(OsStr::new(name));
        names.filter_map(pair).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The user's home, if the environment says so.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.folder("HOME")
    }

    /// `$XDG_CONFIG_HOME/nexus-sidecar`, by default below `~/.config`: where `nexus-sidecar.yaml`
    /// and `policy.yaml` are looked for. `None` without a home.
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.own("XDG_CONFIG_HOME", ".config")
    }

    /// `$XDG_DATA_HOME/nexus-sidecar`, by default below `~/.local/share`: the store, its key and
    /// the CA.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.own("XDG_DATA_HOME", ".local/share")
    }

    /// `$XDG_STATE_HOME/nexus-sidecar`, by default below `~/.local/state`: the audit and logs.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.own("XDG_STATE_HOME", ".local/state")
    }

    /// The configuration file of this user, if there is one.
    pub fn config_file(&self) -> Option<PathBuf> {
        Some(self.config_dir()?.join("nexus-sidecar.yaml")).filter(|file| file.exists())
    }

    /// The policy file of this user, if there is one.
    pub fn policy_file(&self) -> Option<PathBuf> {
        Some(self.config_dir()?.join("policy.yaml")).filter(|file| file.exists())
    }

    /// The API server of the cluster that this is a pod of.
    pub(super) fn kubernetes_url(&self) -> Option<String> {
        let text = |name: &str| self.0.get(&OsString::from(name))?.to_str().filter(|text| !text.is_empty());
        let (host, port) = (text("KUBERNETES_SERVICE_HOST")?, text("KUBERNETES_SERVICE_PORT").unwrap_or("443"));
        Some(if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
    }

    fn own(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let base = self.folder(variable).or_else(|| Some(self.home()?.join(below_home)))?;
        Some(base.join("nexus-sidecar"))
    }

    /// An absolute folder; a relative one is ignored, as the XDG specification has it.
    fn folder(&self, variable: &str) -> Option<PathBuf> {
        let folder = PathBuf::from(self.0.get(&OsString::from(variable))?);
        folder.is_absolute().then_some(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_by_the_xdg_specification() {
        let environment = Environment::of([("HOME", "/home/u"), ("XDG_DATA_HOME", "/data"), ("XDG_STATE_HOME", "x")]);
        assert_eq!(environment.config_dir(), Some("/home/u/.config/nexus-sidecar".into()));
        assert_eq!(environment.data_dir(), Some("/data/nexus-sidecar".into()));
        assert_eq!(environment.state_dir(), Some("/home/u/.local/state/nexus-sidecar".into()));
        assert_eq!(Environment::default().config_dir(), None);
    }
}
