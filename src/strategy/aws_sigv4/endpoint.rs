//! What the name of an AWS endpoint says about service and region.

use crate::model::Host;

/// The zones of AWS (General Reference, "AWS service endpoints").
const ZONES: [&str; 7] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".api.aws",
    ".api.amazonwebservices.com.cn",
    ".on.aws",
    ".aws.dev",
];

/// Endpoints that sign under a name that none of their labels begins with: last label, or last
/// two, and signing name.
const SIGNING_NAMES: [(&str, &str); 20] = [
    ("agreement-marketplace", "aws-marketplace"),
    ("appstream2", "appstream"),
    ("cloudhsmv2", "cloudhsm"),
    ("contact-lens", "connect"),
    ("data-servicediscovery", "servicediscovery"),
    ("data.iotevents", "ioteventsdata"),
    ("ddb", "dynamodb"),
    ("email", "ses"),
    ("git-codecommit", "codecommit"),
    ("iot", "iotdata"),
    ("iot", "iotdevicegateway"),
    ("jobs.iot", "iot-jobs-data"),
    ("marketplace", "aws-marketplace"),
    ("models-v2-lex", "lex"),
    ("oidc", "sso-oauth"),
    ("participant.connect", "execute-api"),
    ("pinpoint", "mobiletargeting"),
    ("queue", "sqs"),
    ("runtime-v2-lex", "lex"),
    ("transcribestreaming", "transcribe"),
];

/// Says why a host contradicts the service or region that a client signed for (`None` is not
/// compared). A host outside AWS says nothing, and an endpoint without a region (`sts`, `iam`,
/// `bucket.s3`) is served from any.
pub(super) fn agrees(host: &Host, service: Option<&str>, region: Option<&str>) -> Result<(), String> {
    let Some(endpoint) = host.name().and_then(Endpoint::read) else { return Ok(()) };
    match service {
        Some(service) if !endpoint.serves(service) => {
            return Err(format!("the request is signed for the AWS service {service}, which {host} is not"));
        }
        _ => {}
    }
    match (region, &endpoint.region) {
        (Some(asked), Some(own)) if asked != *own => {
            Err(format!("the request is signed for the AWS region {asked}, and {host} is in {own}"))
        }
        _ => Ok(()),
    }
}

/// A host of AWS, read from its end: what stands to the left of the service (a bucket, an
/// account, an API's id) is the customer's to choose and may look like anything.
struct Endpoint<'a> {
    labels: Vec<&'a str>,
    region: Option<&'a str>,
}

impl<'a> Endpoint<'a> {
    fn read(host: &'a str) -> Option<Self> {
        let rest = ZONES.iter().find_map(|zone| host.strip_suffix(zone))?;
        let mut labels: Vec<&str> = rest.split('.').collect();
        let mut region = None;
        labels.pop_if(|last| *last == "vpce");
        if let [.., before, service] = labels[..] {
            if is_region(service) {
                region = labels.pop();
            } else if is_region(before) && service != "s3" {
                // The older order: `search-x.us-east-1.es`, `us-east-1.queue`. S3 never had it,
                // and a bucket may be called like a region.
                region = Some(before);
                labels = vec![service];
            }
        }
        labels.pop_if(|last| *last == "dualstack");
        if let Some(last) = labels.last_mut() {
            // `s3-eu-west-1`, S3's first way to name a region.
            if let Some(own) = last.strip_prefix("s3-").filter(|own| is_region(own)) {
                region = region.or(Some(own));
                *last = "s3";
            }
        }
        Some(Self { labels, region })
    }

    fn serves(&self, service: &str) -> bool {
        let Some(last) = self.labels.last() else { return false };
        let last = last.strip_suffix("-fips").unwrap_or(last);
        let two = match self.labels[..] {
            [.., before, _] => format!("{before}.{last}"),
            _ => String::new(),
        };
        let known = |label: &str| SIGNING_NAMES.iter().any(|row| row.0 == label && row.1 == service);
        // `s3-control` and `s3-accelerate` sign as `s3`, `bedrock-runtime` as `bedrock`.
        let family = last.strip_prefix(service).is_some_and(|rest| rest.starts_with('-'));
        last == service || family || known(last) || known(&two)
    }
}

