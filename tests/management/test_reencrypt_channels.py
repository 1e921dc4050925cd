"""Alert channels and changes of SECRET_KEY."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from rl_training.alerts import encryption
from rl_training.alerts.models import AlertChannel

pytestmark = pytest.mark.django_db

ADDRESS = "json://user:s3cret@example.org"


@pytest.fixture
def channel(settings) -> AlertChannel:
    """Store a channel with the key `old`, then change the key to `new`."""
    settings.SECRET_KEY = "old"
    channel = AlertChannel(name="ops")
    channel.address = ADDRESS
    channel.save()
    settings.SECRET_KEY = "new"
    return channel


def test_channel_url_is_readable_while_the_old_key_is_a_fallback(channel, settings):
    settings.SECRET_KEY_FALLBACKS = ["older", "old"]
    assert channel.address == ADDRESS
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(encryption.UnreadableError):
        _ = channel.address


def test_reencrypted_channel_url_needs_no_fallback(channel, settings):
    settings.SECRET_KEY_FALLBACKS = ["old"]
    output = StringIO()
    call_command("reencrypt_channels", stdout=output)
    assert output.getvalue() == "1 of 1 channels are encrypted with SECRET_KEY.\n"
    settings.SECRET_KEY_FALLBACKS = []
    channel.refresh_from_db()
    assert channel.address == ADDRESS


def test_unreadable_channel_is_named_and_stays(channel):
    before = channel.sealed_address
    with pytest.raises(CommandError, match=r"neither SECRET_KEY nor in SECRET_KEY_FALLBACKS: ops\."):
        call_command("reencrypt_channels", stdout=StringIO())
    channel.refresh_from_db()
    assert channel.sealed_address == before
