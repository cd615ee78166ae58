//! Access tokens of Microsoft Entra ID: for a client, by the v2.0 endpoint
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>), or of the
//! machine's managed identity.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, json};

use super::calls::{Calls, Form, Trouble, below, file, scope, token, unexpected};
use super::reply::Reply;
use crate::config::{AzureConnection, AzureIdentity, AzureProof, AzureSource, mounted_line, secret_file, secret_line};
use crate::dial::{Answer, Call};
use crate::lease::{Ask, Asked, Fetch, Fetched};
use crate::model::{Fields, Secret, Url, encode_form};
use crate::sign::jwt::{RsaAlgorithm, RsaSigner, thumbprint};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What an assertion lasts, in seconds.
const LIFE: i64 = 600;
/// The header by which the metadata service knows that nobody was led there.
const METADATA: HeaderName = HeaderName::from_static("metadata");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Asks Entra ID for tokens.
pub struct AzureFetch {
    source: AzureSource,
    calls: Calls,
}

impl AzureFetch {
    /// Asks as this identity.
    pub fn new(source: &AzureSource, calls: Calls) -> Self {
        Self { source: source.clone(), calls }
    }

    async fn mint(&self, place: &AzureConnection, ask: &Ask) -> Result<Fetched, Trouble> {
        let scope = place.narrowed(&scope(ask)).map_err(Trouble::Unusable)?.scope;
        let (what, answer) = match &self.source.identity {
            AzureIdentity::Client { url, tenant, client_id, proof } => {
                let url = below(url, &format!("/{tenant}/oauth2/v2.0/token"))?;
                ("Entra ID", self.as_client(&url, client_id, proof, &scope).await?)
            }
            AzureIdentity::Managed { url, client_id } => {
                ("the metadata service", self.of_machine(url, client_id.as_deref(), &scope).await?)
            }
        };
        if !answer.status.is_success() {
            return Err(refused(what, &answer));
        }
        let (token, end) = token(&self.calls, what, &answer)?;
        let mut fields = Fields::new();
        fields.insert("access_token", token);
        Ok(Fetched { fields, expires_at: Some(end), refreshable: true })
    }

    async fn as_client(&self, url: &Url, id: &str, proof: &AzureProof, scope: &str) -> Result<Answer, Trouble> {
        let form = Form::default().with("grant_type", "client_credentials").with("client_id", id).with("scope", scope);
        let shown = |form: Form, token: &Secret| {
            let form = form.with("client_assertion_type", ASSERTION);
            form.with("client_assertion", token.expose_str().unwrap_or_default())
        };
        let form = match proof {
            AzureProof::Secret(path) => {
                let secret = file(path, secret_line).await?;
                form.with("client_secret", secret.expose_str().unwrap_or_default())
            }
            AzureProof::Federated(path) => shown(form, &file(path, mounted_line).await?),
            AzureProof::Certificate { cert_file, key_file } => {
                let certificate = file(cert_file, |path| std::fs::read_to_string(path)).await?;
                let thumbprint = thumbprint(&certificate).ok_or_else(|| {
                    Trouble::Unusable(format!("{} holds no certificate in PEM form", cert_file.display()))
                })?;
                let key = file(key_file, secret_file).await?;
                let signed = self.assertion(url, id, &thumbprint, &key);
                shown(form, &signed.map_err(|why| Trouble::Unusable(format!("{}: {why}", key_file.display())))?)
            }
        };
        self.calls.post_form(url, &form).await
    }

    /// <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>
    fn assertion(&self, url: &Url, id: &str, thumbprint: &str, key: &Secret) -> Result<Secret, String> {
        let signer = RsaSigner::from_pem(key).map_err(|error| error.to_string())?;
        let random = SystemRandom::new();
        let mut once = [0; 16];
        random.fill(&mut once).map_err(|_| "the system gives no random bytes".to_owned())?;
        let now = self.calls.unix();
        let mut header = Map::new();
        header.insert("x5t#S256".to_owned(), thumbprint.into());
        let claims = json!({
            "aud": format!("{}{}", url.destination(), url.target()),
            "iss": id, "sub": id, "jti": hex::encode(once), "iat": now, "nbf": now, "exp": now + LIFE,
        });
        let claims = claims.as_object().cloned().unwrap_or_default();
        signer.sign(RsaAlgorithm::Ps256, &header, &claims, &random).map_err(|error| error.to_string())
    }

    async fn of_machine(&self, url: &Url, id: Option<&str>, scope: &str) -> Result<Answer, Trouble> {
        // The service knows resources, which a scope of all of theirs names.
        let resource = encode_form(scope.strip_suffix("/.default").unwrap_or(scope));
        let client = id.map(|id| format!("&client_id={id}")).unwrap_or_default();
        let path = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}{client}");
        self.calls.call(Call::get(below(url, &path)?).header(METADATA, TRUE)).await
    }
}

/// What a refusal means, with the code that the documents explain.
fn refused(what: &str, answer: &Answer) -> Trouble {
    let reply = Reply::parse(&answer.body);
    let said = reply.as_ref().and_then(|reply| reply.text("error_description")).unwrap_or_default();
    let code: String = said.chars().take_while(char::is_ascii_alphanumeric).collect();
    let is_code = code
        .strip_prefix("AADSTS")
        .is_some_and(|digits| (1..=12).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()));
    let word = reply.as_ref().and_then(|reply| reply.word("error"));
    let words = [word, is_code.then_some(code.as_str())];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    unexpected(what, answer.status, (!words.is_empty()).then(|| words.join(", ")).as_deref())
}

impl Fetch for AzureFetch {
    type Place = AzureConnection;

    fn fetch<'a>(&'a self, place: &'a AzureConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async { self.mint(place, ask).await.map_err(|trouble| trouble.of(&ask.connection)) })
    }

    fn narrows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
