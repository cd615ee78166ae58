//! The files of certificates that clients are to trust, in each form that one of them reads: those
//! of one run in a private folder that goes with it, and those of a lasting CA in a public one.
//!
//! Certificates alone are ever written, whatever else stands in the files that they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::java;
use crate::cli::failure::Failure;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Where the files are: the one place that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Paths {
    bundle: PathBuf,
    own: PathBuf,
    java: PathBuf,
    wgetrc: PathBuf,
}

impl Paths {
    /// Those in a folder, which need not be there.
    pub(in crate::cli) fn of(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name);
        Self { bundle: path("ca-bundle.pem"), own: path("ca.pem"), java: path("ca.jks"), wgetrc: path("wgetrc") }
    }

    /// Everything that may be trusted, our CA included: for clients that replace their roots.
    pub(in crate::cli) fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Our CA alone: for clients that extend their roots.
    pub(in crate::cli) fn own(&self) -> &Path {
        &self.own
    }

    /// The bundle as a JVM reads it.
    pub(in crate::cli) fn java(&self) -> &Path {
        &self.java
    }

    /// The caller's settings of wget, and the bundle.
    pub(in crate::cli) fn wgetrc(&self) -> &Path {
        &self.wgetrc
    }
}

/// What the files are made of.
pub(in crate::cli) struct Sources<'a> {
    /// The system's roots and the configured ones, as PEM.
    pub(in crate::cli) roots: &'a str,
    /// The files that the caller's own variables name, with the variable.
    pub(in crate::cli) callers: BTreeMap<PathBuf, &'static str>,
    /// Our CA, as PEM.
    pub(in crate::cli) own: &'a str,
    /// The caller's own `wgetrc`, if there is one.
    pub(in crate::cli) wgetrc: Option<PathBuf>,
}

impl Sources<'_> {
    /// Every file with its content.
    pub(super) fn files<'p>(&self, paths: &'p Paths) -> Result<[(&'p Path, Vec<u8>); 4], Failure> {
        let mut certificates = Certificates::default();
        certificates.add(self.roots);
        for (file, variable) in &self.callers {
            let text = read(file).map_err(|error| {
                let file = file.display();
                Failure::usage(format!("cannot read the certificates of {file}, which {variable} names: {error}"))
            })?;
            certificates.add(&text);
        }
        certificates.add(self.own);
        let ders: Vec<_> = CertificateDer::pem_slice_iter(certificates.text.as_bytes()).flatten().collect();
        let store = java::trust_store(ders.iter().map(AsRef::as_ref));
        let settings = wget_settings(self.wgetrc.as_deref(), &paths.bundle);
        Ok([
            (&*paths.bundle, certificates.text.into_bytes()),
            (&*paths.own, self.own.as_bytes().to_vec()),
            (&*paths.java, store),
            (&*paths.wgetrc, settings.into_bytes()),
        ])
    }
}

/// The files of one run: a private folder, removed when this value is dropped.
pub(in crate::cli) struct Trust {
    // Held for its Drop.
    _folder: TempDir,
    paths: Paths,
}

impl Trust {
    /// Writes the files into a new folder in `parent`, the user's runtime folder, if there is one.
    pub(in crate::cli) fn write(parent: Option<&Path>, sources: &Sources<'_>) -> Result<Self, Failure> {
        let folder = folder(parent)
            .map_err(|error| Failure::failed(format!("cannot make a temporary folder for certificates: {error}")))?;
        let paths = Paths::of(folder.path());
        for (file, bytes) in sources.files(&paths)? {
            fs::write(file, bytes)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
        }
        Ok(Self { _folder: folder, paths })
    }

    /// Where they are.
    pub(in crate::cli) fn paths(&self) -> &Paths {
        &self.paths
    }
}

/// A folder whose path stands as it is in settings of wget and in options of a JVM.
pub(in crate::cli) fn public_folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.chars().any(|char| char.is_control() || "'\"\\".contains(char)) {
        return Err("a path without quotes, backslashes and control characters is needed".to_owned());
    }
    std::path::absolute(text).map_err(|error| error.to_string())
}

/// Settings of wget that say how it gets out; they would stand before the variables.
const WAYS_OUT: [&str; 8] =
    ["ftpproxy", "httpproxy", "httpsproxy", "noproxy", "proxypasswd", "proxypassword", "proxyuser", "useproxy"];

/// wget reads no variable that names certificates, but one that names its settings: the caller's,
/// but for those of a proxy, and the bundle.
fn wget_settings(callers: Option<&Path>, bundle: &Path) -> String {
    // Settings that cannot be read are none, as they are for wget itself.
    let callers = callers.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let mut text = String::new();
    for line in callers.lines() {
        // Case, dashes and underscores do not count in a name.
        let name = line.split('=').next().unwrap_or_default();
        let name: String = name.chars().filter(|char| char.is_alphanumeric()).collect();
        if !WAYS_OUT.contains(&name.to_ascii_lowercase().as_str()) {
            text.extend([line, "\n"]);
        }
    }
    let _ = writeln!(text, "ca_certificate = {}", bundle.display());
    text
}

