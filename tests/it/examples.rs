//! The examples run, as they stand.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

#[test]
fn reading_from_github_needs_no_token_in_the_command() {
    let home = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/read-github.sh");
    let output = Command::new(script)
        .args(["sh", "-c", "env; exit 7"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("SIDECAR", env!("CARGO_BIN_EXE_nexus-sidecar"))
        .env("GH_TOKEN", "ghp_canary-of-the-example")
        .output()
        .unwrap();
    let (said, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(7), "{complaints}");
    assert!(
        said.contains("https_proxy=http://") && complaints.contains("ok: no line was edited"),
        "{said}{complaints}"
    );
    assert!(!said.contains("ghp_canary") && !complaints.contains("ghp_canary"), "{said}{complaints}");
    assert_eq!(
        std::fs::read_dir(home.path())
            .unwrap()
            .filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("tmp.")))
            .count(),
        0
    );
}
