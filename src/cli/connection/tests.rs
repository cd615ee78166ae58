use clap::Parser;

use super::*;
use crate::model::Binding;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
    Line::try_parse_from([&["connection"], arguments].concat()).map(|line| line.args)
}

fn made(name: &str, arguments: &[&str]) -> Result<Contract, Failure> {
    match parse(&[&["add", name], arguments].concat()).unwrap().command {
        Command::Add(args) => contract(&args, |_| Ok(None)),
        _ => panic!("it is an add"),
    }
}

fn bound(arguments: &[&str]) -> Result<Binding, Failure> {
    made("mine", arguments).map(|contract| contract.bindings.into_iter().next().unwrap())
}

#[test]
fn a_providers_contract_is_the_providers() {
    for (name, arguments) in [("github", &[][..]), ("work", &["--provider", "github"])] {
        let contract = made(name, arguments).unwrap();
        let github = contract.provider.unwrap();
        assert_eq!(github.name().as_str(), "github");
        let documented = github.fields();
        let bindings = Bindings::new(contract.bindings, contract.owned).unwrap();
        assert_eq!(Some(&bindings), Catalogue::built_in().provider("github").map(|github| &github.bindings));
        let wanted = wanted(&bindings, &documented);
        assert_eq!(wanted.iter().map(|field| field.name).collect::<Vec<_>>(), ["token"], "once, for both strategies");
        assert!(wanted[0].about.is_some());
    }
    let own = made("github", &["--strategy", "oauth2", "--host", "ghe.example.com"]).unwrap();
    assert!(own.provider.is_none(), "a strategy makes it a contract of one's own");
}

#[test]
fn a_provider_that_cannot_be_meant_is_refused_with_the_reason() {
    for (name, arguments, want) in [
        ("githbu", &[][..], "did you mean github? there are "),
        ("nowhere", &[], "nexus-sidecar connection add nowhere --strategy oauth2 --host"),
        ("work", &["--provider", "gihub"], "did you mean github?"),
        ("work", &["--provider", "github", "--strategy", "oauth2"], "--strategy does not stand beside the provider"),
        ("github", &["--host", "api.github.com"], "--host does not stand beside the provider github"),
        ("github", &["--owned"], "--owned does not stand beside"),
        ("github", &["--set", "a=b"], "--set does not stand beside"),
        ("mine", &["--host", "a.example"], "--host needs --strategy"),
    ] {
        let failure = made(name, arguments).unwrap_err();
        assert!(failure.code() == 2 && failure.message().contains(want), "{}", failure.message());
    }
}

#[test]
fn a_contract_is_read_from_its_flags() {
    let made = bound(&[
        "--strategy",
        "header",
        "--set",
        "value_prefix=Bearer ",
        "--host",
        "API.example.com",
        "--host",
        "b.example",
    ]);
    let made = made.unwrap();
    assert_eq!(made.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["api.example.com", "b.example"]);
    assert_eq!(made.strategy.to_json()["config"]["value_prefix"], "Bearer ");
    let aws =
        bound(&["--strategy", "aws_sigv4", "--set", "allowed_services=s3, sts", "--host", "*.amazonaws.com"]).unwrap();
    assert_eq!(aws.strategy.to_json()["config"]["allowed_services"], serde_json::json!(["s3", "sts"]));
}

#[test]
fn what_cannot_be_is_said_with_exit_code_2() {
    for (arguments, want) in [
        (&["--strategy", "oauth2"][..], "say --host"),
        (&["--strategy", "magic", "--host", "a.example"], "unknown strategy type"),
        (&["--strategy", "oauth2", "--set", "x=y", "--host", "a.example"], "has no setting \"x\""),
        (&["--strategy", "query_param", "--host", "a.example"], "needs the setting param_name"),
        (&["--strategy", "oauth2", "--set", "x", "--host", "a.example"], "KEY=VALUE"),
        (&["--strategy", "header", "--set", "header_name=a", "--set", "header_name=b", "--host", "a"], "given twice"),
        (&["--strategy", "oauth2", "--host", "https://a.example"], "no scheme"),
        (&["--strategy", "oauth2", "--host", "a.example:443"], "no scheme, port"),
    ] {
        let failure = bound(arguments).unwrap_err();
        assert!(failure.code() == 2 && failure.message().contains(want), "{}", failure.message());
    }
}

#[test]
fn the_command_line() {
    for good in [
        &["list", "--json"][..],
        &["ls"],
        &["show", "a", "--config", "f.yaml"],
        &["--config", "f.yaml", "delete", "a", "--yes"],
        &["set", "a", "--field", "t=-", "--expires-at", "2027-01-31T00:00:00Z"],
        &["set", "a", "--fields", "-"],
    ] {
        assert!(parse(good).is_ok(), "{good:?}");
    }
    for bad in [
        &["add"][..],
        &["add", "Not A Name"],
        &["show"],
        &["set", "a", "--expires-at", "tomorrow"],
        &["set", "a", "--strategy", "oauth2"],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}
