//! Taking tokens back: by RFC 7009, and as a provider declares it.

use super::*;

#[tokio::test]
async fn a_revocation_says_what_it_revokes() {
    for (hint, auth, body) in [
        (
            TokenHint::Refresh,
            ClientAuth::Post,
            "token=rt-canary-8d1f&token_type_hint=refresh_token&client_id=id%3A1+%C3%A9\
             &client_secret=cs-canary-42+%25%3A%2B%C3%A9",
        ),
        (TokenHint::Access, ClientAuth::Basic, "token=rt-canary-8d1f&token_type_hint=access_token"),
    ] {
        let mut peer = Peer::start(vec![vec![Does::answer(200, "", "")]]).await;
        let endpoint = endpoint(peer.url("/token"), auth);
        local().revoke(&endpoint, &Secret::new(REFRESH), hint).await.unwrap();
        let (head, sent) = lines(&peer.hears().await);
        assert_eq!((head[0].as_str(), sent.as_str()), ("POST /revoke HTTP/1.1", body));
        let basic = head.iter().any(|line| line.starts_with("authorization: Basic "));
        assert_eq!(basic, auth == ClientAuth::Basic);
    }
    let peer = Peer::start(Vec::new()).await;
    let nowhere = TokenEndpoint { revocation_url: None, ..endpoint(peer.url("/"), ClientAuth::Post) };
    let result = local().revoke(&nowhere, &Secret::new(REFRESH), TokenHint::Refresh).await;
    assert!(matches!(result, Err(RevokeError::Undeclared)), "{result:?}");
}

fn outcome(result: &Result<(), RevokeError>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(RevokeError::UnsupportedTokenType) => "unsupported".to_owned(),
        Err(RevokeError::Cannot { code, .. }) => {
            format!("cannot {}", code.as_ref().map_or("-", ErrorCode::as_str))
        }
        Err(RevokeError::Later { after, .. }) => format!("later {:?}", after.map(|after| after.as_secs())),
        Err(other) => other.to_string(),
    }
}

