"""git over HTTPS: clone and push to a server that wants Basic authentication."""

import base64
import random
import subprocess

import servers
from canary import canary


def check(box, command):
    password = canary()
    folder = box.root / "repositories"
    repository = folder / "team/repo.git"
    seed(box.root / "seed", repository)
    large = box.file("large", random.Random(7).randbytes(3 << 20))

    service = servers.git(box.kit.certificates, folder, "robot", password)
    try:
        box.connect("basic_auth", "git.test", {"username": "robot", "password": password})
        rules = [{"name": "repository", "host": "git.test", "port": service.port, "path": "/team/repo.git/**",
                  "method": ["GET", "POST"], "connection": box.name, "networks": ["127.0.0.0/8"]}]
        ran = box.run(rules, command, {
            "REPO": f"https://git.test:{service.port}/team/repo.git", "LARGE": str(large), "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "agent", "GIT_AUTHOR_EMAIL": "agent@example.test",
            "GIT_COMMITTER_NAME": "agent", "GIT_COMMITTER_EMAIL": "agent@example.test",
        })
    finally:
        service.close()

    ran.expect("seeded", "round trip ok")
    expected = "Basic " + base64.b64encode(f"robot:{password}".encode()).decode()
    assert all(seen.header("Authorization") == [expected] for seen in service.seen), "a request came without it"
    pushes = [seen for seen in service.seen if seen.path == "/team/repo.git/git-receive-pack"]
    assert any(len(seen.body) > 3 << 20 for seen in pushes), "the push did not arrive"
    pushed = subprocess.run(["git", "-C", repository, "show", "HEAD:large"], check=True, capture_output=True).stdout
    assert pushed == large.read_bytes(), "the pushed file differs"
    ran.never_held(password)


def seed(work, repository):
    """A bare repository with one commit, which takes pushes."""
    git("init", "-q", "-b", "main", work)
    (work / "README").write_text("seeded\n")
    git("-C", work, "add", "README")
    git("-C", work, "-c", "user.name=seed", "-c", "user.email=seed@example.test", "commit", "-q", "-m", "seed")
    git("clone", "-q", "--bare", work, repository)
    git("-C", repository, "config", "http.receivepack", "true")


def git(*arguments):
    subprocess.run(["git", *map(str, arguments)], check=True, capture_output=True)
