//! `authority.store`: a file of this machine, or a PostgreSQL database that replicas share.

use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::reader::Reader;
use crate::config::secret_line;
use crate::config::yaml::{Content, Fields, Node};
use crate::model::{Host, Secret};

/// Where the Authority keeps its rows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum StoreConfig {
    /// `store.db` in the data folder.
    #[default]
    Sqlite,
    /// A database that replicas share.
    Postgres(Box<PostgresConfig>),
}

/// `authority.store.postgres`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Where it listens.
    pub place: PostgresPlace,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Where the role's password comes from, if it has one.
    pub password: Option<PasswordSource>,
    /// TLS, its certificate verified. Off by default for this machine alone.
    pub tls: bool,
    /// A PEM file whose certificates are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections at once, for transactions; one more follows what others commit.
    pub connections: usize,
}

/// Where a PostgreSQL server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresPlace {
    /// A socket in this folder, by the number of its port.
    Socket(PathBuf, u16),
    /// A host.
    Host(Host, u16),
}

impl PostgresPlace {
    /// Tells whether what is said to it stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(..) => true,
            Self::Host(Host::Ip(ip), _) => ip.to_canonical().is_loopback(),
            Self::Host(Host::Name(name), _) => &**name == "localhost",
        }
    }
}

impl fmt::Display for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(folder, port) => write!(f, "{}:{port}", folder.display()),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Where a password comes from. It is read for every connection, so that a new one is taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// A file of one line.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl PasswordSource {
    /// Reads it. What is wrong is told without a byte of it.
    ///
    /// # Errors
    /// A file that cannot be read, a variable that is not set, and either without exactly one line.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::File(path) => secret_line(path).map_err(|why| format!("cannot read {}: {why}", path.display())),
            Self::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| format!("the variable {name} is not set"))?;
                let line = Secret::new(value.into_vec()).line();
                line.ok_or_else(|| format!("the variable {name} holds no password of one line"))
            }
        }
    }

    /// The environment variable that it is read from, if it is.
    pub fn variable(&self) -> Option<String> {
        match self {
            Self::Env(name) => Some(name.clone()),
            Self::File(_) => None,
        }
    }
}

impl StoreConfig {
    /// The environment variable that holds a password of it, if one does.
    pub fn variable(&self) -> Option<String> {
        match self {
            Self::Postgres(postgres) => postgres.password.as_ref().and_then(PasswordSource::variable),
            Self::Sqlite => None,
        }
    }
}

/// Reads `authority.store`.
pub(super) fn store(node: &Node, reader: &mut Reader<'_>) -> Option<StoreConfig> {
    if matches!(node.content, Content::Text(_)) {
        let sqlite = node.text(reader.findings).is_some_and(|word| word == "sqlite");
        if !sqlite {
            reader.findings.with(node, "`store` is sqlite, or `postgres:` with its host, database and user below it");
        }
        return sqlite.then_some(StoreConfig::Sqlite);
    }
    let mut fields = Fields::open(node, reader.findings)?;
    let found = match fields.get("postgres") {
        Some(node) => postgres(node, reader),
        None => reader.missing(node, "postgres"),
    };
    fields.finish(&[], reader.findings);
    found.map(|found| StoreConfig::Postgres(Box::new(found)))
}

