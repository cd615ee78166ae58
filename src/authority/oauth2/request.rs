//! What is sent: the crate's forms and client authentication, at the address that is ours.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use oauth2::basic::BasicClient;
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken, RevocationUrl, Scope,
    StandardRevocableToken, TokenUrl,
};
use zeroize::Zeroize;

use super::{ClientAuth, RefreshError, RevokeError, TokenEndpoint, TokenHint};
use crate::dial::{Answer, Call, CallError, Caller};
use crate::model::{Secret, Url};

/// Stands for every address towards the crate, which would spell ours anew and refuses cleartext
/// by itself: where a call goes is between [`Url`] and [`Caller`].
const ELSEWHERE: &str = "https://endpoint.invalid/";

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a refresh.
pub(super) async fn refresh(
    caller: &Caller,
    endpoint: &TokenEndpoint,
    refresh_token: &Secret,
) -> Result<Result<Answer, CallError>, RefreshError> {
    let unsendable = |what| RefreshError::Unsendable { what };
    let token = refresh_token.expose_str().ok_or(unsendable("the refresh token"))?;
    let token = RefreshToken::new(token.to_owned());
    let address = TokenUrl::new(ELSEWHERE.to_owned()).map_err(|_| unsendable("the address"))?;
    let client = client(endpoint).map_err(unsendable)?.set_token_uri(address);
    let scopes = endpoint.scopes.iter().cloned().map(Scope::new);
    let wire = Wire::new(caller, &endpoint.url);
    let send = wire.sender();
    // The answer is in the wire's hands; towards the crate every call fails.
    let _ = client.exchange_refresh_token(&token).add_scopes(scopes).request_async(&send).await;
    wire.heard().ok_or(unsendable("the request"))
}

/// Sends a revocation.
pub(super) async fn revoke(
    caller: &Caller,
    endpoint: &TokenEndpoint,
    token: &Secret,
    hint: TokenHint,
) -> Result<Result<Answer, CallError>, RevokeError> {
    let unsendable = |what| RevokeError::Unsendable { what };
    let Some(url) = &endpoint.revocation_url else { return Err(RevokeError::Undeclared) };
    let token = token.expose_str().ok_or(unsendable("the token"))?.to_owned();
    let token = match hint {
        TokenHint::Access => StandardRevocableToken::AccessToken(AccessToken::new(token)),
        TokenHint::Refresh => StandardRevocableToken::RefreshToken(RefreshToken::new(token)),
    };
    let address = RevocationUrl::new(ELSEWHERE.to_owned()).map_err(|_| unsendable("the address"))?;
    let client = client(endpoint).map_err(unsendable)?.set_revocation_url(address);
    let request = client.revoke_token(token).map_err(|_| unsendable("the address"))?;
    let wire = Wire::new(caller, url);
    let send = wire.sender();
    let _ = request.request_async(&send).await;
    wire.heard().ok_or(unsendable("the request"))
}

fn client(endpoint: &TokenEndpoint) -> Result<BasicClient, &'static str> {
    let client = BasicClient::new(ClientId::new(endpoint.client_id.clone()));
    let client = match endpoint.auth {
        ClientAuth::Basic => client.set_auth_type(AuthType::BasicAuth),
        ClientAuth::Post | ClientAuth::Public => client.set_auth_type(AuthType::RequestBody),
    };
    match (&endpoint.client_secret, endpoint.auth) {
        (Some(secret), ClientAuth::Basic | ClientAuth::Post) => {
            let secret = secret.expose_str().ok_or("the client secret")?;
            Ok(client.set_client_secret(ClientSecret::new(secret.to_owned())))
        }
        _ => Ok(client),
    }
}

/// Carries the crate's request, and keeps the answer from it.
///
/// It owns what it sends with: the crate asks for futures of any lifetime, which could not be sent
/// between threads if they borrowed.
#[derive(Clone)]
struct Wire {
    caller: Caller,
    url: Url,
    heard: Arc<Mutex<Option<Result<Answer, CallError>>>>,
}

type Sent = Pin<Box<dyn Future<Output = Result<HttpResponse, Kept>> + Send>>;

/// What the crate is told instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is read elsewhere")]
struct Kept;

impl Wire {
    fn new(caller: &Caller, url: &Url) -> Self {
        Self { caller: caller.clone(), url: url.clone(), heard: Arc::default() }
    }

    fn sender(&self) -> impl Fn(HttpRequest) -> Sent + use<> {
        let wire = self.clone();
        move |request| Box::pin(wire.clone().send(request))
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, Kept> {
        let (parts, mut body) = request.into_parts();
        let mut call = Call::post(self.url.clone(), FORM, Secret::new(body.as_slice()));
        body.zeroize();
        for (name, mut value) in parts.headers {
            if let Some(name) = name
                && name != http::header::CONTENT_TYPE
            {
                value.set_sensitive(name == http::header::AUTHORIZATION);
                call = call.header(name, value);
            }
        }
        let heard = self.caller.call(call).await;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
        Err(Kept)
    }

    fn heard(self) -> Option<Result<Answer, CallError>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
