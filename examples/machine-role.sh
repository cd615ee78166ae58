#!/bin/sh
# Lets one command read from S3 as if it ran on a machine with a role: its SDK asks the metadata
# service, which the sidecar plays, and the keys that it gets there are placeholders.
#
#   examples/machine-role.sh python3 -c 'import boto3; print(boto3.client("s3").list_buckets()["Buckets"])'
#
# The real keys are those of the AWS CLI's profile (AWS_PROFILE, if set): the sidecar runs
# `aws configure export-credentials` for them when it needs some, and the command sees none of it.
# A command of the same user can read ~/.aws as you can: against a hostile one, run it as another.
#
# Everything it makes (audit, log) is in a folder of its own and removed at the end.
# SIDECAR names another nexus-sidecar than the one in PATH.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT...]" >&2; exit 2; }
sidecar=${SIDECAR:-nexus-sidecar}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/nexus-sidecar.yaml" <<CONFIG
version: 1
sources: { cli: { command: { timeout: 30s } } }
connections:
  aws:
    source: cli
    provider: aws
    command: [aws, configure, export-credentials]
    environment: [AWS_PROFILE]
    format: json
    fields: { access_key: AccessKeyId, secret_key: SecretAccessKey, session_token: SessionToken }
    expires_at: Expiration
    ttl: 15m
audit: { dir: '$folder/audit' }
CONFIG

cat >"$folder/policy.yaml" <<POLICY
version: 1
rules:
  - { name: metadata, host: 169.254.169.254, path: /latest/**, action: stub, stub: aws-metadata }
  - use: aws/s3-read@1
POLICY

# Without the placeholders that run sets for AWS, the SDK asks the metadata service.
status=0
"$sidecar" run --config "$folder/nexus-sidecar.yaml" --policy "$folder/policy.yaml" --log "$folder/run.log" -- \
  env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY "$@" || status=$?
"$sidecar" audit verify --dir "$folder/audit" >&2
exit $status
