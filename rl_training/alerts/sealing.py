"""A channel's address as the database holds it: encrypted, so that no query log, dump or error text shows it."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class UnreadableError(Exception):
    """The address was sealed with another SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__("its address was stored with another SECRET_KEY: enter it again")


def seal(text: str) -> str:
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises `UnreadableError`."""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise UnreadableError from None


def _fernet() -> Fernet:
    key = hashlib.sha256(b"alert channel\0" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