fn postgres(node: &Node, reader: &mut Reader<'_>) -> Option<PostgresConfig> {
    let mut fields = Fields::open(node, reader.findings)?;
    let place = match fields.get("host") {
        Some(node) => place(node, reader),
        None => reader.missing(node, "host"),
    };
    let mut name = |key: &'static str, reader: &mut Reader<'_>| match fields.get(key) {
        Some(node) => named(node, reader),
        None => reader.missing(node, key),
    };
    let (database, user) = (name("database", reader), name("user", reader));
    let password = fields.get("password").map(|node| password(node, reader));
    let tls_node = fields.get("tls");
    let tls = tls_node.and_then(|node| reader.word(node, &["require", "off"])).map(|word| word == "require");
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    let mut connections = 8;
    reader.count(fields.get("connections"), 1000, &mut connections);
    fields.finish(&[], reader.findings);
    let (place, database, user) = (place?, database?, user?);
    let tls = tls.unwrap_or(!place.is_local());
    if let (true, PostgresPlace::Socket(..), Some(node)) = (tls, &place, tls_node) {
        reader.findings.with(node, "PostgreSQL speaks no TLS on a socket of this machine");
    }
    let password = match password {
        Some(None) => return None,
        password => password.flatten(),
    };
    Some(PostgresConfig { place, database, user, password, tls, ca_file, connections })
}

/// A role or a database: what a message to the server can hold.
fn named(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    if text.is_empty() || text.contains('\0') || text.len() > 63 {
        reader.findings.with(node, "a name has 1 to 63 bytes, and no NUL among them");
        return None;
    }
    Some(text.to_owned())
}

fn place(node: &Node, reader: &mut Reader<'_>) -> Option<PostgresPlace> {
    const PORT: u16 = 5432;
    const SUCH: &str =
        "such as db.example.com, 10.0.0.7:5433, [2001:db8::7]:5432 or the folder of a socket, /run/postgresql";
    let text = node.text(reader.findings)?;
    if text.starts_with('/') {
        return Some(match text.rsplit_once(':').map(|(folder, port)| (folder, port.parse())) {
            Some((folder, Ok(port))) => PostgresPlace::Socket(folder.into(), port),
            _ => PostgresPlace::Socket(text.into(), PORT),
        });
    }
    let bracketed = text.ends_with(']');
    let (host, port) = match text.rsplit_once(':').filter(|_| !bracketed) {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
        None => (text, Some(PORT)),
    };
    match (Host::parse(host), port) {
        (Ok(host), Some(port)) => Some(PostgresPlace::Host(host, port)),
        _ => {
            reader.findings.with(node, format!("{text:?} is no place of a server, {SUCH}"));
            None
        }
    }
}

