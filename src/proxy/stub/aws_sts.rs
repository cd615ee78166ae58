//! AWS STS, of the calls by which an SDK becomes a role. The Query API: the action in a form or in
//! the query, the answer in XML.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html>

use http::{Method, StatusCode};

use super::aws::{ACCOUNT, ROLE};
use super::reply::{Reply, moment};
use super::{Asked, once};
use crate::model::Query;
use crate::model::placeholder::{AWS_KEY, AWS_SECRET, AWS_SESSION};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(super) fn answer(asked: &Asked<'_>) -> Reply {
    let items = match *asked.method {
        Method::POST => asked.form(),
        Method::GET => asked.query.cloned(),
        _ => return Reply::method(),
    };
    let Some(items) = items.filter(|_| asked.path == "/") else {
        return error("InvalidRequest", "a call of STS is a form or a query at /");
    };
    let action = once(&items, "Action").unwrap_or_default();
    match action.as_str() {
        "GetCallerIdentity" => {
            let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/agent");
            let result =
                format!("<Arn>{arn}</Arn><UserId>AROA0000000000000000:agent</UserId><Account>{ACCOUNT}</Account>");
            result_of(&action, &result)
        }
        "GetSessionToken" => result_of(&action, &credentials(asked)),
        "AssumeRole" => assume(asked, &items, &action, &["RoleArn", "RoleSessionName"]),
        "AssumeRoleWithWebIdentity" => {
            assume(asked, &items, &action, &["RoleArn", "RoleSessionName", "WebIdentityToken"])
        }
        _ => error("InvalidAction", "this stub does not answer this action"),
    }
}

fn assume(asked: &Asked<'_>, items: &Query, action: &str, needed: &[&str]) -> Reply {
    if needed.iter().any(|name| once(items, name).is_none_or(|value| value.is_empty())) {
        return error("ValidationError", "a parameter that the action needs is missing");
    }
    let role = once(items, "RoleArn").unwrap_or_default();
    let session = once(items, "RoleSessionName").unwrap_or_default();
    let Some((account, role)) = role.strip_prefix("arn:").and_then(named) else {
        return error("ValidationError", "RoleArn is not the ARN of a role");
    };
    let arn = escape(&format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"));
    let user = format!(
        "<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>AROA0000000000000000:{}</AssumedRoleId></AssumedRoleUser>",
        escape(&session)
    );
    result_of(action, &format!("{}{user}", credentials(asked)))
}

/// The account and the last name of `aws:iam::ACCOUNT:role/PATH/NAME`.
fn named(arn: &str) -> Option<(&str, &str)> {
    let (account, role) = arn.split_once(":iam::")?.1.split_once(":role/")?;
    Some((account, role.rsplit('/').next()?))
}

fn credentials(asked: &Asked<'_>) -> String {
    format!(
        "<Credentials><AccessKeyId>{AWS_KEY}</AccessKeyId><SecretAccessKey>{AWS_SECRET}</SecretAccessKey>\
         <SessionToken>{AWS_SESSION}</SessionToken><Expiration>{}</Expiration></Credentials>",
        moment(asked.end())
    )
}

fn result_of(action: &str, result: &str) -> Reply {
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ResponseMetadata></{action}Response>"
    );
    Reply::of(StatusCode::OK, "text/xml", body)
}

fn error(code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>nexus-sidecar: \
         {message}</Message></Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    );
    Reply::of(StatusCode::BAD_REQUEST, "text/xml", body)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
