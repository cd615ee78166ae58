//! Connections whose credentials stand in the environment, or are written by a command.

use std::process::Stdio;

use crate::left_out;
use crate::support::process::Ended;
use crate::support::{Home, Origin, Speaks};

const SECRET: &str = "canary-of-a-source";

/// Calls the origin with each connection, and shows what of the environment is left.
const SCRIPT: &str = r#"
    for name in held given; do curl -sS "http://127.0.0.1:$ORIGIN/$name" -o /dev/null -w '%{http_code}\n'; done
    env | grep -c canary-of-a-source"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_and_a_command_are_sources_and_the_agent_sees_neither() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let origin = Origin::start(Speaks::Plain, |_| http::Response::default()).await;
    let port = origin.address.port();
    let home = Home::new();
    let token = home.secret("token", SECRET);
    let give = ["cat", token.to_str().unwrap()].map(|word| format!("{word:?}")).join(", ");
    let contract = "hosts: 127.0.0.1, strategy: oauth2";
    home.write(
        "c.yaml",
        &format!(
            "version: 1\npolicy: p.yaml\nsources: {{ ci: {{ environment: {{}} }}, shell: {{ command: {{ timeout: 20s }} }} }}\n\
             connections:\n  held: {{ source: ci, {contract}, fields: {{ access_token: MY_TOKEN }} }}\n  \
             given: {{ source: shell, {contract}, command: [{give}], field: access_token, ttl: 1m }}\n"
        ),
    );
    let rule = |name: &str| {
        format!(
            "  - {{ host: 127.0.0.1, port: {port}, path: /{name}, connection: {name}, plaintext: true, \
             networks: [127.0.0.0/8] }}\n"
        )
    };
    home.write("p.yaml", &format!("version: 1\nrules:\n{}{}", rule("held"), rule("given")));
    let mut command = home.command(["run", "--config", "c.yaml", "--", "sh", "-c", SCRIPT]);
    command.env("MY_TOKEN", SECRET).env("A_COPY", SECRET).env("ORIGIN", port.to_string()).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || Ended::of(&command.output().unwrap())).await.unwrap();
    assert_eq!(ended.out, "200\n200\n0\n", "{}", ended.err);
    assert!(!ended.err.contains(SECRET));
    let received = origin.received();
    assert_eq!(received.len(), 2);
    for request in received {
        assert_eq!(request.header("authorization"), format!("Bearer {SECRET}"));
    }
}
