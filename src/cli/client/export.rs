//! The files of a lasting CA, for everyone to read.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::trust::{Paths, Sources};
use crate::cli::failure::Failure;

/// Writes the files of a lasting CA into a folder, made where it is missing. They are for everyone
/// to read; each is replaced as a whole, so that no reader finds half of one.
pub(in crate::cli) fn export(folder: &Path, sources: &Sources<'_>) -> Result<(), Failure> {
    let failed = |action: &str, path: &Path, error: io::Error| {
        Failure::failed(format!("cannot {action} {}: {error}", path.display()))
    };
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, error))?;
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder, open).map_err(|error| failed("open to readers", folder, error))?;
    }
    for (path, bytes) in sources.files(&Paths::of(folder))? {
        replace(folder, path, &bytes).map_err(|error| failed("write", path, error))?;
    }
    Ok(())
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_exported_is_public_and_replaced_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/trust");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for own in [
            "-----BEGIN CERTIFICATE-----\nT05F\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nVFdP\n-----END CERTIFICATE-----\n",
        ] {
            export(&folder, &Sources { roots: "", callers: BTreeMap::new(), own, wgetrc: None }).unwrap();
            let paths = Paths::of(&folder);
            assert_eq!(fs::read_to_string(paths.own()).unwrap(), own);
            for file in [paths.own(), paths.bundle(), paths.java(), paths.wgetrc()] {
                assert_eq!(mode(file), 0o644, "{}", file.display());
            }
        }
        assert_eq!((mode(&folder), fs::read_dir(&folder).unwrap().count()), (0o755, 4));
    }
}