/// `eu-west-1`, `us-gov-east-1`, `ap-southeast-5`: two letters, words, a number.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let [area, words @ .., number] = &parts[..] else { return false };
    let letters = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let numbered = number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty();
    (2..=4).contains(&area.len()) && letters(area) && !words.is_empty() && words.iter().all(letters) && numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, service: &str, region: &str) -> bool {
        agrees(&Host::parse(host).unwrap(), Some(service), Some(region)).is_ok()
    }

    #[test]
    fn hosts_that_agree() {
        for (host, service, region) in [
            ("s3.amazonaws.com", "s3", "us-east-1"),
            ("s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("a.b.s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3-eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3-accelerate.amazonaws.com", "s3", "ap-south-1"),
            ("bucket.s3.amazonaws.com", "s3", "ap-south-1"),
            ("s3-fips.us-gov-west-1.amazonaws.com", "s3", "us-gov-west-1"),
            ("1.s3-control.us-east-1.amazonaws.com", "s3", "us-east-1"),
            ("dynamodb.us-east-1.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("dynamodb.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("123456789012.ddb.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("streams.dynamodb.us-east-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("sts.amazonaws.com", "sts", "us-east-1"),
            ("sts.eu-central-1.amazonaws.com", "sts", "eu-central-1"),
            ("iam.amazonaws.com", "iam", "us-east-1"),
            ("email.eu-west-1.amazonaws.com", "ses", "eu-west-1"),
            ("monitoring.us-east-1.amazonaws.com", "monitoring", "us-east-1"),
            ("x1.execute-api.us-east-1.amazonaws.com", "execute-api", "us-east-1"),
            ("bedrock-runtime.us-east-1.amazonaws.com", "bedrock", "us-east-1"),
            ("search-x.us-east-1.es.amazonaws.com", "es", "us-east-1"),
            ("eu-west-1.queue.amazonaws.com", "sqs", "eu-west-1"),
            ("us-east-1.s3.amazonaws.com", "s3", "eu-west-1"),
            ("x-ats.iot.eu-west-1.amazonaws.com", "iotdata", "eu-west-1"),
            ("metering.marketplace.us-east-1.amazonaws.com", "aws-marketplace", "us-east-1"),
            ("data.jobs.iot.us-east-1.amazonaws.com", "iot-jobs-data", "us-east-1"),
            ("vpce-1.s3.us-east-1.vpce.amazonaws.com", "s3", "us-east-1"),
            ("s3.cn-north-1.amazonaws.com.cn", "s3", "cn-north-1"),
            ("x.lambda-url.us-east-1.on.aws", "lambda", "us-east-1"),
            ("api.ecr.us-east-1.amazonaws.com", "ecr", "us-east-1"),
            ("runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker", "us-east-1"),
            ("minio.example.com", "s3", "anywhere"),
            ("127.0.0.1", "s3", "anywhere"),
        ] {
            assert!(check(host, service, region), "{host} {service} {region}");
        }
    }

    #[test]
    fn hosts_that_contradict() {
        for (host, service, region) in [
            ("s3.eu-west-1.amazonaws.com", "s3", "us-east-1"),
            ("s3.eu-west-1.amazonaws.com", "dynamodb", "eu-west-1"),
            ("dynamodb.us-east-1.s3.eu-west-1.amazonaws.com", "dynamodb", "us-east-1"),
            ("dynamodb.us-east-1.s3.eu-west-1.amazonaws.com", "dynamodb", "eu-west-1"),
            ("bucket.s3-eu-west-1.amazonaws.com", "s3", "us-east-1"),
            ("sts.amazonaws.com", "iam", "us-east-1"),
            ("eu-west-1.queue.amazonaws.com", "sqs", "us-east-1"),
            ("s3.cn-north-1.amazonaws.com.cn", "s3", "us-east-1"),
            ("rds.us-east-1.amazonaws.com", "rd", "us-east-1"),
        ] {
            assert!(!check(host, service, region), "{host} {service} {region}");
        }
        let host = Host::parse("s3.eu-west-1.amazonaws.com").unwrap();
        assert!(agrees(&host, None, Some("eu-west-1")).is_ok() && agrees(&host, Some("s3"), None).is_ok());
    }
}
