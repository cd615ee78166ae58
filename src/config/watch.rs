use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that are reloaded as one set, and how they looked when last asked.
///
/// A file is told by modification time, size, inode and device, behind links: Kubernetes swaps
/// the link of a mounted volume, editors write a new file over the old one's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSet {
    files: Vec<(PathBuf, Option<Look>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    size: u64,
    inode: (u64, u64),
}

impl FileSet {
    /// Looks at some files for the first time. One that is missing may come.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let look_at = |file: PathBuf| {
            let look = look(&file);
            (file, look)
        };
        Self { files: files.into_iter().map(look_at).collect() }
    }

    /// Looks again, and tells whether one of them moved since the last look.
    pub fn moved(&mut self) -> bool {
        let mut moved = false;
        for (file, last) in &mut self.files {
            let now = look(file);
            moved |= now != *last;
            *last = now;
        }
        moved
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(file, _)| file.as_path())
    }
}

fn look(file: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let inode = (std::os::unix::fs::MetadataExt::dev(&metadata), std::os::unix::fs::MetadataExt::ino(&metadata));
    #[cfg(not(unix))]
    let inode = (0, 0);
    Some(Look { modified: metadata.modified().ok(), size: metadata.len(), inode })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_way_to_change_a_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("policy.yaml"), folder.path().join("other"));
        let mut set = FileSet::new([file.clone()]);
        assert!(!set.moved());
        fs::write(&file, "a").unwrap();
        assert!(set.moved() && !set.moved());
        fs::write(&file, "ab").unwrap();
        assert!(set.moved() && !set.moved());
        fs::write(&other, "cd").unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(set.moved() && !set.moved());
        fs::remove_file(&file).unwrap();
        assert!(set.moved() && !set.moved());
    }

    #[cfg(unix)]
    #[test]
    fn a_swapped_link_is_a_move() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one"), "x").unwrap();
        fs::write(at("two"), "x").unwrap();
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        let mut set = FileSet::new([at("link")]);
        std::os::unix::fs::symlink(at("two"), at("new")).unwrap();
        fs::rename(at("new"), at("link")).unwrap();
        assert!(set.moved() && !set.moved());
    }
}
