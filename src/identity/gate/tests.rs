use base64::Engine;

use super::*;
use crate::identity::CHALLENGE;
use crate::model::{Code, Refusal};

fn peer() -> Peer {
    Peer { remote: "127.0.0.1:1".parse().unwrap(), local: "127.0.0.1:2".parse().unwrap() }
}

fn basic(name: &str, password: &str) -> HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    HeaderValue::from_str(&format!("Basic {text}")).unwrap()
}

fn gate(agents: &[(&str, &str)], anonymous: bool) -> Gate {
    let agents = agents.iter().map(|(name, password)| ((*name).to_owned(), Secret::new(*password))).collect();
    Gate::named(agents, anonymous)
}

fn said(gate: &Gate, value: Option<HeaderValue>) -> Result<(String, Proof), Unproved> {
    gate.prove(value.as_ref(), peer()).map(|agent| (agent.name().to_string(), agent.proof()))
}

#[test]
fn two_agents() {
    let gate = gate(&[("a", "one"), ("b", "two:three")], false);
    let yes = |name: &str| Ok((name.to_owned(), Proof::Password));
    for (value, want) in [
        (Some(basic("a", "one")), yes("a")),
        (Some(basic("b", "two:three")), yes("b")),
        (Some(basic("a", "two:three")), Err(Unproved::Wrong)),
        (Some(basic("b", "one")), Err(Unproved::Wrong)),
        (Some(basic("a", "on")), Err(Unproved::Wrong)),
        (Some(basic("a", "")), Err(Unproved::Wrong)),
        (Some(basic("A", "one")), Err(Unproved::Wrong)),
        (Some(basic("c", "one")), Err(Unproved::Wrong)),
        (Some(basic("", "")), Err(Unproved::Wrong)),
        (Some(HeaderValue::from_static("Basic !!")), Err(Unproved::Malformed)),
        (Some(HeaderValue::from_static("Bearer one")), Err(Unproved::Malformed)),
        (None, Err(Unproved::Missing)),
    ] {
        assert_eq!(said(&gate, value.clone()), want, "{value:?}");
    }
}

#[test]
fn anonymous_is_for_those_who_send_nothing() {
    let open = gate(&[("a", "one")], true);
    assert_eq!(said(&open, None), Ok(("anonymous".to_owned(), Proof::Anonymous)));
    assert_eq!(said(&open, Some(basic("a", "wrong"))), Err(Unproved::Wrong));
    assert_eq!(said(&open, Some(basic("anonymous", ""))), Err(Unproved::Wrong));
    // An agent that has the name keeps it.
    assert_eq!(said(&gate(&[("anonymous", "one")], true), None), Err(Unproved::Missing));
}

#[test]
fn run_takes_its_password_and_no_stranger() {
    let gate = Gate::for_run("agent", Secret::new("of this run"));
    assert_eq!(said(&gate, Some(basic("agent", "of this run"))), Ok(("agent".to_owned(), Proof::Password)));
    assert_eq!(said(&gate, Some(basic("agent", "of that run"))), Err(Unproved::Wrong));
    assert_eq!(said(&gate, None), Err(Unproved::Missing));
    gate.started(std::process::id());
    assert_eq!(said(&gate, None), Err(Unproved::Missing));
}

#[cfg(target_os = "linux")]
#[test]
fn run_recognises_what_the_command_started() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r _ <&3");
    let mut command = std::process::Command::new("bash").args(["-c", &script]).spawn().unwrap();
    let (stream, remote) = listener.accept().unwrap();
    let peer = Peer { remote, local: stream.local_addr().unwrap() };
    let gate = Gate::for_run("agent", Secret::new("of this run"));
    assert!(gate.prove(None, peer).is_ok(), "it called before its number was noted");
    gate.started(command.id());
    let agent = gate.prove(None, peer).unwrap();
    assert_eq!((&**agent.name(), agent.proof()), ("agent", Proof::Descendant));
    assert_eq!(gate.prove(Some(&basic("agent", "wrong")), peer), Err(Unproved::Wrong));
    assert!(gate.still(&agent));
    drop(stream);
    command.wait().unwrap();
}

#[test]
fn a_new_gate_lets_go_of_who_changed() {
    let before = gate(&[("a", "one"), ("b", "two"), ("c", "three")], true);
    let after = gate(&[("a", "one"), ("b", "changed")], false);
    let agent = |value: Option<HeaderValue>| before.prove(value.as_ref(), peer()).unwrap();
    for (value, want) in [
        (Some(basic("a", "one")), true),
        (Some(basic("b", "two")), false),
        (Some(basic("c", "three")), false),
        (None, false),
    ] {
        let agent = agent(value);
        assert!(before.still(&agent));
        assert_eq!(after.still(&agent), want, "{agent:?}");
    }
    assert!(!after.still(&Agent::hypothetical("a")));
}

#[test]
fn nothing_that_was_sent_is_said_again() {
    let gate = gate(&[("a", "one")], false);
    let agent = gate.prove(Some(&basic("a", "one")), peer()).unwrap();
    let kept = fingerprint(&hash(&Secret::new("one")));
    assert!(!format!("{agent:?}").contains(&format!("{:?}", kept.0)));
    for value in [Some(basic("mallory", "hunter2")), Some(HeaderValue::from_static("Digest hunter2")), None] {
        let refusal = Refusal::from(gate.prove(value.as_ref(), peer()).unwrap_err());
        assert_eq!(refusal.code(), Code::ProxyAuthenticationRequired);
        let said = format!("{} {}", refusal.message(), refusal.log());
        assert!(!said.contains("hunter2") && !said.contains("mallory"), "{said}");
    }
    assert!(HeaderValue::from_static(CHALLENGE).to_str().unwrap().starts_with("Basic "));
}
