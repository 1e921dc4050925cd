"""`python -m quantum_trader.first_env` creates .env from .env.example with new random secrets."""

import os
import re
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent


def fill_in(example: str) -> str:
    """Return the example with a new random value in each secret's empty line."""
    made = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "FLOWER_BASIC_AUTH": f"admin:{secrets.token_urlsafe(12)}",
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "REDIS_PASSWORD": secrets.token_urlsafe(24),
    }
    for name, secret in made.items():
        example = re.sub(rf"^{name}=$", f"{name}={secret}", example, flags=re.MULTILINE)
    return example


def main() -> None:
    text = fill_in((BASE_DIR / ".env.example").read_text())
    with open(os.open(BASE_DIR / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
