use http::{HeaderName, StatusCode};
use serde_json::Value;

use super::*;
use crate::model::placeholder;

const NOW: u64 = 1_777_976_000;

/// Asks a stub: the target, headers, and a form where there is one.
fn ask(stub: Stub, method: &str, target: &str, headers: &[(&str, &str)], form: Option<&str>) -> Reply {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(Query::new(query))));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    if form.is_some() {
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
    }
    let asked = Asked {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        authority: "login.microsoftonline.com",
        path,
        query: query.as_ref(),
        headers: &map,
        body: form.unwrap_or_default().as_bytes(),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
    };
    answer(stub, &asked)
}

fn json(reply: &Reply) -> Value {
    assert_eq!((reply.status, reply.media), (StatusCode::OK, "application/json"), "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    let found = reply.headers.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.to_str().unwrap()
}

#[test]
fn a_session_with_the_metadata_of_ec2() {
    let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    let opened = ask(Stub::AwsMetadata, "PUT", "/latest/api/token", &[ttl], None);
    assert_eq!((opened.status, &*opened.body), (StatusCode::OK, placeholder::AWS_METADATA));
    assert_eq!(header(&opened, "x-aws-ec2-metadata-token-ttl-seconds"), "21600");
    let token = ("x-aws-ec2-metadata-token", &*opened.body);
    let get = |path: &str| ask(Stub::AwsMetadata, "GET", path, &[token], None);
    let role = get("/latest/meta-data/iam/security-credentials/").body;
    let keys = json(&get(&format!("/latest/meta-data/iam/security-credentials/{role}")));
    assert_eq!(keys["Code"], "Success");
    assert_eq!(keys["AccessKeyId"], placeholder::AWS_KEY);
    assert_eq!(keys["SecretAccessKey"], placeholder::AWS_SECRET);
    assert_eq!(keys["Token"], placeholder::AWS_SESSION);
    assert_eq!(keys["Expiration"], "2026-05-05T11:13:20Z", "an hour ahead");
    assert_eq!(get("/latest/meta-data/placement/region").body, "us-east-1");
    assert_eq!(get("/latest/meta-data/ami-id").status, StatusCode::NOT_FOUND);
    assert_eq!(get("/latest/api/token").status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn a_session_is_not_opened_for_just_anybody() {
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        ask(Stub::AwsMetadata, method, path, headers, None).status.as_u16()
    };
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds";
    assert_eq!(ask("PUT", "/latest/api/token", &[]), 400);
    for wrong in ["0", "21601", "-1", "x", ""] {
        assert_eq!(ask("PUT", "/latest/api/token", &[(ttl, wrong)]), 400, "{wrong:?}");
    }
    assert_eq!(ask("PUT", "/latest/api/token", &[(ttl, "60"), (ttl, "60")]), 400);
    assert_eq!(ask("PUT", "/latest/api/token", &[(ttl, "60"), ("x-forwarded-for", "10.0.0.1")]), 403);
    assert_eq!(ask("GET", "/latest/meta-data/instance-id", &[]), 401, "version 1 is not spoken");
    assert_eq!(ask("GET", "/latest/meta-data/instance-id", &[("x-aws-ec2-metadata-token", "x")]), 401);
    assert_eq!(ask("POST", "/latest/meta-data/instance-id", &[]), 405);
}

#[test]
fn the_credentials_of_a_container() {
    let keys = json(&ask(Stub::AwsContainer, "GET", "/v2/credentials/1", &[("authorization", "x")], None));
    assert_eq!(
        (&keys["AccessKeyId"], &keys["Token"]),
        (&placeholder::AWS_KEY.into(), &placeholder::AWS_SESSION.into())
    );
    assert_eq!(ask(Stub::AwsContainer, "POST", "/v2/credentials/1", &[], None).status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn becoming_a_role() {
    let post = |form: &str| ask(Stub::AwsSts, "POST", "/", &[], Some(form));
    let role = "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa%2Fb&RoleSessionName=me%26";
    for action in ["AssumeRole", "AssumeRoleWithWebIdentity"] {
        let done = post(&format!("Action={action}&Version=2011-06-15&{role}&WebIdentityToken=x"));
        assert_eq!((done.status, done.media), (StatusCode::OK, "text/xml"));
        for part in [
            format!("<{action}Result><Credentials><AccessKeyId>{}</AccessKeyId>", placeholder::AWS_KEY),
            "<Arn>arn:aws:sts::123456789012:assumed-role/b/me&amp;</Arn>".to_owned(),
            "<Expiration>2026-05-05T11:13:20Z</Expiration>".to_owned(),
        ] {
            assert!(done.body.contains(&part), "{part} is not in\n{}", done.body);
        }
    }
    let who = ask(Stub::AwsSts, "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", &[], None);
    assert!(who.body.contains("<Account>000000000000</Account>"));
    for (form, code) in [
        ("Action=AssumeRole&RoleSessionName=a", "ValidationError"),
        ("Action=AssumeRole&RoleArn=x&RoleSessionName=a", "ValidationError"),
        ("Action=CreateUser", "InvalidAction"),
        ("Action=AssumeRole&Action=GetCallerIdentity", "InvalidAction"),
        ("", "InvalidAction"),
    ] {
        let refused = post(form);
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.body.contains(&format!("<Code>{code}</Code>")), "{form}: {}", refused.body);
    }
    assert_eq!(ask(Stub::AwsSts, "POST", "/", &[("content-type", "text/plain")], None).status.as_u16(), 400);
}

#[test]
fn the_metadata_server_of_google() {
    let flavor = ("metadata-flavor", "Google");
    let get = |target: &str| ask(Stub::GcpMetadata, "GET", target, &[flavor], None);
    let ping = ask(Stub::GcpMetadata, "GET", "/", &[], None);
    assert_eq!((ping.status, header(&ping, "metadata-flavor")), (StatusCode::OK, "Google"));
    let account = json(&get("/computeMetadata/v1/instance/service-accounts/default/?recursive=true"));
    let email = account["email"].as_str().unwrap();
    assert!(email.ends_with(".gserviceaccount.com") && account["scopes"][0].is_string());
    for name in ["default", email] {
        let token = json(&get(&format!("/computeMetadata/v1/instance/service-accounts/{name}/token?scopes=a,b")));
        assert_eq!((&token["access_token"], &token["expires_in"]), (&placeholder::GCP_ACCESS.into(), &3600.into()));
    }
    assert_eq!(get("/computeMetadata/v1/project/project-id").body, "nexus-sidecar");
    assert_eq!(get("/computeMetadata/v1/universe/universe-domain").body, "googleapis.com");
    assert_eq!(get("/computeMetadata/v1/instance/service-accounts/default/email").body, email);
    let id = get("/computeMetadata/v1/instance/service-accounts/default/identity?audience=https://x.test&format=full");
    let claims = jwt::claims(&id.body).unwrap();
    assert_eq!((&claims["aud"], &claims["exp"]), (&"https://x.test".into(), &(NOW + 3600).into()));
    assert!(id.body.ends_with(&format!(".{}", placeholder::GCP_SIGNATURE)));
    for (target, headers, status) in [
        ("/computeMetadata/v1/project/project-id", &[][..], 403),
        ("/computeMetadata/v1/project/project-id", &[flavor, ("x-forwarded-for", "1.2.3.4")], 403),
        ("/computeMetadata/v1/instance/service-accounts/other/token", &[flavor], 404),
        ("/computeMetadata/v1/instance/service-accounts/default/keys", &[flavor], 404),
        ("/computeMetadata/v1/instance/service-accounts/default/identity", &[flavor], 400),
        ("/computeMetadata/v1/instance/attributes/ssh-keys", &[flavor], 404),
    ] {
        assert_eq!(ask(Stub::GcpMetadata, "GET", target, headers, None).status.as_u16(), status, "{target}");
    }
    assert_eq!(ask(Stub::GcpMetadata, "POST", "/", &[flavor], None).status.as_u16(), 405);
}

#[test]
fn a_managed_identity_of_azure() {
    let path = "/metadata/identity/oauth2/token";
    let whole = format!("{path}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net");
    let token = json(&ask(Stub::AzureMetadata, "GET", &whole, &[("Metadata", "true")], None));
    assert_eq!((&token["expires_in"], &token["expires_on"]), (&"3600".into(), &(NOW + 3600).to_string().into()));
    let access = token["access_token"].as_str().unwrap();
    assert_eq!(jwt::claims(access).unwrap()["aud"], "https://vault.azure.net");
    assert!(access.ends_with(placeholder::AZURE_SIGNATURE));
    for (target, headers) in [
        (whole.as_str(), &[][..]),
        (&whole, &[("metadata", "true"), ("x-forwarded-for", "1.2.3.4")]),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01", &[("metadata", "true")]),
        ("/metadata/identity/oauth2/token?resource=x", &[("metadata", "true")]),
    ] {
        let refused = ask(Stub::AzureMetadata, "GET", target, headers, None);
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{target}");
        assert!(refused.body.contains("invalid_request"));
    }
}

#[test]
fn the_login_of_azure() {
    let get = |target: &str| ask(Stub::AzureLogin, "GET", target, &[], None);
    let endpoint = "https%3A%2F%2Flogin.microsoftonline.com%2Facme%2Foauth2%2Fv2.0%2Fauthorize";
    let clouds = json(&get(&format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}")));
    let tenant = "https://login.microsoftonline.com/acme";
    assert_eq!(clouds["tenant_discovery_endpoint"], format!("{tenant}/v2.0/.well-known/openid-configuration"));
    let endpoints = json(&get("/acme/v2.0/.well-known/openid-configuration"));
    assert_eq!(endpoints["token_endpoint"], format!("{tenant}/oauth2/v2.0/token"));
    assert_eq!(endpoints["issuer"], format!("{tenant}/v2.0"));
    let post = |path: &str, form: &str| ask(Stub::AzureLogin, "POST", path, &[], Some(form));
    let form =
        "grant_type=client_credentials&client_id=me&client_assertion=x&scope=https%3A%2F%2Fvault.azure.net%2F.default";
    let token = json(&post("/acme/oauth2/v2.0/token", form));
    assert_eq!((&token["expires_in"], &token["token_type"]), (&3600.into(), &"Bearer".into()));
    let claims = jwt::claims(token["access_token"].as_str().unwrap()).unwrap();
    assert_eq!((&claims["aud"], &claims["tid"]), (&"https://vault.azure.net".into(), &"acme".into()));
    let first = json(&post("/acme/oauth2/token", "grant_type=client_credentials&resource=x"));
    assert_eq!(first["expires_on"], (NOW + 3600).to_string());
    assert_eq!(post("/acme/oauth2/v2.0/token", "grant_type=client_credentials").status, StatusCode::BAD_REQUEST);
    assert_eq!(post("/a%22b/oauth2/v2.0/token", form).status, StatusCode::NOT_FOUND);
    assert_eq!(post("/acme/oauth2/v2.0/devicecode", form).status, StatusCode::NOT_FOUND);
}

#[test]
fn any_token_endpoint() {
    let post = |form: &str| ask(Stub::OauthToken, "POST", "/token", &[], Some(form));
    let plain = json(&post("grant_type=client_credentials&scope=a+b"));
    assert_eq!((&plain["access_token"], &plain["scope"]), (&placeholder::OAUTH_ACCESS.into(), &"a b".into()));
    assert!(plain.get("refresh_token").is_none());
    let renewed = json(&post("grant_type=refresh_token&refresh_token=x"));
    assert_eq!(renewed["refresh_token"], placeholder::OAUTH_REFRESH);
    let bearer = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    assert!(json(&post(&format!("{bearer}a.b.c"))).get("id_token").is_none());
    let assertion = jwt::unsigned(&serde_json::json!({ "target_audience": "https://x.test" }), "s");
    let id = json(&post(&format!("{bearer}{assertion}")));
    assert_eq!(jwt::claims(id["id_token"].as_str().unwrap()).unwrap()["aud"], "https://x.test");
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=x";
    let exchanged = json(&post(&format!("{exchange}&subject_token_type=y")));
    assert_eq!(exchanged["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    for (form, error) in [
        ("", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=refresh_token", "invalid_request"),
        (bearer, "invalid_request"),
        (exchange, "invalid_request"),
        ("grant_type=client_credentials&grant_type=refresh_token", "invalid_request"),
    ] {
        let refused = post(form);
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.body.contains(&format!("\"{error}\"")), "{form}: {}", refused.body);
    }
    assert_eq!(ask(Stub::OauthToken, "GET", "/token", &[], None).status, StatusCode::METHOD_NOT_ALLOWED);
    let json = ask(Stub::OauthToken, "POST", "/token", &[("content-type", "application/json")], None);
    assert_eq!(json.status, StatusCode::BAD_REQUEST);
}
