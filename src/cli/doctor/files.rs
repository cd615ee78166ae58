//! Files and folders: are they there, whose are they, and who else may use them?

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::report::Finding;
use crate::app::KeptPolicy;
use crate::config::{Config, KeySource, SourceConfig, SourceKind};

/// What a path has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A file that its owner alone may use.
    Secret,
    /// A folder that its owner alone may enter.
    Private,
    /// A file that others may read, and must not change.
    Guarded,
}

/// Who asks: files of others are told from our own.
#[derive(Clone, Copy)]
pub(super) struct User(pub(super) u32);

impl User {
    /// Whoever runs this process.
    pub(super) fn of_process() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }
}

/// Looks at every file of a configuration, and at these files of policy.
pub(super) fn look(config: &Config, policies: &[PathBuf], user: User) -> Vec<Finding> {
    let mut found = Vec::new();
    match &config.file {
        Some(file) => found.push(named("configuration", file, Wanted::Guarded, user)),
        None => {
            found.push(Finding::skip("configuration", "there is none: the defaults hold, which is enough for `run`"))
        }
    }
    found.extend(policies.iter().map(|policy| named("policy file", policy, Wanted::Guarded, user)));
    let store = &config.authority.data_dir;
    let mut made = vec![("store folder", store.clone(), Wanted::Private)];
    match &config.remote {
        _ if config.is_embedded() => made.push(("store file", store.join("store.db"), Wanted::Secret)),
        Some(remote) if config.policy_of_authority => {
            made.push(("kept policy", KeptPolicy::of(config, remote).path().to_owned(), Wanted::Secret));
        }
        _ => {}
    }
    if let KeySource::File(key) = &config.authority.key {
        made.push(("key file", key.clone(), Wanted::Secret));
    }
    for other in &config.authority.other_keys {
        if let KeySource::File(key) = other {
            found.push(named("other key", key, Wanted::Secret, user));
        }
    }
    made.push(("audit folder", config.audit.dir.clone(), Wanted::Private));
    made.push(("audit key", config.audit.key_file.clone(), Wanted::Secret));
    made.push(("CA folder", config.ca_dir.clone(), Wanted::Private));
    let (there, absent): (Vec<_>, Vec<_>) = made.into_iter().partition(|(_, path, _)| is_there(path));
    found.extend(there.iter().map(|(of, path, wanted)| named(of, path, *wanted, user)));
    if !absent.is_empty() {
        let names: Vec<&str> = absent.iter().map(|(of, ..)| *of).collect();
        found.push(Finding::skip("files", format!("made when they are needed: {}", names.join(", "))));
    }
    for agent in &config.agents {
        found.push(named(&format!("password of {}", agent.name), &agent.proxy_password_file, Wanted::Secret, user));
    }
    found.extend(config.sources.iter().flat_map(|source| of_source(source, user)));
    found.extend(config.upstream.ca_files.iter().map(|file| named("trusted CA", file, Wanted::Guarded, user)));
    found
}

/// What a service is shown, and what it is known by.
fn of_source(source: &SourceConfig, user: User) -> Vec<Finding> {
    let (auth, ca_file) = match &source.kind {
        SourceKind::Nexus(remote) => (&remote.auth, &remote.ca_file),
        SourceKind::Gateway(gateway) => (&gateway.auth, &gateway.ca_file),
        _ => return Vec::new(),
    };
    let of = |what: &str| format!("{what} of {}", source.name);
    let mut found = Vec::new();
    found.extend(auth.key_file.iter().map(|file| named(&of("key"), file, Wanted::Secret, user)));
    if let Some(client) = &auth.client {
        found.push(named(&of("certificate"), &client.cert_file, Wanted::Guarded, user));
        found.push(named(&of("certificate key"), &client.key_file, Wanted::Secret, user));
    }
    found.extend(ca_file.iter().map(|file| named("trusted CA", file, Wanted::Guarded, user)));
    found
}

/// A file that its owner alone may use, for who looks at nothing else.
#[cfg(feature = "authority")]
pub(super) fn secret(of: &str, path: &Path) -> Finding {
    named(of, path, Wanted::Secret, User::of_process())
}

fn is_there(path: &Path) -> bool {
    !matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// A file that somebody named, so that it should be there.
fn named(of: &str, path: &Path, wanted: Wanted, user: User) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(about) => judge(of, path, &about, wanted, user),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::fail(of, format!("{shown} is not there"))
            .then("write it, or take its name out of the configuration"),
        Err(error) => Finding::fail(of, format!("cannot look at {shown}: {error}"))
            .then(format!("as its owner, give this user the way to it: ls -ld {shown}")),
    }
}

