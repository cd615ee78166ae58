//! Access tokens of Google Cloud: for a service account's key (RFC 7523,
//! <https://developers.google.com/identity/protocols/oauth2/service-account>), of the metadata server,
//! or for a token of another issuer (RFC 8693,
//! <https://cloud.google.com/iam/docs/workload-identity-federation-with-other-providers>).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, json};

use super::calls::{Calls, Form, Trouble, below, file, scope, token, unexpected};
use super::github_app::bearer;
use super::reply::Reply;
use crate::config::{
    GoogleConnection, GoogleIdentity, GoogleSource, GoogleSubject, SubjectFrom, WorkloadIdentity, mounted_line,
    secret_file,
};
use crate::dial::Call;
use crate::lease::{Ask, Asked, Fetch, Fetched};
use crate::model::{Fields, Host, Scheme, Secret, Url, encode_form};
use crate::sign::jwt::{RsaAlgorithm, RsaSigner};

const BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What the exchanged token is for, where a service account is then acted as.
const PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// What an assertion and what it is exchanged for last.
const HOUR: i64 = 3600;

/// The header by which the metadata server knows that nobody was led there, and is known itself.
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: HeaderValue = HeaderValue::from_static("Google");

/// Asks Google for tokens.
pub struct GoogleFetch {
    source: GoogleSource,
    calls: Calls,
}

type Token = (Secret, SystemTime);

impl GoogleFetch {
    /// Asks as this identity.
    pub fn new(source: &GoogleSource, calls: Calls) -> Self {
        Self { source: source.clone(), calls }
    }

    async fn mint(&self, place: &GoogleConnection, ask: &Ask) -> Result<Fetched, Trouble> {
        let scopes = place.narrowed(&scope(ask)).map_err(Trouble::Unusable)?.scopes;
        let (token, end) = match &self.source.identity {
            GoogleIdentity::ServiceAccount { file, token_url } => {
                self.for_key(file, token_url.as_ref(), &scopes).await?
            }
            GoogleIdentity::Metadata { url, account } => self.of_machine(url, account, &scopes).await?,
            GoogleIdentity::WorkloadIdentity(identity) => self.for_other(identity, &scopes).await?,
        };
        let mut fields = Fields::new();
        fields.insert("access_token", token);
        Ok(Fetched { fields, expires_at: Some(end), refreshable: true })
    }

    async fn for_key(&self, path: &Path, token_url: Option<&Url>, scopes: &BTreeSet<String>) -> Result<Token, Trouble> {
        let wrong = |why: &dyn std::fmt::Display| Trouble::Unusable(format!("{}: {why}", path.display()));
        let text = file(path, secret_file).await?;
        let key = Reply::parse(&text).ok_or_else(|| wrong(&"this is no JSON object"))?;
        let needed = |name: &str| key.text(name).ok_or_else(|| wrong(&format!("it has no {name}")));
        if needed("type")? != "service_account" {
            return Err(wrong(&"it is the key of no service account: `type` says something else"));
        }
        let email = needed("client_email")?;
        let url = match token_url {
            Some(url) => url.clone(),
            None => checked(needed("token_uri")?).ok_or_else(|| {
                wrong(&"its token_uri is not https on googleapis.com: say `token_url` in the source if it is meant")
            })?,
        };
        let audience = format!("{}{}", url.destination(), url.target());
        let signer = RsaSigner::from_pem(&Secret::new(needed("private_key")?)).map_err(|error| wrong(&error))?;
        let mut header = Map::new();
        if let Some(id) = key.text("private_key_id") {
            header.insert("kid".to_owned(), id.into());
        }
        let now = self.calls.unix();
        let claims = json!({
            "iss": email, "scope": joined(scopes, " "), "aud": audience, "iat": now, "exp": now + HOUR,
        });
        let claims = claims.as_object().cloned().unwrap_or_default();
        let assertion = signer.sign(RsaAlgorithm::Rs256, &header, &claims, &SystemRandom::new());
        let assertion = assertion.map_err(|error| wrong(&error))?;
        let form = Form::default().with("grant_type", BEARER_GRANT);
        let form = form.with("assertion", assertion.expose_str().unwrap_or_default());
        token(&self.calls, "the token endpoint", &self.calls.post_form(&url, &form).await?)
    }

