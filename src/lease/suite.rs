//! What every source does alike, whatever it is: the tests that each of them passes.

use std::sync::Arc;

use super::{Ask, Borrowed, Held, LeaseSource, LendError, Loan};
use crate::model::{ConnectionName, Host, Workspace};

/// A source that is ready to lend a connection for a host.
pub(crate) struct Case<'a> {
    pub(crate) source: &'a dyn LeaseSource,
    /// The connection, by its name there.
    pub(crate) connection: &'a str,
    /// One that it is bound to.
    pub(crate) host: &'a str,
    /// Texts that stand in credentials, or in what the source itself authenticates with.
    pub(crate) canaries: &'a [&'a str],
}

impl Case<'_> {
    /// Holds the source against what all of them promise.
    pub(crate) async fn passes(&self) {
        let loan = self.lends().await;
        self.says_the_same_twice(&loan).await;
        self.goes_on_with_what_is_held(&loan).await;
        self.knows_what_is_there(&loan).await;
        self.refuses_what_is_not_there().await;
    }

    fn ask(&self, agent: &str, connection: &str) -> Ask {
        Ask {
            workspace: Workspace::local(),
            agent: agent.into(),
            connection: ConnectionName::parse(connection).unwrap(),
            host: Host::parse(self.host).unwrap(),
            scope: None,
            held: None,
        }
    }

    async fn borrow(&self, ask: &Ask) -> Loan {
        let borrowed = self.source.lend(ask).await.unwrap_or_else(|error| panic!("it does not lend: {error:?}"));
        self.shows_nothing(&format!("{borrowed:?}"));
        borrowed.loan().expect("nothing was held that could be unchanged")
    }

    fn shows_nothing(&self, text: &str) {
        for canary in self.canaries {
            assert!(!text.contains(canary), "a credential is shown: {text}");
        }
    }

    /// A loan is of a bound host, and holds what its strategy needs.
    async fn lends(&self) -> Loan {
        let loan = self.borrow(&self.ask("bot", self.connection)).await;
        let strategy = loan.bindings.strategy_for(&Host::parse(self.host).unwrap()).expect("it is bound to the host");
        for field in strategy.required_fields() {
            let value = loan.credentials.get(field).unwrap_or_else(|| panic!("{field} is missing"));
            assert!(!value.expose().is_empty(), "{field} is empty");
        }
        assert!(!loan.id.is_empty() && loan.id.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", loan.id);
        loan
    }

    /// The id stays, and so does the version of what is kept and not made anew.
    async fn says_the_same_twice(&self, loan: &Loan) {
        let again = self.borrow(&self.ask("bot", self.connection)).await;
        assert_eq!(again.id, loan.id, "the id moved");
        assert!(again.version >= loan.version, "the version went back");
        if !loan.refreshable {
            assert_eq!(again.version, loan.version, "nothing changed, and the version did");
        }
        let other = self.borrow(&self.ask("other", self.connection)).await;
        assert_eq!(other.id, loan.id, "a connection has one id, whoever borrows it");
    }

    /// Whoever holds a version is given it again, or told that it goes on; refused, at best another.
    async fn goes_on_with_what_is_held(&self, loan: &Loan) {
        for refused in [false, true] {
            let held = Some(Held { id: Arc::clone(&loan.id), version: loan.version, refused });
            let borrowed = self.source.lend(&Ask { held, ..self.ask("bot", self.connection) }).await;
            match borrowed {
                Ok(Borrowed::Unchanged(_)) => assert!(!refused, "it says that what was refused goes on"),
                Ok(Borrowed::Loan(again)) => assert!(again.version >= loan.version, "the version went back"),
                Err(error) => {
                    self.shows_nothing(&format!("{error:?} {error}"));
                    assert!(refused, "what is held is no longer lent: {error:?}");
                }
            }
        }
    }

    async fn knows_what_is_there(&self, loan: &Loan) {
        let (name, agent) = (ConnectionName::parse(self.connection).unwrap(), Arc::from("bot"));
        assert_eq!(self.source.still_there(&name, &loan.id).await, Ok(true));
        assert_eq!(self.source.still_lends(&agent, &name, &loan.id).await, Ok(true));
        assert!(!self.source.is_gone("bot", &name, &loan.id));
        assert_ne!(self.source.still_there(&name, "another-id").await, Ok(true), "it has another id");
    }

    async fn refuses_what_is_not_there(&self) {
        let error = self.source.lend(&self.ask("bot", "never-made")).await.unwrap_err();
        self.shows_nothing(&format!("{error:?} {error}"));
        assert!(matches!(error, LendError::NotFound(_)), "{error:?}");
    }
}

mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::time::Duration;

    use super::Case;
    use crate::config::{
        CommandConnection, CommandOutput, CommandSource, Environment, EnvironmentConnection, FileConnection,
    };
    use crate::lease::{CommandFetch, Configured, EnvironmentFetch, Fetch, FileFetch, MemoryConnection, MemorySource};
    use crate::model::{Binding, Bindings, ConnectionName, Fields, HostPattern, Secret, Strategy};
    use crate::telemetry::SystemClock;

    fn contract() -> Bindings {
        let hosts = vec![HostPattern::parse("api.test").unwrap()];
        Bindings::new(vec![Binding { hosts, strategy: Strategy::OAuth2 }], false).unwrap()
    }

    #[tokio::test]
    async fn memory() {
        let mut fields = Fields::new();
        fields.insert("access_token", Secret::new("canary"));
        let name = ConnectionName::parse("jira").unwrap();
        let source = MemorySource::new([MemoryConnection { name, bindings: contract(), fields, expires_at: None }]);
        Case { source: &source, connection: "jira", host: "api.test", canaries: &["canary"] }.passes().await;
    }

    #[tokio::test]
    async fn files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "canary\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::create_dir(folder.path().join("all")).unwrap();
        std::os::unix::fs::symlink(&file, folder.path().join("all/access_token")).unwrap();
        let named = FileConnection::Fields([("access_token".to_owned(), file)].into());
        for place in [named, FileConnection::Folder(folder.path().join("all"))] {
            let fetch = FileFetch::new([&place].into_iter(), Arc::new(SystemClock));
            passes(Configured::new("files", fetch, [(jira(), contract(), place)])).await;
        }
    }

    #[tokio::test]
    async fn variables() {
        let place = EnvironmentConnection { fields: [("access_token".to_owned(), "TOKEN".to_owned())].into() };
        let fetch = EnvironmentFetch::new([&place].into_iter(), &Environment::of([("TOKEN", "canary")]));
        passes(Configured::new("variables", fetch, [(jira(), contract(), place)])).await;
    }

    #[tokio::test]
    async fn commands() {
        let environment = Environment::of([("PATH", std::env::var_os("PATH").unwrap())]);
        let settings = CommandSource { timeout: Duration::from_secs(20) };
        let place = CommandConnection {
            argv: ["sh", "-c", "echo canary"].map(str::to_owned).into(),
            environment: vec!["PATH".to_owned()],
            output: CommandOutput::Line("access_token".to_owned()),
            ttl: Some(Duration::from_secs(60)),
        };
        let fetch = CommandFetch::new(&settings, environment, Arc::new(SystemClock));
        passes(Configured::new("commands", fetch, [(jira(), contract(), place)])).await;
    }

    fn jira() -> ConnectionName {
        ConnectionName::parse("jira").unwrap()
    }

    async fn passes<F: Fetch>(source: Configured<F>) {
        Case { source: &source, connection: "jira", host: "api.test", canaries: &["canary"] }.passes().await;
    }
}
