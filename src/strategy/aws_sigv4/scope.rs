//! Service and region: the connection's, or those of the client's own placeholder signature.

use http::header::AUTHORIZATION;

use super::{Setting, endpoint};
use crate::lease::Lease;
use crate::model::{Cause, Code, Refusal};
use crate::strategy::Head;

const DEFAULT_REGION: &str = "us-east-1";

/// The scope that a client signed for.
#[derive(Debug, PartialEq, Eq)]
struct Scope {
    service: String,
    region: String,
}

/// Chooses service and region. What a client chose must agree with the host and lie within what
/// the connection allows.
pub(super) fn choose(setting: Setting<'_>, lease: &Lease, head: &Head<'_>) -> Result<(String, String), Refusal> {
    if let (Some(service), Some(region)) = (setting.service, setting.region) {
        return Ok((service.to_owned(), region.to_owned()));
    }
    let asked = asked(head)?;
    let terms = lease.grant().terms();
    let denied = |why| Refusal::new(Code::PolicyDenied, why).with_rule(&**terms.rule()).with_cause(Cause::Signature);
    if let Some(asked) = &asked {
        let service = setting.service.is_none().then_some(asked.service.as_str());
        let region = setting.region.is_none().then_some(asked.region.as_str());
        endpoint::agrees(terms.destination().host(), service, region).map_err(denied)?;
    }
    let (service, region) = asked.map_or((None, None), |asked| (Some(asked.service), Some(asked.region)));
    let service = match (setting.service, service) {
        (Some(fixed), _) => fixed.to_owned(),
        (None, Some(asked)) => allowed("service", asked, setting.allowed_services).map_err(denied)?,
        (None, None) => {
            let name = lease.grant().connection();
            let message = format!(
                "the connection {name} names no service, and the request carries no AWS signature to take one from"
            );
            return Err(Refusal::new(Code::CredentialUnusable, message));
        }
    };
    let region = match setting.region {
        Some(fixed) => fixed.to_owned(),
        None => {
            let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
            allowed("region", region, setting.allowed_regions).map_err(denied)?
        }
    };
    Ok((service, region))
}

fn allowed(what: &str, name: String, list: &[String]) -> Result<String, String> {
    if list.is_empty() || list.contains(&name) {
        return Ok(name);
    }
    Err(format!("the connection does not allow the AWS {what} {name}"))
}

/// Reads the scope of the client's signature, in `Authorization` or in the query.
fn asked(head: &Head<'_>) -> Result<Option<Scope>, Refusal> {
    for value in head.headers.get_all(AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let Some((algorithm, parameters)) = text.split_once(' ') else { continue };
        if signs(algorithm)? {
            let mut parameters =
                parameters.split(',').filter_map(|parameter| parameter.trim().strip_prefix("Credential="));
            return readable(parameters.next()).map(Some);
        }
    }
    let Some(query) = head.query else { return Ok(None) };
    let find = |name: &str| query.pairs().find(|pair| pair.0 == name).map(|pair| pair.1.into_owned());
    match find("X-Amz-Algorithm") {
        Some(algorithm) if signs(&algorithm)? => readable(find("X-Amz-Credential").as_deref()).map(Some),
        _ => Ok(None),
    }
}

/// Tells whether this is our algorithm; the asymmetric one signs for a set of regions, with a
/// key of another kind.
fn signs(algorithm: &str) -> Result<bool, Refusal> {
    if algorithm.starts_with("AWS4-ECDSA-") {
        return Err(Refusal::new(Code::NotSupported, "requests signed with AWS SigV4A cannot be signed again yet"));
    }
    Ok(algorithm == "AWS4-HMAC-SHA256")
}

fn readable(credential: Option<&str>) -> Result<Scope, Refusal> {
    credential.and_then(Scope::read).ok_or_else(|| {
        Refusal::new(Code::InvalidRequest, "the request's AWS signature has no scope of date, region and service")
    })
}

impl Scope {
    /// Reads `KEY/20260101/region/service/aws4_request`, from its end, since a placeholder key
    /// may hold anything.
    fn read(credential: &str) -> Option<Self> {
        let mut parts = credential.trim().rsplit('/');
        let last = parts.next()?;
        let (service, region, date) = (parts.next()?, parts.next()?, parts.next()?);
        let good = |name: &str| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        let whole = parts.next().is_some() && last == "aws4_request" && dated && good(service) && good(region);
        whole.then(|| Self { service: service.to_owned(), region: region.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::model::Query;

    fn ask(authorization: Option<&str>, query: Option<&str>) -> Result<Option<(String, String)>, Code> {
        let mut headers = HeaderMap::new();
        authorization.into_iter().for_each(|value| {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        });
        let query = query.map(Query::new);
        let head = Head { headers: &headers, query: query.as_ref(), content_length: None };
        match asked(&head) {
            Ok(scope) => Ok(scope.map(|scope| (scope.service, scope.region))),
            Err(refusal) => Err(refusal.code()),
        }
    }

    #[test]
    fn a_scope_is_read_from_the_header_or_the_query() {
        let s3 = Ok(Some(("s3".to_owned(), "eu-west-1".to_owned())));
        let credential = "Credential=AKIA/20260101/eu-west-1/s3/aws4_request";
        for authorization in [
            format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"),
            format!("AWS4-HMAC-SHA256 SignedHeaders=host,{credential},Signature=0"),
            "AWS4-HMAC-SHA256 Credential=a/b/20260101/eu-west-1/s3/aws4_request".to_owned(),
        ] {
            assert_eq!(ask(Some(&authorization), None), s3, "{authorization}");
        }
        let query =
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&x=1&X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request";
        assert_eq!(ask(None, Some(query)), s3);
        assert_eq!(ask(Some("Bearer x"), Some(query)), s3);
    }

    #[test]
    fn what_is_no_signature_and_what_is_a_broken_one() {
        for authorization in [None, Some("Bearer x"), Some("AWS AKIA:x"), Some("Basic")] {
            assert_eq!(ask(authorization, Some("X-Amz-Credential=x")), Ok(None), "{authorization:?}");
        }
        for scope in [
            "",
            "AKIA",
            "20260101/eu-west-1/s3/aws4_request",
            "AKIA/20260101/eu-west-1/s3/aws5",
            "AKIA/2026/eu-west-1/s3/aws4_request",
            "AKIA/20260101/eu west/s3/aws4_request",
            "AKIA/20260101//s3/aws4_request",
        ] {
            let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
            assert_eq!(ask(Some(&authorization), None), Err(Code::InvalidRequest), "{scope}");
        }
        assert_eq!(ask(Some("AWS4-ECDSA-P256-SHA256 Credential=x"), None), Err(Code::NotSupported));
        assert_eq!(ask(None, Some("X-Amz-Algorithm=AWS4-HMAC-SHA256")), Err(Code::InvalidRequest));
    }
}