    async fn of_machine(&self, url: &Url, account: &str, scopes: &BTreeSet<String>) -> Result<Token, Trouble> {
        let scopes = encode_form(&joined(scopes, ","));
        let path = format!("/computeMetadata/v1/instance/service-accounts/{account}/token?scopes={scopes}");
        let answer = self.calls.call(Call::get(below(url, &path)?).header(FLAVOR, GOOGLE)).await?;
        if answer.headers.get(FLAVOR) != Some(&GOOGLE) {
            return Err(Trouble::unusable("what answers there is not Google's metadata server"));
        }
        if answer.status == http::StatusCode::NOT_FOUND {
            return Err(Trouble::Unusable(format!("this machine has no service account {account}")));
        }
        token(&self.calls, "the metadata server", &answer)
    }

    async fn for_other(&self, identity: &WorkloadIdentity, scopes: &BTreeSet<String>) -> Result<Token, Trouble> {
        let subject = self.subject(&identity.subject).await?;
        let asked = if identity.impersonate.is_some() { PLATFORM.to_owned() } else { joined(scopes, " ") };
        let form = Form::default()
            .with("grant_type", EXCHANGE_GRANT)
            .with("audience", &identity.audience)
            .with("scope", &asked)
            .with("requested_token_type", ACCESS_TOKEN)
            .with("subject_token_type", &identity.subject_type)
            .with("subject_token", subject.expose_str().unwrap_or_default());
        let answer = self.calls.post_form(&identity.token_url, &form).await?;
        let exchanged = token(&self.calls, "the token exchange", &answer)?;
        match &identity.impersonate {
            None => Ok(exchanged),
            Some(account) => self.act_as(&identity.iam_url, account, scopes, &exchanged.0).await,
        }
    }

    async fn subject(&self, subject: &GoogleSubject) -> Result<Secret, Trouble> {
        let wrong = |why: &str| Trouble::Unusable(format!("the subject token {why}"));
        let text = match &subject.from {
            SubjectFrom::File(path) => match &subject.field {
                None => return file(path, mounted_line).await,
                Some(_) => file(path, secret_file).await?,
            },
            SubjectFrom::Url(url, headers) => {
                let mut call = Call::get(url.clone());
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                        call = call.header(name, value);
                    }
                }
                let answer = self.calls.call(call).await?;
                if !answer.status.is_success() {
                    return Err(unexpected("the url of the subject token", answer.status, None));
                }
                answer.body
            }
        };
        match &subject.field {
            None => text.line().ok_or_else(|| wrong("is not one line")),
            Some(field) => {
                let reply = Reply::parse(&text).ok_or_else(|| wrong("is in no JSON object"))?;
                reply.text(field).map(Secret::new).ok_or_else(|| wrong(&format!("has no field {field}")))
            }
        }
    }

    async fn act_as(
        &self,
        url: &Url,
        account: &str,
        scopes: &BTreeSet<String>,
        token: &Secret,
    ) -> Result<Token, Trouble> {
        let path = format!("/v1/projects/-/serviceAccounts/{account}:generateAccessToken");
        let body = json!({ "scope": scopes, "lifetime": format!("{HOUR}s") }).to_string();
        let call = Call::post(below(url, &path)?, "application/json", Secret::new(body));
        let answer = self.calls.call(call.header(AUTHORIZATION, bearer(token)?)).await?;
        if !answer.status.is_success() {
            return Err(unexpected(&format!("to act as {account}: IAM"), answer.status, None));
        }
        let missing = || Trouble::unusable("IAM gives no accessToken with an expireTime");
        let reply = Reply::parse(&answer.body).ok_or_else(missing)?;
        let end = reply.text("expireTime").ok_or_else(missing)?;
        Ok((Secret::new(reply.text("accessToken").ok_or_else(missing)?), self.calls.until(end)?))
    }
}

/// An address that came as data: it is called if it is Google's over TLS.
fn checked(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let Host::Name(name) = url.destination().host() else { return None };
    let is_google = &**name == "googleapis.com" || name.ends_with(".googleapis.com");
    let is_plain = url.destination().scheme() == Scheme::Https && url.destination().port() == 443;
    (is_google && is_plain).then_some(url)
}

fn joined(scopes: &BTreeSet<String>, between: &str) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(between)
}

impl Fetch for GoogleFetch {
    type Place = GoogleConnection;

    fn fetch<'a>(&'a self, place: &'a GoogleConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async { self.mint(place, ask).await.map_err(|trouble| trouble.of(&ask.connection)) })
    }

    fn narrows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
