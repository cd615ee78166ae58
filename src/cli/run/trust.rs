//! The files of one run: a private folder with the certificates that CMD is to trust. It is
//! removed when this value is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::failure::Failure;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The folder and what is in it.
pub(super) struct Trust {
    // Held for its Drop.
    _folder: TempDir,
    bundle: PathBuf,
    own: PathBuf,
}

impl Trust {
    /// Writes both files. `callers` are the files that the caller's own variables name, with the
    /// variable; `parent` is the user's runtime folder, if there is one.
    pub(super) fn write(
        parent: Option<&Path>,
        roots: &str,
        callers: &BTreeMap<PathBuf, &'static str>,
        own: &str,
    ) -> Result<Self, Failure> {
        let mut certificates = Certificates::default();
        certificates.add(roots);
        for (file, variable) in callers {
            let text = read(file).map_err(|error| {
                let file = file.display();
                Failure::usage(format!("cannot read the certificates of {file}, which {variable} names: {error}"))
            })?;
            certificates.add(&text);
        }
        certificates.add(own);
        let folder = folder(parent)
            .map_err(|error| Failure::failed(format!("cannot make a temporary folder for certificates: {error}")))?;
        let bundle = folder.path().join("ca-bundle.pem");
        let own_file = folder.path().join("ca.pem");
        for (file, text) in [(&bundle, certificates.text.as_str()), (&own_file, own)] {
            fs::write(file, text)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
        }
        Ok(Self { _folder: folder, bundle, own: own_file })
    }

    /// Everything that may be trusted, our CA included: for clients that replace their roots.
    pub(super) fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Our CA alone: for clients that extend their roots.
    pub(super) fn own(&self) -> &Path {
        &self.own
    }
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

    #[test]
    fn the_bundle_is_the_roots_the_callers_and_ours() {
        let home = tempfile::tempdir().unwrap();
        let mine = home.path().join("mine.pem");
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        fs::write(&mine, format!("# a comment\r\n{key}{}{}", pem("TUlORQ==").replace('\n', "\r\n"), pem("Uk9PVA==")))
            .unwrap();
        let callers = [(mine, "SSL_CERT_FILE")].into();
        let trust = Trust::write(Some(home.path()), &pem("Uk9PVA=="), &callers, &pem("T1VSUw==")).unwrap();
        assert_eq!(
            fs::read_to_string(trust.bundle()).unwrap(),
            [pem("Uk9PVA=="), pem("TUlORQ=="), pem("T1VSUw==")].concat()
        );
        assert_eq!(fs::read_to_string(trust.own()).unwrap(), pem("T1VSUw=="));
    }

    #[test]
    fn the_folder_is_private_and_goes_away() {
        let home = tempfile::tempdir().unwrap();
        let trust = Trust::write(Some(home.path()), "", &BTreeMap::new(), &pem("T1VSUw==")).unwrap();
        let folder = trust.own().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(trust);
        assert!(!folder.exists());
    }

    #[test]
    fn a_runtime_folder_that_does_not_exist_is_passed_over() {
        let trust = Trust::write(Some(Path::new("/nowhere/at/all")), "", &BTreeMap::new(), "").unwrap();
        assert!(trust.own().starts_with(std::env::temp_dir()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_variable() {
        let callers = [(PathBuf::from("/nowhere/x.pem"), "PIP_CERT")].into();
        let Err(failure) = Trust::write(None, "", &callers, "") else { panic!("a missing file was passed over") };
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