/// A folder that no one else can enter; a runtime folder that cannot be written is passed over.
fn folder(parent: Option<&Path>) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("nexus-sidecar-").permissions(fs::Permissions::from_mode(0o700));
    match parent.map(|parent| builder.tempdir_in(parent)) {
        Some(Ok(folder)) => Ok(folder),
        _ => builder.tempdir(),
    }
}

/// The text of a file, or of every file of a folder, as some clients allow in their variables.
fn read(path: &Path) -> io::Result<String> {
    if !path.is_dir() {
        return Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned());
    }
    let mut text = String::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.is_file() {
            text.push_str(&String::from_utf8_lossy(&fs::read(file)?));
            text.push('\n');
        }
    }
    Ok(text)
}

/// Certificates as PEM, each once. Whatever else a file holds, a private key above all, stays
/// behind.
#[derive(Default)]
struct Certificates {
    text: String,
    seen: BTreeSet<String>,
}

impl Certificates {
    fn add(&mut self, pem: &str) {
        let mut rest = pem;
        while let Some(start) = rest.find(BEGIN) {
            rest = &rest[start + BEGIN.len()..];
            let Some(end) = rest.find(END) else { break };
            let body: String = rest[..end].split_whitespace().flat_map(|line| [line, "\n"]).collect();
            if self.seen.insert(body.replace('\n', "")) {
                self.text.extend([BEGIN, "\n", &body, END, "\n"]);
            }
            rest = &rest[end + END.len()..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    fn written(parent: Option<&Path>, roots: &str, callers: BTreeMap<PathBuf, &'static str>) -> Result<Trust, Failure> {
        Trust::write(parent, &Sources { roots, callers, own: &pem("T1VSUw=="), wgetrc: None })
    }

    #[test]
    fn the_callers_settings_of_wget_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let mine = home.path().join(".wgetrc");
        fs::write(&mine, "timeout = 3\nHTTPS-Proxy=http://corp:1\n use_proxy = on\nuser_agent = proxy").unwrap();
        let bundle = Path::new("/b.pem");
        assert_eq!(wget_settings(Some(&mine), bundle), "timeout = 3\nuser_agent = proxy\nca_certificate = /b.pem\n");
        assert_eq!(wget_settings(Some(Path::new("/nowhere")), bundle), "ca_certificate = /b.pem\n");
    }

    #[test]
    fn the_bundle_is_the_roots_the_callers_and_ours() {
        let home = tempfile::tempdir().unwrap();
        let mine = home.path().join("mine.pem");
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        fs::write(&mine, format!("# a comment\r\n{key}{}{}", pem("TUlORQ==").replace('\n', "\r\n"), pem("Uk9PVA==")))
            .unwrap();
        let callers = [(mine, "SSL_CERT_FILE")].into();
        let trust = written(Some(home.path()), &pem("Uk9PVA=="), callers).unwrap();
        assert_eq!(
            fs::read_to_string(trust.paths().bundle()).unwrap(),
            [pem("Uk9PVA=="), pem("TUlORQ=="), pem("T1VSUw==")].concat()
        );
        assert_eq!(fs::read_to_string(trust.paths().own()).unwrap(), pem("T1VSUw=="));
    }

    #[test]
    fn the_folder_is_private_and_goes_away() {
        let home = tempfile::tempdir().unwrap();
        let trust = written(Some(home.path()), "", BTreeMap::new()).unwrap();
        let folder = trust.paths().own().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(trust);
        assert!(!folder.exists());
    }

    #[test]
    fn a_public_folder_has_a_path_that_needs_no_quotes() {
        assert_eq!(public_folder("/a b/c").unwrap(), Path::new("/a b/c"));
        assert!(public_folder("trust").unwrap().is_absolute());
        for path in ["", "/a'b", "/a\"b", "/a\nb", "/a\\b"] {
            assert!(public_folder(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_runtime_folder_that_does_not_exist_is_passed_over() {
        let trust = written(Some(Path::new("/nowhere/at/all")), "", BTreeMap::new()).unwrap();
        assert!(trust.paths().own().starts_with(std::env::temp_dir()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_variable() {
        let callers = [(PathBuf::from("/nowhere/x.pem"), "PIP_CERT")].into();
        let Err(failure) = written(None, "", callers) else { panic!("a missing file was passed over") };
        assert!(failure.message().contains("/nowhere/x.pem") && failure.message().contains("PIP_CERT"));
    }

    #[test]
    fn a_folder_gives_the_certificates_of_its_files() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("a.0"), pem("QQ==").trim_end()).unwrap();
        fs::write(home.path().join("b.0"), pem("Qg==")).unwrap();
        let text = read(home.path()).unwrap();
        let mut found = Certificates::default();
        found.add(&text);
        assert_eq!(found.seen.len(), 2);
    }
}
