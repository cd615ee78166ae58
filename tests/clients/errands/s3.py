"""S3 clients against a server that verifies signatures; the SDK signs with what `run` gives it: placeholders."""

import hashlib
import random

import servers
from canary import canary

HOST = "s3.eu-west-1.amazonaws.com"
OBJECTS = {"empty": 0, "small": 1 << 10, "large": 20 << 20}


def check(box, command):
    access_key, secret_key = "AKIA" + canary(16).upper(), canary()
    sent, stored = box.root / "objects", box.root / "s3"
    sent.mkdir()
    stored.mkdir()
    for name, size in OBJECTS.items():
        (sent / name).write_bytes(random.Random(size).randbytes(size))

    service = servers.S3(box.kit.certificates, box.kit.s3s, stored, access_key, secret_key)
    try:
        box.connect_provider("aws", {"access_key": access_key, "secret_key": secret_key})
        rules = [
            # The set makes and deletes no bucket: this one may be made, and stays.
            {"name": "make-the-bucket", "host": HOST, "port": service.port, "method": "PUT",
             "path": ["/bucket-1", "/bucket-1/"], "connection": "aws", "networks": ["127.0.0.0/8"]},
            {"use": "aws/s3-write@1", "port": service.port, "networks": ["127.0.0.0/8"]},
        ]
        ran = box.run(rules, command, {
            "S3": f"https://{HOST}:{service.port}", "OBJECTS": str(sent), "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        })
    finally:
        service.close()

    keys = [f"a b/{name}" for name in sorted(OBJECTS)]
    ran.expect(*(f"{name}: same" for name in OBJECTS), f"listed: {', '.join(keys)}, plain.txt",
               f"left: {', '.join(keys)}", f"put_object: {hashlib.sha256(b'put_object').hexdigest()}",
               "denied: 403 POLICY_DENIED")
    for name in OBJECTS:
        at_service = (stored / "bucket-1/a b" / name).read_bytes()
        assert at_service == (sent / name).read_bytes(), f"{name} differs at the service"
    assert service.keys_seen == {access_key.encode()}, f"signed by {service.keys_seen}"
    ran.never_held(secret_key, access_key)
