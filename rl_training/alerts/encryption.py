"""Encryption of a channel's apprise URL, so that no query log, database dump or error text shows it."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class UnreadableError(Exception):
    """The text was encrypted with a key that is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS."""

    def __init__(self) -> None:
        super().__init__("the address was stored with another SECRET_KEY: enter the address again")


def encrypt(text: str) -> str:
    return _fernet().encrypt(text.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Return the plain text. Raises `UnreadableError`."""
    try:
        return _fernet().decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise UnreadableError from None


def fingerprint(text: str) -> str:
    """Return 32 hex digits that identify the text. Without SECRET_KEY, they reveal nothing about the text."""
    key = b"alert recipient\0" + settings.SECRET_KEY.encode()
    return hmac.new(key, text.encode(), "sha256").hexdigest()[:32]


def rotate(encrypted: str) -> str:
    """Return the text encrypted with the present SECRET_KEY. Raises `UnreadableError`."""
    return encrypt(decrypt(encrypted))


def _fernet() -> MultiFernet:
    """Return the cipher that encrypts with SECRET_KEY and decrypts with the fallbacks as well."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"alert channel\0" + key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
