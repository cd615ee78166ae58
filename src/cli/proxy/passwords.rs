//! The proxy passwords of `agents:`, each from a file of its own.

use crate::cli::failure::Failure;
use crate::config::{AgentConfig, secret_line};
use crate::model::Secret;

/// Reads every agent's password; fails on the first file that cannot be trusted.
pub(in crate::cli) fn read(agents: &[AgentConfig]) -> Result<Vec<(String, Secret)>, Failure> {
    agents
        .iter()
        .map(|agent| {
            let password = secret_line(&agent.proxy_password_file).map_err(|why| {
                let file = agent.proxy_password_file.display();
                Failure::usage(format!("cannot use the password of the agent {:?} in {file}: {why}", agent.name))
            })?;
            Ok((agent.name.clone(), password))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(text: &[u8], mode: u32) -> (tempfile::TempDir, Vec<AgentConfig>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        (folder, vec![AgentConfig { name: "bot".to_owned(), proxy_password_file: file }])
    }

    #[test]
    fn a_password_is_its_line_without_the_end() {
        for text in [&b"pw-1"[..], b"pw-1\n", b"pw-1\r\n"] {
            let (_folder, agents) = written(text, 0o600);
            let read = read(&agents).unwrap();
            assert_eq!((read[0].0.as_str(), read[0].1.expose()), ("bot", &b"pw-1"[..]));
        }
    }

    #[test]
    fn what_is_no_password_is_refused_by_name_and_without_its_content() {
        for text in [&b""[..], b"\n", b"pw-1\npw-2\n", b"\r\n", &[b'x'; 5000]] {
            let (_folder, agents) = written(text, 0o600);
            let failure = read(&agents).unwrap_err();
            assert!(failure.message().contains("bot") && !failure.message().contains("pw-"), "{failure:?}");
            assert_eq!(failure.code(), 2);
        }
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused() {
        for (mode, allowed) in
            [(0o600, true), (0o400, true), (0o440, true), (0o444, false), (0o620, false), (0o644, false)]
        {
            let (_folder, agents) = written(b"pw", mode);
            assert_eq!(read(&agents).is_ok(), allowed, "{mode:o}");
        }
    }

    #[test]
    fn a_folder_and_a_missing_file_are_refused() {
        for path in ["/", "/nowhere/at/all"] {
            let agents = [AgentConfig { name: "bot".to_owned(), proxy_password_file: path.into() }];
            assert!(read(&agents).is_err(), "{path}");
        }
    }
}
