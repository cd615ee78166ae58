//! Where an agent tries to get: our own listeners, addresses behind names, past deny rules.

use http::Request;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;

use super::{SECRET, bearer};
use crate::support::client::read_answer;
use crate::support::{Agent, Origin, Pki, Sidecar};

#[tokio::test]
async fn our_own_listeners_are_out_of_reach() {
    let sidecar = Sidecar::builder()
        .policy(
            "rules:\n  - { host: [127.0.0.1, \"*.local.test\"], port: [1], action: forward, networks: [127.0.0.0/8] }\n",
        )
        .configure(|config| {
            config.listen.health = vec!["127.0.0.1:0".parse().unwrap()];
            for name in ["own.local.test", "other.local.test"] {
                let ip = if name.starts_with("own") { "127.0.0.1" } else { "127.0.0.2" };
                config.upstream.hosts.insert(nexus_sidecar::model::Host::parse(name).unwrap(), ip.parse().unwrap());
            }
        })
        .start()
        .await;
    let (proxy, admin) = (sidecar.agent.proxy.port(), sidecar.admin().port());
    sidecar.reload(&format!(
        "version: 1\nrules:\n  - {{ host: [127.0.0.1, \"*.local.test\"], port: [{proxy}, {admin}], action: forward, networks: [127.0.0.0/8] }}\n"
    ));
    for port in [proxy, admin] {
        for host in ["127.0.0.1", "own.local.test"] {
            let url = format!("http://{host}:{port}/metrics");
            let answer = sidecar.agent.get_plain(&url).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "POLICY_DENIED"), "{url}");
        }
    }
    for port in [proxy, admin] {
        sidecar.reload(&format!(
            "version: 1\nrules:\n  - {{ host: 127.0.0.1, port: {port}, action: tunnel, protocol: any, networks: [127.0.0.0/8] }}\n"
        ));
        let refused = sidecar.agent.connect(&format!("127.0.0.1:{port}")).await.unwrap_err();
        assert_eq!(refused.code(), "POLICY_DENIED");
    }
}

#[tokio::test]
async fn a_name_of_a_special_address_needs_its_network() {
    let special =
        ["169.254.169.254", "127.0.0.1", "10.0.0.1", "100.64.0.1", "fd00:ec2::254", "::ffff:127.0.0.1", "0.0.0.0"];
    let sidecar = Sidecar::builder()
        .policy("rules:\n  - { host: \"*.bad.test\", action: forward, networks: [192.168.0.0/16, 169.254.0.0/16] }\n")
        .configure(move |config| {
            for (index, ip) in special.iter().enumerate() {
                let name = nexus_sidecar::model::Host::parse(&format!("n{index}.bad.test")).unwrap();
                config.upstream.hosts.insert(name, ip.parse().unwrap());
            }
        })
        .start()
        .await;
    for (index, ip) in special.iter().enumerate() {
        assert_eq!(
            sidecar.agent.get_plain(&format!("http://n{index}.bad.test/")).await.code(),
            "POLICY_DENIED",
            "{ip}"
        );
    }
}

#[tokio::test]
async fn a_connect_inside_a_connect_goes_nowhere() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = bearer(&pki, &origin, "").start().await;
    let authority = format!("api.test:{}", origin.port());
    for line in [format!("CONNECT {authority}"), "connect /".to_owned(), format!("CONNECT evil.test:{}", origin.port())]
    {
        let mut stream = sidecar.agent.intercepted(&authority, "api.test", &[]).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.code(), "INVALID_REQUEST", "{line}");
        // The same connection is still read strictly.
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.code(), "INVALID_REQUEST", "{line}");
    }
    assert!(origin.received().is_empty());
}

