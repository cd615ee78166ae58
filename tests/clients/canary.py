"""Secrets that are easy to find again, and the search for them.

A canary is random, so that its presence anywhere is a leak and no coincidence.
"""

import base64
import pathlib
import secrets
import string
import urllib.parse

ALPHABET = string.ascii_letters + string.digits


def canary(length=40):
    """A fresh secret of letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def forms(secret):
    """Every spelling in which the secret may hide: plain, reversed, hex, percent, base64.

    Base64 depends on where the secret starts within a group of three bytes, and its first and
    last characters on the neighbours: three cores, without those.
    """
    raw = secret.encode()
    found = {
        "plain": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "percent": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "quoted": urllib.parse.quote(secret, safe="").encode(),
    }
    for shift in range(3):
        core = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]
        found[f"base64+{shift}"] = core
        found[f"base64url+{shift}"] = core.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def leaks(secret, haystack):
    """The names of the spellings in which `haystack` (bytes) holds the secret."""
    return [name for name, form in forms(secret).items() if form in haystack]


def leaks_below(secret, folder):
    """The same for every file below a folder: `file (spelling)`."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and not path.is_symlink():
            found += [f"{path} ({name})" for name in leaks(secret, path.read_bytes())]
    return found