fn password(node: &Node, reader: &mut Reader<'_>) -> Option<PasswordSource> {
    if matches!(node.content, Content::Text(_) | Content::Number(_)) {
        reader.findings.with(node, "no password stands in this file: name its source, as {file: PATH} or {env: NAME}");
        return None;
    }
    let mut fields = Fields::open(node, reader.findings)?;
    let file = fields.get("file").map(|node| reader.path(node).map(PasswordSource::File));
    let env = fields.get("env").map(|node| node.text(reader.findings).map(|name| PasswordSource::Env(name.to_owned())));
    fields.finish(&[], reader.findings);
    match (file, env) {
        (Some(source), None) | (None, Some(source)) => source,
        _ => {
            reader.findings.with(node, "the password comes from exactly one of file and env");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Config, Environment};

    fn load(store: &str, variables: &[(&str, &str)]) -> Result<StoreConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        fs::write(&path, format!("version: 1\nauthority:\n  store: {store}\n")).unwrap();
        let variables = [("HOME", "/home/u")].iter().chain(variables).copied();
        let config = Config::load(&path, &Environment::of(variables)).map_err(|problems| problems.to_string())?;
        Ok(config.authority.store)
    }

    fn postgres(rest: &str) -> Result<PostgresConfig, String> {
        match load(&format!("{{ postgres: {{ database: nexus, user: sidecar, {rest} }} }}"), &[])? {
            StoreConfig::Postgres(config) => Ok(*config),
            StoreConfig::Sqlite => Err("sqlite".to_owned()),
        }
    }

    #[test]
    fn a_database_is_at_a_host_or_a_socket_and_tls_is_left_out_on_this_machine_alone() {
        for (host, place, tls) in [
            ("db.example.com", "db.example.com:5432", true),
            ("DB.example.com:5433", "db.example.com:5433", true),
            ("10.0.0.7", "10.0.0.7:5432", true),
            ("'[2001:db8::7]:5433'", "[2001:db8::7]:5433", true),
            ("'[::1]'", "[::1]:5432", false),
            ("127.0.0.1:5433", "127.0.0.1:5433", false),
            ("localhost", "localhost:5432", false),
            ("/run/postgresql", "/run/postgresql:5432", false),
            ("/run/postgresql:5433", "/run/postgresql:5433", false),
        ] {
            let config = postgres(&format!("host: {host}")).unwrap();
            assert_eq!((config.place.to_string().as_str(), config.tls), (place, tls));
            assert_eq!((config.connections, config.password, config.ca_file), (8, None, None));
        }
        assert!(!postgres("host: db.example.com, tls: off").unwrap().tls);
        assert!(postgres("host: localhost, tls: require").unwrap().tls);
        let all = "host: h, password: { file: ~/p }, ca_file: /ca.pem, connections: 20";
        let config = postgres(all).unwrap();
        assert_eq!(config.password, Some(PasswordSource::File("/home/u/p".into())));
        assert_eq!((config.ca_file, config.connections), (Some("/ca.pem".into()), 20));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (rest, want) in [
            ("tls: off", "`host` is missing"),
            ("host: 'a b'", "\"a b\" is no place of a server"),
            ("host: 'h:0'", "\"h:0\" is no place of a server"),
            ("host: h, tls: maybe", "this is require or off"),
            ("host: /run, tls: require", "no TLS on a socket"),
            ("host: h, password: hunter2", "no password stands in this file"),
            ("host: h, password: 12345", "no password stands in this file"),
            ("host: h, password: { file: /p, env: P }", "exactly one of file and env"),
            ("host: h, password: {}", "exactly one of file and env"),
            ("host: h, connections: 0", "1 to 1000"),
            ("host: h, sslmode: require", "unknown key `sslmode`"),
        ] {
            let said = postgres(rest).unwrap_err();
            assert!(said.contains(want) && !said.contains("hunter2") && !said.contains("12345"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        assert!(load("mysql", &[]).unwrap_err().contains("`store` is sqlite, or `postgres:`"));
        assert_eq!(load("sqlite", &[]).unwrap(), StoreConfig::Sqlite);
    }

    #[test]
    fn variables_say_it_too() {
        let variables = [
            ("NEXUS_SIDECAR__AUTHORITY__STORE__POSTGRES__HOST", "db.example.com"),
            ("NEXUS_SIDECAR__AUTHORITY__STORE__POSTGRES__DATABASE", "nexus"),
            ("NEXUS_SIDECAR__AUTHORITY__STORE__POSTGRES__USER", "sidecar"),
            ("NEXUS_SIDECAR__AUTHORITY__STORE__POSTGRES__PASSWORD__ENV", "DB_PASSWORD"),
            ("NEXUS_SIDECAR__AUTHORITY__STORE__POSTGRES__CONNECTIONS", "3"),
        ];
        let store = load("{}", &variables).unwrap();
        assert_eq!(store.variable().as_deref(), Some("DB_PASSWORD"));
        let StoreConfig::Postgres(config) = store else { panic!("{store:?}") };
        assert_eq!((config.database.as_str(), config.user.as_str(), config.connections), ("nexus", "sidecar", 3));
    }

    #[test]
    fn a_password_is_one_line_and_never_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let source = PasswordSource::File(path.clone());
        assert!(source.read().unwrap_err().contains("cannot read"));
        fs::write(&path, "hunter2\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(source.read().unwrap_err().contains("0644"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.read().unwrap().expose_str(), Some("hunter2"));
        fs::write(&path, "hunter2\nhunter3\n").unwrap();
        let said = source.read().unwrap_err();
        assert!(said.contains("more than one line") && !said.contains("hunter"), "{said}");
        assert!(PasswordSource::Env("NO_SUCH_VARIABLE".into()).read().unwrap_err().contains("is not set"));
    }
}