#[tokio::test]
async fn what_follows_a_refused_connect_is_read_strictly() {
    let sidecar = Sidecar::builder()
        .policy("rules:\n  - { host: api.test, action: forward }\n")
        .agent("bot", "s3cret-of-the-bot")
        .start()
        .await;
    let mut stream = sidecar.agent.dial().await;
    stream.write_all(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.code(), "PROXY_AUTHENTICATION_REQUIRED");
    stream
        .write_all(b"POST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .await
        .unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "INVALID_REQUEST"));
    // A client that answers the challenge on the same connection gets its tunnel, and what it sent
    // too early is not lost.
    let mut stream = sidecar.agent.dial().await;
    stream.write_all(b"CONNECT api.test:80 HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
    read_answer(&mut stream).await;
    let again = format!(
        "CONNECT api.test:80 HTTP/1.1\r\nHost: api.test\r\n{}\r\nGET /%00 HTTP/1.1\r\nHost: api.test\r\n\r\n",
        sidecar.agent.authorization()
    );
    stream.write_all(again.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    assert_eq!(read_answer(&mut stream).await.code(), "INVALID_REQUEST");
}

#[tokio::test]
async fn no_spelling_gets_past_a_deny_rule() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let port = origin.port();
    let sidecar = bearer(&pki, &origin, "").start().await;
    sidecar.reload(&format!(
        "version: 1\nrules:\n  - {{ host: api.test, action: deny, path: /admin/** }}\n  - {{ host: api.test, action: deny, query: {{ Action: \"Delete*\" }} }}\n  - {{ host: api.test, action: deny, headers: {{ x-amz-target: \"*.Delete*\" }} }}\n  - {{ name: api, host: api.test, port: {port}, connection: api, networks: [127.0.0.0/8] }}\n"
    ));
    for target in [
        "/admin/users",
        "/ADMIN/users",
        "//admin/users",
        "/%61dmin/users",
        "/admin%2Fusers",
        "/admin%2fusers",
        "/admin;x=1/users",
        "/%2561dmin/users",
        "/admin/",
        "/?Action=DeleteItem",
        "/?action=deleteitem",
        "/?Action=Get&Action=DeleteItem",
        "/?Action=DeleteItem&Action=Get",
        "/?%41ction=Delete%49tem",
        "/?x=1;Action=DeleteItem",
        "/?Action=+DeleteItem&Action=DeleteItem",
        "/?_method=DELETE",
    ] {
        let url = format!("https://api.test:{port}{target}");
        assert_eq!(sidecar.agent.get(&url).await.code(), "POLICY_DENIED", "{target}");
    }
    for (name, value) in [
        ("x-amz-target", "Dynamo.DeleteItem"),
        ("X-AMZ-TARGET", "dynamo.deleteitem"),
        ("x-amz-target", "Dynamo.GetItem, Dynamo.DeleteItem"),
        ("x_amz_target", "Dynamo.DeleteItem"),
    ] {
        let request = Request::get(format!("https://api.test:{port}/")).header(name, value).body(Full::default());
        assert_eq!(sidecar.agent.https(request.unwrap()).await.code(), "POLICY_DENIED", "{name}: {value}");
    }
    assert!(origin.received().is_empty());
    assert_eq!(sidecar.agent.get(&format!("https://api.test:{port}/administrators?Action=Get")).await.status, 200);
}

#[tokio::test]
async fn nothing_that_connection_nominates_takes_the_credential_off() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = bearer(&pki, &origin, "").start().await;
    let authority = format!("api.test:{}", origin.port());
    let mut stream = sidecar.agent.intercepted(&authority, "api.test", &[]).await.unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: authorization, host, x-mine\r\nAuthorization: Bearer mine\r\nX-Mine: 1\r\nX-HTTP-Method-Override: DELETE\r\nTE: trailers\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    let received = origin.only();
    assert_eq!(received.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(received.header("host"), authority);
    assert!(!received.headers.contains_key("x-mine") && !received.headers.contains_key("x-http-method-override"));
}

#[tokio::test]
async fn passwords_are_not_guessed_in_silence() {
    let sidecar = Sidecar::builder()
        .policy("rules:\n  - { host: api.test, action: forward }\n")
        .agent("bot", "s3cret-of-the-bot")
        .agent("other", "s3cret-of-the-other")
        .start()
        .await;
    let guesses =
        ["", "s3cret", "s3cret-of-the-bot ", "S3CRET-OF-THE-BOT", "s3cret-of-the-bot\0", "s3cret-of-the-other"];
    for guess in guesses {
        let liar = Agent { credentials: Some(("bot".into(), guess.into())), ..sidecar.agent.clone() };
        assert_eq!(
            liar.connect("api.test:443").await.unwrap_err().code(),
            "PROXY_AUTHENTICATION_REQUIRED",
            "{guess:?}"
        );
    }
    let outcomes = sidecar.outcomes(guesses.len()).await;
    assert_eq!(outcomes.iter().filter(|o| o["code"] == "PROXY_AUTHENTICATION_REQUIRED").count(), guesses.len());
    assert!(sidecar.agent.connect("api.test:443").await.is_ok());
}
