//! The examples run, as they stand.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::left_out;

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

#[test]
fn a_command_that_asks_for_its_machines_role_gets_placeholders() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let tools = home.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    // Stands in for the AWS CLI; nobody asks it, since nothing is sent to AWS here.
    std::fs::write(tools.join("aws"), "#!/bin/sh\necho '{\"AccessKeyId\": \"canary\"}'\n").unwrap();
    std::fs::set_permissions(tools.join("aws"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let ask = r#"
        at=http://169.254.169.254/latest
        token=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token)
        curl -sS -H "X-aws-ec2-metadata-token: $token" $at/meta-data/iam/security-credentials/nexus-sidecar
        echo "env=[$AWS_ACCESS_KEY_ID]""#;
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/machine-role.sh"))
        .args(["sh", "-c", ask])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("SIDECAR", env!("CARGO_BIN_EXE_nexus-sidecar"))
        .output()
        .unwrap();
    let (said, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && complaints.contains("ok: no line was edited"), "{said}{complaints}");
    assert!(said.contains("\"AccessKeyId\":\"ASIANEXUSPLACEHOLDER\"") && said.contains("env=[]"), "{said}{complaints}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn what_compose_mounts_is_a_configuration_and_a_policy_that_hold() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/compose");
    let folder = TempDir::new().unwrap();
    for file in ["nexus-sidecar.yaml", "policy.yaml"] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    let password = folder.path().join("agent.password");
    std::fs::write(&password, "a-password").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tested = sidecar(folder.path(), &["policy", "test", "policy.yaml"]);
    assert!(tested.status.success(), "{tested:?}");
    let arguments = ["env", "--format", "dotenv", "--proxy", "http://sidecar:14101", "--ca-dir", "/trust", "--config"];
    let given = sidecar(folder.path(), &[&arguments[..], &["nexus-sidecar.yaml"]].concat());
    let text = String::from_utf8(given.stdout.clone()).unwrap();
    assert!(text.contains("\nHTTPS_PROXY=http://agent:a-password@sidecar:14101\n"), "{given:?}");
    assert!(text.contains("\nSSL_CERT_FILE=/trust/ca-bundle.pem\n"), "{given:?}");
}

#[test]
fn the_command_of_the_ci_example_takes_the_token_from_the_command() {
    let workflow = include_str!("../../examples/ci/github-actions.yaml");
    let line = workflow.lines().find_map(|line| line.trim().strip_prefix("nexus-sidecar run ")).unwrap();
    let mut arguments: Vec<&str> = line.strip_suffix(" -- \\").unwrap().split(' ').collect();
    arguments.insert(0, "run");
    arguments.extend(["--", "sh", "-c", "env; exit 7"]);
    let home = TempDir::new().unwrap();
    let ran = sidecar(home.path(), &arguments);
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    assert_eq!(ran.status.code(), Some(7), "{ran:?}");
    assert!(text.contains("GH_TOKEN=") && !text.contains("canary"), "{ran:?}");
}

/// Runs the sidecar in a folder that is its home, with a token in PAT.
fn sidecar(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-sidecar"));
    command.args(arguments).current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder).env("PAT", "ghp_canary-of-the-job");
    command.output().unwrap()
}
