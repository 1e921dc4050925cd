"""Notes of `up` on settings that are valid, but weak or probably not intended.

Web and Flower report their own weak secrets, so that a start without `up` reports them too.
"""

from collections.abc import Iterator

from django.conf import settings

from quantum_trader.environment import values
from quantum_trader.environment.weak_secrets import weakness


def start_notes() -> Iterator[str]:
    """Yield a sentence for each setting that is weak or probably not intended. No sentence shows a secret."""
    if settings.NOT_SETTINGS:
        yield f"This system has no settings with these names in .env: {', '.join(settings.NOT_SETTINGS)}."
    if "," in settings.SECRET_KEY:
        yield "SECRET_KEY contains a comma, so it cannot be added to SECRET_KEY_FALLBACKS after a change."
    if reason := weakness(values.text("ADMIN_PASSWORD"), "admin"):
        yield f"ADMIN_PASSWORD can be guessed: {reason}"
    if not settings.MARKET_DATA_ROOT.is_dir() and values.text("MARKET_DATA_ROOT"):
        yield f"MARKET_DATA_ROOT: there is no folder {settings.MARKET_DATA_ROOT} yet; the first upload makes it."
