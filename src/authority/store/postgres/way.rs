//! How one connection is made: a stream that `dial` opened, TLS, the password, the session.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_postgres::{Client, Config, Connection, Error};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{StoreError, failed};
use crate::config::{PostgresConfig, PostgresPlace};
use crate::dial::DatabaseStream;
use crate::model::Host;
use crate::tls::Roots;

/// For everything from the name to a session that can be used.
const CONNECT: Duration = Duration::from_secs(5);

/// What every session begins with. A statement waits for locks of other replicas, and nobody waits
/// for a replica that went away in the middle of a transaction. What is acknowledged is on the
/// disk, whatever the role's default is.
const SESSION: &str = "
    SET statement_timeout = '10s';
    SET idle_in_transaction_session_timeout = '20s';
    SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// A connection to be driven, beside the client that speaks over it.
pub(super) type Driver = Connection<DatabaseStream, Wrapped>;

/// The way to a database.
pub(super) struct Way {
    config: PostgresConfig,
    tls: Tls,
    pub(super) name: String,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) why: String,
    /// The server is not there, or not there yet: it is worth to try again.
    pub(super) passing: bool,
}

impl Way {
    pub(super) fn new(config: PostgresConfig) -> Result<Self, StoreError> {
        let name = format!("{}/{}", config.place, config.database);
        let tls = match (&config.place, config.tls) {
            (PostgresPlace::Host(host, _), true) => {
                let roots = Roots::load(config.ca_file.as_slice());
                let roots = roots.map_err(|error| failed("open", &name, error.to_string()))?;
                let host = match host {
                    Host::Ip(ip) => ServerName::from(*ip),
                    Host::Name(text) => ServerName::try_from(text.to_string())
                        .map_err(|error| failed("open", &name, error.to_string()))?,
                };
                Tls(Some((roots.client_config(&[]), host)))
            }
            _ => Tls(None),
        };
        Ok(Self { config, tls, name })
    }

    /// How many connections transactions may have.
    pub(super) fn connections(&self) -> usize {
        self.config.connections
    }

    /// Opens a connection, whose driver has been handed to the runtime of the caller.
    pub(super) async fn open(&self) -> Result<Client, Refused> {
        let (client, driver) = self.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(error = say(&error), "a connection to PostgreSQL ended");
            }
        });
        self.begin_session(&client).await?;
        Ok(client)
    }

    /// Connects and authenticates.
    pub(super) async fn connect(&self) -> Result<(Client, Driver), Refused> {
        let mut config = Config::new();
        let ssl = if self.tls.0.is_some() { SslMode::Require } else { SslMode::Disable };
        config.user(&self.config.user).dbname(&self.config.database).ssl_mode(ssl).application_name("nexus-sidecar");
        if let Some(source) = &self.config.password {
            let password = source.read().map_err(|why| Refused { why, passing: false })?;
            config.password(password.expose());
        }
        let attempt = async {
            let stream = match &self.config.place {
                PostgresPlace::Host(host, port) => DatabaseStream::tcp(host, *port, CONNECT).await,
                PostgresPlace::Socket(folder, port) => {
                    DatabaseStream::unix(&folder.join(format!(".s.PGSQL.{port}")), CONNECT).await
                }
            };
            let stream = stream.map_err(|error| Refused { why: format!("no connection: {error}"), passing: true })?;
            config.connect_raw(stream, self.tls.clone()).await.map_err(|error| self.refused(&error))
        };
        tokio::time::timeout(CONNECT, attempt).await.unwrap_or_else(|_| Err(late()))
    }

    /// Sets a new session up.
    pub(super) async fn begin_session(&self, client: &Client) -> Result<(), Refused> {
        match tokio::time::timeout(CONNECT, client.batch_execute(SESSION)).await {
            Ok(begun) => begun.map_err(|error| self.refused(&error)),
            Err(_) => Err(late()),
        }
    }

    fn refused(&self, error: &Error) -> Refused {
        let passing = match error.code() {
            Some(code) => PASSING.contains(code),
            None => error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()),
        };
        let mut why = say(error);
        if self.tls.0.is_some() && why.contains("UnknownIssuer") {
            why.push_str(": name the file of its CA in authority.store.postgres.ca_file");
        }
        Refused { why, passing }
    }
}

fn late() -> Refused {
    Refused { why: format!("no answer within {} s", CONNECT.as_secs()), passing: true }
}

/// It starts, it stops, or all of its connections are in use.
const PASSING: [SqlState; 4] =
    [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::TOO_MANY_CONNECTIONS];

/// The server's word, without the details, which may quote a row.
pub(super) fn say(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", said.message(), said.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// TLS with the server's certificate verified for the host of the configuration.
#[derive(Clone)]
struct Tls(Option<(Arc<ClientConfig>, ServerName<'static>)>);

impl TlsConnect<DatabaseStream> for Tls {
    type Stream = Wrapped;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wrapped>> + Send>>;

    fn connect(self, stream: DatabaseStream) -> Self::Future {
        Box::pin(async move {
            let Some((config, host)) = self.0 else { return Err(io::ErrorKind::Unsupported.into()) };
            TlsConnector::from(config).connect(host, stream).await.map(|stream| Wrapped(Box::new(stream)))
        })
    }
}

/// A stream inside TLS.
pub(super) struct Wrapped(Box<TlsStream<DatabaseStream>>);

impl tokio_postgres::tls::TlsStream for Wrapped {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
