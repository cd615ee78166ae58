"""What an agent does whose SDK insists on credentials of its own: the metadata dance, then a call."""

import base64
import json
import os
import sys
import tempfile


def aws():
    import boto3
    import botocore.exceptions

    # What `run` gives in their place would do; this agent is one that knows its instance's role alone.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.pop(name, None)
    session = boto3.Session()
    credentials = session.get_credentials()
    print("method:", credentials.method)
    print("key:", credentials.access_key)
    s3 = session.client("s3", endpoint_url=os.environ["S3"],
                        config=boto3.session.Config(s3={"addressing_style": "path"}))
    print("object:", s3.get_object(Bucket="bucket", Key="a b/c")["Body"].read().decode())
    sts = session.client("sts", endpoint_url=os.environ["STS"])
    print("who:", sts.get_caller_identity()["Arn"])
    # Somewhere that is only forwarded to.
    try:
        session.client("s3", endpoint_url=os.environ["ELSEWHERE"]).list_buckets()
    except botocore.exceptions.ClientError as refused:
        print("elsewhere:", refused.response["ResponseMetadata"]["HTTPStatusCode"])


def google():
    import google.auth
    import google.auth.transport.requests
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from google.oauth2 import id_token, service_account

    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
    session = google.auth.transport.requests.AuthorizedSession(credentials)
    answer = session.get(os.environ["API"] + "/storage/v1/b?project=p")
    print("metadata:", answer.status_code, answer.json()["from"])
    print("account:", credentials.service_account_email)
    print("project:", project)
    print("token:", credentials.token[:26])
    print("elsewhere:", session.get(os.environ["ELSEWHERE"]).status_code)

    # A key of this agent's own making: whoever has it has nothing.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    own = service_account.Credentials.from_service_account_info({
        "type": "service_account", "client_email": "agent@nexus-sidecar.iam.gserviceaccount.com",
        "private_key": key.decode(), "private_key_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
    }, scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
    own.refresh(google.auth.transport.requests.Request())
    print("key:", own.token[:27])
    answer = google.auth.transport.requests.AuthorizedSession(own).get(os.environ["API"] + "/storage/v1/b?project=p")
    print("service account:", answer.status_code, answer.json()["from"])
    token = id_token.fetch_id_token(google.auth.transport.requests.Request(), "https://x.test")
    print("audience:", google.auth.jwt.decode(token, verify=False)["aud"])


def azure():
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy
    from azure.core.rest import HttpRequest
    from azure.identity import (
        ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential, WorkloadIdentityCredential,
    )

    scope = "https://management.azure.com/.default"

    def ask(credential, url):
        client = PipelineClient(url, policies=[BearerTokenCredentialPolicy(credential, scope)])
        return client.send_request(HttpRequest("GET", url))

    def call(title, credential):
        answer = ask(credential, os.environ["API"] + "/subscriptions")
        print(f"{title}:", answer.status_code, answer.json()["from"])

    call("managed identity", ManagedIdentityCredential())
    call("default", DefaultAzureCredential())
    # Neither is a secret of anybody's.
    secret = ClientSecretCredential("acme.test", "00000000-0000-0000-0000-000000000001", "no secret")
    call("client secret", secret)
    with tempfile.NamedTemporaryFile("w") as federated:
        federated.write("a.b.c")
        federated.flush()
        call("workload identity", WorkloadIdentityCredential(
            tenant_id="acme.test", client_id="00000000-0000-0000-0000-000000000001", token_file_path=federated.name))
    claims = secret.get_token(scope).token.split(".")[1]
    print("tenant:", json.loads(base64.urlsafe_b64decode(claims + "=="))["tid"])
    print("elsewhere:", ask(secret, os.environ["ELSEWHERE"]).status_code)


{"aws": aws, "google": google, "azure": azure}[sys.argv[1]]()
