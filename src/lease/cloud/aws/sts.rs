//! The token service: sessions of roles. <https://docs.aws.amazon.com/STS/latest/APIReference/>

use std::path::Path;

use super::super::calls::{Form, Trouble, file, unexpected};
use super::session::Session;
use super::{AwsFetch, Keys, xml};
use crate::config::{AssumeRole, mounted_line};
use crate::dial::{Answer, Call};
use crate::model::{Fields, Secret, Url};
use crate::sign::{PayloadHash, SigV4Request, SigV4Settings, sign};

const VERSION: &str = "2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded";

impl AwsFetch {
    /// `AssumeRole`, signed with the keys that the session is made over.
    pub(super) async fn assume(&self, role: &AssumeRole, session: &Session, keys: &Fields) -> Result<Keys, Trouble> {
        let form = asked("AssumeRole", &role.role_arn, session);
        let form = match &role.external_id {
            Some(id) => form.with("ExternalId", id),
            None => form,
        };
        let own = [("agent", session.agent.as_str()), ("connection", session.connection.as_str())];
        let tags = own.into_iter().chain(role.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let form = tags.enumerate().fold(form, |form, (index, (key, value))| {
            let member = format!("Tags.member.{}", index + 1);
            form.with(&format!("{member}.Key"), key).with(&format!("{member}.Value"), value)
        });
        let url = self.sts()?;
        let answer = self.calls.call(self.signed(&url, form.body(), keys)?).await?;
        self.read("AssumeRole", &answer)
    }

    /// `AssumeRoleWithWebIdentity`, which nobody signs: the token says who asks.
    pub(super) async fn with_token(&self, path: &Path, role: &str, session: &Session) -> Result<Keys, Trouble> {
        let token = file(path, mounted_line).await?;
        let form = asked("AssumeRoleWithWebIdentity", role, session);
        let form = form.with("WebIdentityToken", token.expose_str().unwrap_or_default());
        let answer = self.calls.call(Call::post(self.sts()?, FORM, form.body())).await?;
        self.read("AssumeRoleWithWebIdentity", &answer)
    }

    /// The service of the region: the global one is slower, and gives tokens that fewer regions take.
    fn sts(&self) -> Result<Url, Trouble> {
        if let Some(url) = &self.source.sts_url {
            return Ok(url.clone());
        }
        let region = self.source.region.as_deref().ok_or_else(|| Trouble::unusable("the source says no `region`"))?;
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        Url::parse(&format!("https://sts.{region}.amazonaws.com{china}/"))
            .map_err(|error| Trouble::Unusable(error.to_string()))
    }

    fn signed(&self, url: &Url, body: Secret, keys: &Fields) -> Result<Call, Trouble> {
        let region = self.source.region.as_deref().unwrap_or("us-east-1");
        let host = url.destination().authority();
        let headers: [(&str, &[u8]); 2] = [("content-type", FORM.as_bytes()), ("host", host.as_bytes())];
        let payload = PayloadHash::of(body.expose());
        let request = SigV4Request {
            method: "POST",
            path: url.target().path(),
            query: None,
            headers: &headers,
            payload: &payload,
        };
        let signed = sign(&request, &SigV4Settings::new("sts", region), keys, self.calls.now());
        let signed = signed.map_err(|error| Trouble::Unusable(format!("AssumeRole cannot be signed: {error}")))?;
        let call = Call::post(url.clone(), FORM, body);
        Ok(signed.into_iter().fold(call, |call, (name, value)| call.header(name, value)))
    }

    fn read(&self, action: &str, answer: &Answer) -> Result<Keys, Trouble> {
        let texts = answer.body.expose_str().and_then(xml::texts);
        if !answer.status.is_success() {
            let code = texts.as_ref().and_then(|texts| texts.get("ErrorResponse/Error/Code"));
            return Err(refused(action, answer, code.map(|code| code.as_str())));
        }
        let texts = texts.ok_or_else(|| Trouble::Unusable(format!("what {action} answers is no XML of its kind")))?;
        let needed = |name: &str| {
            let text = texts.get(&format!("{action}Response/{action}Result/Credentials/{name}"));
            text.filter(|text| !text.is_empty()).ok_or_else(|| Trouble::Unusable(format!("{action} gives no {name}")))
        };
        let secret = |name: &str| Ok::<_, Trouble>(Secret::new(needed(name)?.as_bytes()));
        let keys = Keys::new(secret("AccessKeyId")?, secret("SecretAccessKey")?, Some(secret("SessionToken")?));
        Ok(keys.until(self.calls.until(needed("Expiration")?)?))
    }
}

/// What both calls say.
fn asked(action: &str, role: &str, session: &Session) -> Form {
    let form = Form::default()
        .with("Action", action)
        .with("Version", VERSION)
        .with("RoleArn", role)
        .with("RoleSessionName", &session.name)
        .with("DurationSeconds", &session.duration.as_secs().to_string());
    match &session.policy {
        Some(policy) => form.with("Policy", policy),
        None => form,
    }
}

/// What a refusal means, by its code.
fn refused(action: &str, answer: &Answer, code: Option<&str>) -> Trouble {
    let good = |code: &&str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let Some(code) = code.filter(good) else { return unexpected(action, answer.status, None) };
    let say =
        |advice: &str| Trouble::Unusable(format!("{action} answers {} ({code}): {advice}", answer.status.as_u16()));
    match code {
        "Throttling" | "ThrottlingException" | "IDPCommunicationError" | "RequestLimitExceeded" => {
            Trouble::Unavailable(format!("{action} answers {} ({code})", answer.status.as_u16()))
        }
        "AccessDenied" => say("the role's trust policy has to allow it, sts:TagSession for AssumeRole included"),
        "ExpiredToken" | "ExpiredTokenException" => say("the credentials or the token that it was shown have expired"),
        "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
            say("look at the source's key, and the clock of this machine")
        }
        "InvalidIdentityToken" | "IDPRejectedClaim" => say("look at the token file and the role's identity provider"),
        "MalformedPolicyDocument" | "PackedPolicyTooLarge" => say("look at `session_policy`, of the rule too"),
        "ValidationError" => say("look at the role, its longest session and `duration`"),
        _ => unexpected(action, answer.status, Some(code)),
    }
}
