//! The instance metadata service of EC2, version 2: a session's token first, then the role's keys.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>

use http::{Method, StatusCode};
use serde_json::json;

use super::Asked;
use super::aws::{ACCOUNT, ROLE, keys};
use super::reply::{Reply, moment};
use crate::model::placeholder::AWS_METADATA;

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";

/// A session lasts six hours at most.
const LONGEST: u32 = 21_600;

/// Where the instance seems to be; clients that care are told elsewhere (`AWS_REGION`).
const REGION: &str = "us-east-1";
const INSTANCE: &str = "i-00000000000000000";

pub(super) fn answer(asked: &Asked<'_>) -> Reply {
    if asked.is_relayed() {
        return Reply::refuse(StatusCode::FORBIDDEN, "a session is not opened for what was relayed");
    }
    if asked.path == "/latest/api/token" {
        return session(asked);
    }
    if *asked.method != Method::GET {
        return Reply::method();
    }
    if asked.header(TOKEN) != Some(AWS_METADATA) {
        return Reply::refuse(StatusCode::UNAUTHORIZED, "a session's token is missing: this is IMDSv2");
    }
    let Some(path) = asked.path.strip_prefix("/latest/") else { return Reply::unknown() };
    match path {
        "meta-data/iam/security-credentials" | "meta-data/iam/security-credentials/" => Reply::text(ROLE),
        "meta-data/iam/security-credentials/nexus-sidecar" => {
            let mut role = keys(asked);
            role["Code"] = "Success".into();
            role["Type"] = "AWS-HMAC".into();
            role["LastUpdated"] = moment(asked.now).into();
            Reply::json(&role)
        }
        "meta-data/iam/info" => Reply::json(&json!({
            "Code": "Success",
            "LastUpdated": moment(asked.now),
            "InstanceProfileArn": format!("arn:aws:iam::{ACCOUNT}:instance-profile/{ROLE}"),
            "InstanceProfileId": "AIPA0000000000000000",
        })),
        "meta-data/instance-id" => Reply::text(INSTANCE),
        "meta-data/placement/region" => Reply::text(REGION),
        "meta-data/placement/availability-zone" => Reply::text(format!("{REGION}a")),
        "dynamic/instance-identity/document" => Reply::json(&json!({
            "accountId": ACCOUNT,
            "availabilityZone": format!("{REGION}a"),
            "instanceId": INSTANCE,
            "region": REGION,
            "version": "2017-09-30",
        })),
        _ => Reply::unknown(),
    }
}

fn session(asked: &Asked<'_>) -> Reply {
    if *asked.method != Method::PUT {
        return Reply::method();
    }
    let ttl = asked.header(TTL).and_then(|ttl| ttl.parse::<u32>().ok()).filter(|ttl| (1..=LONGEST).contains(ttl));
    match ttl {
        Some(ttl) => Reply::text(AWS_METADATA).with(TTL, &ttl.to_string()),
        None => Reply::refuse(StatusCode::BAD_REQUEST, "a session says for how many seconds it is: 1 to 21600"),
    }
}
