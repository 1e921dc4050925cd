"""The settings of this installation in a backup: without secrets, or encrypted with a passphrase."""

import base64
import hashlib
import os

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from quantum_trader.environment import env_file
from rl_training.storage.backup.archive import BackupError

SECRETS = {
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "ADMIN_PASSWORD",
    "FLOWER_BASIC_AUTH",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "DATABASE_URL",
    "REDIS_URL",
    "METRICS_TOKEN",
}
PLAIN, ENCRYPTED = "settings.env", "settings.env.encrypted"
SALT_BYTES = 16


def written(passphrase: str) -> tuple[str, bytes]:
    """Return the name and the content of the member with the settings; with a passphrase, the secrets are included."""
    example = settings.BASE_DIR / ".env.example"
    names = env_file.LISTED.findall(example.read_text(encoding="utf-8")) if example.exists() else []
    values = {name: os.environ[name] for name in names if os.environ.get(name)}
    if not passphrase:
        return PLAIN, _lines({name: value for name, value in values.items() if name not in SECRETS})
    salt = os.urandom(SALT_BYTES)
    return ENCRYPTED, salt + _cipher(passphrase, salt).encrypt(_lines(values))


def decrypted(content: bytes, passphrase: str) -> bytes:
    """Return the lines of encrypted settings. Raises `BackupError` for a wrong passphrase."""
    salt, text = content[:SALT_BYTES], content[SALT_BYTES:]
    try:
        return _cipher(passphrase, salt).decrypt(text)
    except InvalidToken:
        raise BackupError("The passphrase is not the one that the settings were encrypted with.") from None


def _lines(values: dict[str, str]) -> bytes:
    quoted = {name: "'" + value + "'" if "'" not in value else value for name, value in values.items()}
    return "".join(f"{name}={value}\n" for name, value in quoted.items()).encode()


def _cipher(passphrase: str, salt: bytes) -> Fernet:
    # The parameters of RFC 7914 for files: 64 MB, half a second.
    key = hashlib.scrypt(passphrase.encode(), salt=salt, n=2**16, r=8, p=1, maxmem=2**27, dklen=32)
    return Fernet(base64.urlsafe_b64encode(key))