fn judge(of: &str, path: &Path, about: &Metadata, wanted: Wanted, user: User) -> Finding {
    let (shown, mode, owner) = (path.display(), about.permissions().mode() & 0o7777, about.uid());
    let folder = wanted == Wanted::Private;
    if about.is_dir() != folder {
        let (is, should) = if folder { ("no folder", "a folder") } else { ("a folder", "a file") };
        return Finding::fail(of, format!("{shown} is {is}")).then(format!("move it away; this must be {should}"));
    }
    // Root may change everything anyway.
    if owner != user.0 && owner != 0 {
        return Finding::fail(of, format!("{shown} belongs to the user {owner}, who may change it"))
            .then(format!("chown {} {shown}, or run as its owner", user.0));
    }
    let (extra, right) = match wanted {
        Wanted::Secret => (mode & 0o077, 0o600),
        Wanted::Private => (mode & 0o077, 0o700),
        Wanted::Guarded => (mode & 0o022, mode & 0o755),
    };
    if extra != 0 {
        let said = format!("{shown} has mode {mode:03o}: others than its owner may {}", what(extra));
        let next = format!("chmod {right:03o} {shown}");
        // A folder that others may look into holds files that are closed by themselves.
        let harmless = wanted == Wanted::Private && extra & 0o022 == 0;
        return if harmless { Finding::warn(of, said) } else { Finding::fail(of, said) }.then(next);
    }
    if let Some(open) = path.parent().filter(|parent| others_may_replace_in(parent)) {
        return Finding::warn(of, format!("{shown} lies in {}, where others may exchange it", open.display()))
            .then(format!("chmod go-w {}, or keep it elsewhere", open.display()));
    }
    Finding::ok(of, format!("{shown}, mode {mode:03o}"))
}

/// Without the sticky bit, whoever may write a folder may replace what lies in it.
fn others_may_replace_in(folder: &Path) -> bool {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::metadata(folder).is_ok_and(|about| {
        let mode = about.permissions().mode();
        mode & 0o022 != 0 && mode & 0o1000 == 0
    })
}

fn what(bits: u32) -> &'static str {
    match (bits & 0o044 != 0, bits & 0o022 != 0) {
        (true, true) => "read and change it",
        (false, true) => "change it",
        (true, false) => "read it",
        (false, false) => "enter it",
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    fn with_mode(mode: u32, wanted: Wanted) -> Finding {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        if wanted == Wanted::Private {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, "").unwrap()
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        named("x", &path, wanted, User::of_process())
    }

    #[test]
    fn modes() {
        for (mode, wanted, level, next) in [
            (0o600, Wanted::Secret, Level::Ok, ""),
            (0o400, Wanted::Secret, Level::Ok, ""),
            (0o640, Wanted::Secret, Level::Fail, "chmod 600"),
            (0o606, Wanted::Secret, Level::Fail, "chmod 600"),
            (0o700, Wanted::Private, Level::Ok, ""),
            (0o755, Wanted::Private, Level::Warn, "chmod 700"),
            (0o770, Wanted::Private, Level::Fail, "chmod 700"),
            (0o644, Wanted::Guarded, Level::Ok, ""),
            (0o664, Wanted::Guarded, Level::Fail, "chmod 644"),
        ] {
            let found = with_mode(mode, wanted);
            assert_eq!(found.level, level, "{mode:o}: {found:?}");
            assert!(found.next.unwrap_or_default().starts_with(next), "{mode:o}");
        }
    }

    #[test]
    fn another_owner_and_an_absent_file() {
        let home = tempfile::tempdir().unwrap();
        let about = fs::metadata(home.path()).unwrap();
        let stranger = User(about.uid() + 1);
        let judged = judge("x", home.path(), &about, Wanted::Private, stranger);
        // Root's own are everybody's.
        assert_eq!(judged.level == Level::Fail, about.uid() != 0, "{judged:?}");
        let absent = home.path().join("no");
        assert!(!is_there(&absent) && is_there(home.path()));
        assert_eq!(named("x", &absent, Wanted::Secret, stranger).level, Level::Fail);
    }

    #[test]
    fn a_folder_that_all_may_write_makes_its_files_anybodys() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("policy.yaml");
        fs::write(&file, "").unwrap();
        let level = |mode| {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
            named("x", &file, Wanted::Guarded, User::of_process()).level
        };
        assert_eq!((level(0o777), level(0o1777), level(0o755)), (Level::Warn, Level::Ok, Level::Ok));
    }
}