#[tokio::test]
async fn a_revocation_is_done_or_later_or_never() {
    for (status, headers, body, want) in [
        (200, "", "", "done"),
        (200, "", "anything", "done"),
        (204, "", "", "done"),
        (200, "", r#"{"ok":true}"#, "done"),
        (400, "", r#"{"error":"invalid_token"}"#, "done"),
        (200, "", r#"{"ok":false,"error":"token_revoked"}"#, "done"),
        (503, "retry-after: 30\r\n", "", "later Some(30)"),
        (429, "", "", "later None"),
        (500, "", r#"{"error":"invalid_token"}"#, "later None"),
        (302, "location: /x\r\n", "", "later None"),
        (400, "", r#"{"error":"unsupported_token_type"}"#, "unsupported"),
        (400, "", r#"{"error":"invalid_request"}"#, "cannot invalid_request"),
        (401, "", r#"{"error":"invalid_client"}"#, "cannot invalid_client"),
        (200, "", r#"{"ok":false,"error":"not_allowed"}"#, "cannot not_allowed"),
        (403, "", "no: rt-canary-8d1f", "cannot -"),
        (404, "", "", "cannot -"),
    ] {
        let result = revoked(Does::answer(status, headers, body)).await;
        assert_eq!(outcome(&result), want, "{status} {body}");
        if let Err(error) = result {
            assert!(!chain(&error).contains("canary"), "{}", chain(&error));
        }
    }
    assert_eq!(outcome(&revoked(Does::HangUp).await), "later None");
}

fn declared(json: &str) -> RevocationCall {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn a_declared_call_is_made_as_it_is_written() {
    for (template, auth, token, first, header, body) in [
        (
            "/applications/{client_id}/grant",
            "client_basic",
            r#"{"json":"access_token"}"#,
            "DELETE /applications/id%3A1%20%C3%A9/grant HTTP/1.1",
            Some("authorization: Basic aWQ6MSDDqTpjcy1jYW5hcnktNDIgJTorw6k="),
            r#"{"access_token":"rt-canary-8d1f"}"#,
        ),
        ("/me", "token_bearer", r#""bearer""#, "DELETE /me HTTP/1.1", Some("authorization: Bearer rt-canary-8d1f"), ""),
        ("/t/{token}", "none", r#""url""#, "DELETE /t/rt-canary-8d1f HTTP/1.1", None, ""),
        ("/t?a=1", "none", r#"{"form":"to ken"}"#, "DELETE /t?a=1 HTTP/1.1", None, "to%20ken=rt-canary-8d1f"),
    ] {
        let mut peer = Peer::start(vec![vec![Does::answer(204, "", "")]]).await;
        let call = declared(&format!(
            r#"{{"method":"DELETE","url":"http://{}{template}","auth":"{auth}","token":{token},
                "headers":{{"Accept":"application/vnd.x+json"}}}}"#,
            peer.authority()
        ));
        call.check().unwrap();
        let endpoint = endpoint(peer.url("/token"), ClientAuth::Post);
        local().revoke_as_declared(&call, &endpoint, &Secret::new(REFRESH)).await.unwrap();
        let (head, sent) = lines(&peer.hears().await);
        assert_eq!((head[0].as_str(), sent.as_str()), (first, body));
        assert!(head.contains(&"accept: application/vnd.x+json".to_owned()));
        let authorization = head.iter().find(|line| line.starts_with("authorization"));
        assert_eq!(authorization.map(String::as_str), header);
    }
}

#[tokio::test]
async fn a_declared_call_that_cannot_be_meant_is_refused_before_it_is_made() {
    let with = |url: &str, auth: &str, token: &str, headers: &str| {
        declared(&format!(
            r#"{{"method":"POST","url":"{url}","auth":"{auth}","token":{token},"headers":{{{headers}}}}}"#
        ))
        .check()
    };
    let form = r#"{"form":"token"}"#;
    assert_eq!(with("https://a.test/r", "none", form, ""), Ok(()));
    for (url, auth, token, headers, want) in [
        ("a.test/r", "none", form, "", DeclarationError::Url),
        ("https://a.test/../r", "none", form, "", DeclarationError::Url),
        ("https://{token}.test/r", "none", r#""url""#, "", DeclarationError::Placeholder),
        ("https://{client_id}/r", "none", form, "", DeclarationError::Placeholder),
        ("https://a.test/{secret}", "none", form, "", DeclarationError::Placeholder),
        ("https://a.test/r", "none", r#""url""#, "", DeclarationError::Token),
        ("https://a.test/{token}", "none", form, "", DeclarationError::Token),
        ("https://a.test/r", "none", r#""bearer""#, "", DeclarationError::Token),
        ("https://a.test/r", "none", r#"{"json":""}"#, "", DeclarationError::Token),
        ("https://a.test/r", "none", form, r#""authorization":"x""#, DeclarationError::Header),
        ("https://a.test/r", "none", form, r#""x y":"x""#, DeclarationError::Header),
        ("https://a.test/r", "none", form, r#""x":"a\nb""#, DeclarationError::Header),
    ] {
        assert_eq!(with(url, auth, token, headers), Err(want), "{url} {auth} {token} {headers}");
    }
    let peer = Peer::start(Vec::new()).await;
    let call = declared(r#"{"method":"PUT","url":"http://api.test/{token}","auth":"client_basic","token":"url"}"#);
    let public = TokenEndpoint { client_secret: None, ..endpoint(peer.url("/"), ClientAuth::Public) };
    for (token, want) in [(REFRESH, DeclarationError::NoClientSecret), ("..", DeclarationError::Url)] {
        match local().revoke_as_declared(&call, &public, &Secret::new(token)).await {
            Err(RevokeError::Declaration(error)) => assert_eq!(error, want),
            other => panic!("{other:?}"),
        }
    }
}
