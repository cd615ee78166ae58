//! The first keys: files, a profile, the container's endpoint, the instance's metadata service.

use std::path::Path;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::super::calls::{Calls, Trouble, below, file, unexpected};
use super::super::reply::Reply;
use super::{AwsFetch, Keys, profile};
use crate::config::{AwsBase, mounted_line, secret_file, secret_line};
use crate::dial::{Answer, Call};
use crate::model::{Secret, Url};

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>
const SESSION_LIFE: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"), HeaderValue::from_static("60"));
const SESSION: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

impl AwsFetch {
    /// The keys of a source that makes no session by itself.
    pub(super) async fn first(&self, base: &AwsBase) -> Result<Keys, Trouble> {
        match base {
            AwsBase::Static { access_key_file, secret_key_file, session_token_file } => {
                let access_key = file(access_key_file, secret_line).await?;
                let secret_key = file(secret_key_file, secret_line).await?;
                let session_token = match session_token_file {
                    Some(path) => Some(file(path, secret_line).await?),
                    None => None,
                };
                Ok(Keys::new(access_key, secret_key, session_token))
            }
            AwsBase::Profile { file: path, name } => {
                let text = file(path, secret_file).await?;
                let keys = profile::read(&text, name);
                keys.map_err(|why| Trouble::Unusable(format!("the profile {name} in {}: {why}", path.display())))
            }
            AwsBase::PodIdentity { url, token_file } => self.of_container(url, token_file.as_deref()).await,
            AwsBase::Imds { url } => self.of_instance(url).await,
            // It is asked by whoever knows the session.
            AwsBase::WebIdentity { .. } => Err(Trouble::unusable("a web identity has no keys of its own")),
        }
    }

    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
    async fn of_container(&self, url: &Url, token_file: Option<&Path>) -> Result<Keys, Trouble> {
        let mut call = Call::get(url.clone());
        if let Some(path) = token_file {
            let token = file(path, mounted_line).await?;
            let value = HeaderValue::from_bytes(token.expose());
            let mut value = value.map_err(|_| Trouble::Unusable(format!("{} holds no token", path.display())))?;
            value.set_sensitive(true);
            call = call.header(AUTHORIZATION, value);
        }
        let answer = self.calls.call(call).await?;
        keys(&self.calls, "the container's endpoint", &answer)
    }

    /// Version 2 alone: what answers without a session is not asked.
    async fn of_instance(&self, url: &Url) -> Result<Keys, Trouble> {
        const WHAT: &str = "the metadata service";
        let open = Call::new(Method::PUT, below(url, "/latest/api/token")?);
        let answer = self.calls.call(open.header(SESSION_LIFE.0, SESSION_LIFE.1)).await?;
        let session = succeeded(WHAT, &answer)?.line();
        let session = session.and_then(|line| HeaderValue::from_bytes(line.expose()).ok());
        let mut session = session.ok_or_else(|| Trouble::unusable("the metadata service gives no session (IMDSv2)"))?;
        session.set_sensitive(true);
        let get = |path: &str| Ok::<_, Trouble>(Call::get(below(url, path)?).header(SESSION, session.clone()));
        let answer = self.calls.call(get(ROLES)?).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Trouble::unusable("the instance has no role: give it an instance profile"));
        }
        let role = succeeded(WHAT, &answer)?.line();
        let role = role.as_ref().and_then(Secret::expose_str).filter(|role| is_role(role));
        let role = role.ok_or_else(|| Trouble::unusable("the metadata service names no role"))?;
        keys(&self.calls, WHAT, &self.calls.call(get(&format!("{ROLES}{role}"))?).await?)
    }
}

/// A role's name, which goes into a path.
fn is_role(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('.')
}

fn succeeded<'a>(what: &str, answer: &'a Answer) -> Result<&'a Secret, Trouble> {
    if answer.status == StatusCode::OK { Ok(&answer.body) } else { Err(unexpected(what, answer.status, None)) }
}

/// Keys as both services of a machine write them.
fn keys(calls: &Calls, what: &str, answer: &Answer) -> Result<Keys, Trouble> {
    let body = succeeded(what, answer)?;
    let reply =
        Reply::parse(body).ok_or_else(|| Trouble::Unusable(format!("what {what} answers is no JSON object")))?;
    if let Some(code) = reply.word("Code").filter(|code| *code != "Success") {
        return Err(Trouble::Unavailable(format!("{what} says {code}")));
    }
    let needed = |name: &str| reply.text(name).ok_or_else(|| Trouble::Unusable(format!("{what} gives no {name}")));
    let token = Some(Secret::new(needed("Token")?));
    let keys = Keys::new(Secret::new(needed("AccessKeyId")?), Secret::new(needed("SecretAccessKey")?), token);
    Ok(keys.until(calls.until(needed("Expiration")?)?))
}
