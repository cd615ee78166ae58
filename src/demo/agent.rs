//! The agent as a child process: a shell script with curl and an environment without a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::DemoError;

/// The script, compiled in. It is the whole of the agent.
const SCRIPT: &str = include_str!("agent.sh");

/// No demonstration takes this long, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the shell answers for a command that it cannot find (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;

/// One thing that the agent said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// It sent a request and got an answer.
    Call(Sent<'a>),
    /// The object that it fetched is the one that it stored.
    SameObject,
    /// A variable of its environment: looked through, never shown.
    Variable,
    /// An answer: looked through, never shown.
    Answer,
}

/// A request as the agent tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent<'a> {
    pub(super) name: &'a str,
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) status: u16,
    pub(super) refusal: Option<&'a str>,
}

/// A running agent.
pub(super) struct Agent {
    child: Child,
}

impl Agent {
    /// Starts the script in a folder of its own, with this environment and nothing else.
    pub(super) fn start(environment: &BTreeMap<OsString, OsString>, folder: &Path) -> Result<Self, DemoError> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).env_clear().envs(environment).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(Self { child: command.spawn().map_err(DemoError::Agent)? })
    }

    /// The process id, by which the sidecar recognises its connections.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Hands over what the agent says, line by line, until it ends. Answers everything that it
    /// wrote, on both streams.
    pub(super) async fn listen(self, heard: impl FnMut(Said<'_>)) -> Result<Vec<u8>, DemoError> {
        tokio::time::timeout(PATIENCE, self.listen_to_the_end(heard)).await.map_err(|_| DemoError::Hung)?
    }

    async fn listen_to_the_end(mut self, mut heard: impl FnMut(Said<'_>)) -> Result<Vec<u8>, DemoError> {
        let (Some(output), Some(mut errors)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return Err(DemoError::Agent(std::io::ErrorKind::BrokenPipe.into()));
        };
        let complaints = tokio::spawn(async move {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).await.map(|_| text)
        });
        let mut output = BufReader::new(output);
        let (mut written, mut line) = (Vec::new(), Vec::new());
        while output.read_until(b'\n', &mut line).await.map_err(DemoError::Agent)? > 0 {
            if let Some(said) = std::str::from_utf8(&line).ok().and_then(|line| read(line.trim_end_matches('\n'))) {
                heard(said);
            }
            written.append(&mut line);
        }
        let status = self.child.wait().await.map_err(DemoError::Agent)?;
        let complaints = complaints.await.map_err(|_| DemoError::Hung)?.map_err(DemoError::Agent)?;
        match status.code() {
            Some(0) => Ok([written, complaints].concat()),
            Some(NOT_FOUND) => Err(DemoError::NoCurl),
            _ => Err(DemoError::Broke(String::from_utf8_lossy(&complaints).trim().to_owned())),
        }
    }
}

fn read(line: &str) -> Option<Said<'_>> {
    let (kind, rest) = line.split_once('\t')?;
    match kind {
        "call" => {
            let mut fields = rest.split('\t');
            let (name, method, url) = (fields.next()?, fields.next()?, fields.next()?);
            let status = fields.next()?.parse().ok()?;
            let refusal = fields.next().filter(|code| !code.is_empty());
            Some(Said::Call(Sent { name, method, url, status, refusal }))
        }
        "same" => Some(Said::SameObject),
        "answer" => Some(Said::Answer),
        "env" => Some(Said::Variable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_or_passed_over() {
        let call = |status, refusal| {
            Some(Said::Call(Sent { name: "n", method: "GET", url: "https://a.test:1/b", status, refusal }))
        };
        assert_eq!(read("call\tn\tGET\thttps://a.test:1/b\t200\t"), call(200, None));
        assert_eq!(read("call\tn\tGET\thttps://a.test:1/b\t403\tPOLICY_DENIED"), call(403, Some("POLICY_DENIED")));
        assert_eq!(read("same\treport"), Some(Said::SameObject));
        assert_eq!(read("env\tcall\tn"), Some(Said::Variable));
        for noise in ["", "call", "call\tn\tGET", "call\tn\tGET\tu\tno\t", "other\tx"] {
            assert_eq!(read(noise), None, "{noise:?}");
        }
    }

    #[tokio::test]
    async fn a_missing_curl_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([("PATH".into(), folder.path().into())]);
        let agent = Agent::start(&environment, folder.path()).unwrap();
        let error = agent.listen(|_| ()).await.unwrap_err();
        assert!(error.to_string().contains("curl"), "{error}");
    }
}
