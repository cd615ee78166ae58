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

fn bound(arguments: &[&str]) -> Result<Binding, Failure> {
    match parse(&[&["add", "github"], arguments].concat()).unwrap().command {
        Command::Add(args) => binding(&args),
        _ => panic!("it is an add"),
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
        (&["--host", "a.example"][..], "no catalogue of providers yet"),
        (&["--provider", "github"], "--provider is not available yet"),
        (&["--strategy", "oauth2"], "say --host"),
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
        &["set", "a", "--fields", "{}"],
        &["set", "a", "--expires-at", "tomorrow"],
        &["set", "a", "--strategy", "oauth2"],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}
