//! Reads configuration and policy files: as written -> ready to use.

mod catalogue;
mod command;
mod document;
mod environment;
mod key;
mod problem;
mod secret_file;
mod sidecar;
mod units;
mod watch;
mod yaml;

pub use catalogue::{
    Catalogue, FieldDoc, OAuthDoc, PLACEHOLDER_MARKER, PermissionSet, Placeholder, Provider, ProviderFile,
    RevocationDoc, Said, SecretSource, SetName, SetNameError, UserCall,
};
pub use command::{CommandError, Running, SecretCommand};
pub use document::{
    Action, Document, ExpectedOutcome, Matcher, PolicyTest, Protocol, RuleDefault, RuleDoc, Subject, load_documents,
    load_providers,
};
pub use environment::Environment;
pub use key::KeySource;
pub use problem::{At, Located, Problem, Problems};
pub use secret_file::{mounted_line, secret_file, secret_line};
pub use sidecar::{
    ANONYMOUS, AccessConfig, AgentConfig, AgentsFrom, AuditConfig, AuditMode, AuthorityConfig, ClientConfig,
    ClientFiles, ClientName, CommandConnection, CommandOutput, CommandSource, Config, ConnectionAt, ConnectionConfig,
    Dialect, EnvironmentConnection, FileConnection, FileSource, GatewayConfig, GatewayConnection, GatewayContract,
    IssuerConfig, KeysFrom, KubernetesApi, KubernetesConnection, KubernetesSource, LeaseConfig, Limits, Listen,
    LogConfig, LogFormat, PasswordSource, PostgresConfig, PostgresPlace, Rate, RemoteConfig, ScopeConfig,
    ServiceConfig, ServiceLimits, ServiceTls, SourceAuth, SourceConfig, SourceKind, SpiffeConnection, SpiffeSource,
    StoreConfig, Timeouts, UpstreamConfig, VaultAuth, VaultConnection, VaultSource,
};
pub use sidecar::{
    AssumeRole, AwsBase, AwsConnection, AwsSource, AzureConnection, AzureIdentity, AzureProof, AzureSource,
    GithubAppConnection, GithubAppSource, GoogleConnection, GoogleIdentity, GoogleSource, GoogleSubject, Installation,
    SubjectFrom, WorkloadIdentity,
};
pub use units::time as duration;
pub use watch::FileSet;
