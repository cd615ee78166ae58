use std::path::PathBuf;

/// Where the master key of the vault comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600, made on first use: 32 random bytes in base64, one line.
    File(PathBuf),
    /// An environment variable, read once: the same text.
    Env(String),
    /// An inherited file descriptor, read once and closed: the same text.
    Fd(i32),
    /// A passphrase, asked on the terminal.
    Passphrase,
    /// A command and its arguments, without a shell; its standard output is the same text.
    Command(Vec<String>),
}

impl KeySource {
    /// The environment variable that it is read from, if it is.
    pub fn variable(&self) -> Option<String> {
        match self {
            Self::Env(name) => Some(name.clone()),
            _ => None,
        }
    }
}
