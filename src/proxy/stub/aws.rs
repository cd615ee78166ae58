//! Credentials as a container of AWS gets them: an ECS task from its agent, an EKS pod from its.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use http::Method;
use serde_json::{Value, json};

use super::Asked;
use super::reply::{Reply, moment};
use crate::model::placeholder::{AWS_KEY, AWS_SECRET, AWS_SESSION};

/// The account and the role that callers of stubs seem to have.
pub(super) const ACCOUNT: &str = "000000000000";
pub(super) const ROLE: &str = "nexus-sidecar";

/// Where a path stands is the platform's and the client's business: each gets the same.
pub(super) fn container(asked: &Asked<'_>) -> Reply {
    if *asked.method != Method::GET {
        return Reply::method();
    }
    let mut answer = keys(asked);
    answer["RoleArn"] = format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}").into();
    Reply::json(&answer)
}

/// A temporary key, as metadata services name its parts.
pub(super) fn keys(asked: &Asked<'_>) -> Value {
    json!({
        "AccessKeyId": AWS_KEY,
        "SecretAccessKey": AWS_SECRET,
        "Token": AWS_SESSION,
        "Expiration": moment(asked.end()),
    })
}
