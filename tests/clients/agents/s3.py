"""What an agent does with S3, by boto3."""

import hashlib
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

folder, work = os.environ["OBJECTS"], os.environ["WORK"]
s3 = boto3.client("s3", endpoint_url=os.environ["S3"], config=Config(s3={"addressing_style": "path"}))
s3.create_bucket(Bucket="bucket-1", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def listed():
    return ", ".join(item["Key"] for item in s3.list_objects_v2(Bucket="bucket-1")["Contents"])


for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    # 20 MiB goes in parts of 8 MiB, by the SDK's own defaults.
    s3.upload_file(path, "bucket-1", f"a b/{name}")
    s3.download_file("bucket-1", f"a b/{name}", os.path.join(work, "back"))
    with open(path, "rb") as sent, open(os.path.join(work, "back"), "rb") as back:
        same = sent.read() == back.read()
    print(f"{name}: {'same' if same else 'DIFFERENT'}")

s3.put_object(Bucket="bucket-1", Key="plain.txt", Body=b"put_object")
body = s3.get_object(Bucket="bucket-1", Key="plain.txt")["Body"].read()
print("put_object:", hashlib.sha256(body).hexdigest())
print("listed:", listed())
print(s3.head_object(Bucket="bucket-1", Key="plain.txt"))
s3.delete_object(Bucket="bucket-1", Key="plain.txt")
print("left:", listed())

try:
    s3.delete_bucket(Bucket="bucket-1")
    sys.exit("delete_bucket was not refused")
except ClientError as refused:
    metadata = refused.response["ResponseMetadata"]
    print("denied:", metadata["HTTPStatusCode"], metadata["HTTPHeaders"].get("x-nexus-error"))
