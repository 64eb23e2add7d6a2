"""What engines behind an address share: keys from the environment, and errors that never show them."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from mundap.errors import UserError

_HERE = ("localhost", "127.0.0.1", "::1")
_SAID = 200  # characters of a server's own words in an error


def key(variable: str, engine: str) -> str:
    """The key in an environment variable. Raises `UserError` when there is none or it cannot be sent in a header."""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise UserError(f"{engine} needs a key: set the environment variable {variable}")
    if not (found.isascii() and found.isprintable()):
        raise UserError(f"the key in the environment variable {variable} has characters that no key has; copy it again")
    return found


def address(url: str, engine: str) -> str:
    """An address without its last slash. Keys and patients' words go over https, or stay on this machine."""
    parts = urlsplit(url)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and parts.hostname in _HERE):
        return url.rstrip("/")
    raise UserError(f"{url!r} is no address for {engine}: write https://… (http:// only for this machine)")


def said(words: str, *keys: str) -> str:
    """The beginning of what a server said, on one line, without the keys should it repeat them."""
    for secret in keys:
        words = words.replace(secret, "***")
    return " ".join(words.split())[:_SAID]
