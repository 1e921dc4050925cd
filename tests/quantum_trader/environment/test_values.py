"""The error for an invalid setting names the variable and describes valid values."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from quantum_trader.environment import values

BASE = Path("/base")


@pytest.fixture
def setting(monkeypatch):
    """Set the variable NAME."""
    return lambda value: monkeypatch.setenv("NAME", value)


@pytest.mark.parametrize("value", ["$abc", "\\$abc", "$HOME", "~/a", " a "])
def test_text_is_taken_as_it_is(setting, value):
    setting(value)
    assert values.text("NAME") == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("True", True), (" yes ", True), ("on", True), ("0", False), ("no", False), ("", False)],
)
def test_words_for_yes_and_no_are_read_as_booleans(setting, value, expected):
    setting(value)
    assert values.boolean("NAME") is expected


@pytest.mark.parametrize("value", ["yes please", "2", "$TRUE", "enabled"])
def test_word_that_is_no_boolean_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be 1 for yes or 0 for no.$"):
        values.boolean("NAME")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("127.0.0.1, ::1", ["127.0.0.1/32", "::1/128"]), ("172.16.0.0/12", ["172.16.0.0/12"])],
)
def test_networks_are_read(setting, value, expected):
    setting(value)
    assert values.networks("NAME", "") == expected


@pytest.mark.parametrize("value", ["proxy", "10.0.0.1/8", "10.0.0.1;10.0.0.2", "*"])
def test_text_that_is_no_network_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be IP addresses or networks"):
        values.networks("NAME", "")


@pytest.mark.parametrize("value", ["8 000", "1e3", "-1", "$PORT", "٣", "9" * 5000, "0x10"])
def test_text_that_is_no_whole_number_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be a whole number from 1 to 9.$"):
        values.whole_number("NAME", 1, 1, 9)


@pytest.mark.parametrize("value", ["inf", "nan", "0", "-1", "1s", "100000", "1_0", "٣", "1e-9"])
def test_text_that_is_no_number_of_seconds_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be a number of seconds"):
        values.seconds("NAME", 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("~/qt", Path.home() / "qt"),
        ("~", Path.home()),
        ("/data/a # b", Path("/data/a # b")),
        ("data", BASE / "data"),
        ("a$", BASE / "a$"),
        ("", Path("/base/default")),
    ],
)
def test_folder_is_absolute_and_starts_in_home_for_tilde(setting, value, expected):
    setting(value)
    assert values.folder("NAME", BASE / "default", BASE) == expected


@pytest.mark.parametrize(
    "value",
    [
        "$HOME/qt",
        "/data/${USER}",
        "~no-such-user/qt",
        "file:///data",
        "s3://bucket/qt",
        "C:\\data",
        "C:/data",
        "data\\qt",
        "%HOME%/qt",
        "`pwd`/qt",
        "/srv/\u200bqt",
        "'/data'",
        "  ",
        "/dev/null/a",
        "/etc/passwd",
    ],
)
def test_folder_that_would_be_misread_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is .*; it must be a folder(,| of this machine)"):
        values.folder("NAME", BASE, BASE)


def test_hosts_are_separated_by_commas():
    written = "trader.example.org, .example.org,127.0.0.1,[::1],*,"
    assert values.hosts("NAME", written) == ["trader.example.org", ".example.org", "127.0.0.1", "[::1]", "*"]


@pytest.mark.parametrize(
    "written",
    [
        "a.org b.org",
        "a.org;b.org",
        "https://a.org",
        "a.org:8000",
        "a.org/",
        "*.a.org",
        "::1",
        "a_b",
        ",",
        "$HOST",
        "a..b",
    ],
)
def test_hosts_in_another_form_are_refused(written):
    with pytest.raises(
        ImproperlyConfigured, match="NAME is .*; it must be host names separated by commas, without https://"
    ):
        values.hosts("NAME", written)


def test_origins_are_separated_by_commas(setting):
    setting("https://a.org, https://*.b.org:8443")
    assert values.origins("NAME") == ["https://a.org", "https://*.b.org:8443"]


@pytest.mark.parametrize(
    "value",
    [
        "a.org",
        "https://a.org https://b.org",
        "https://a.org/",
        "ftp://a.org",
        "https://",
        "https://a:99999",
        "https://a:0",
        "https://a..b",
    ],
)
def test_origins_in_another_form_are_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be origins .*https://trader.example.org.$"):
        values.origins("NAME")


@pytest.mark.parametrize(
    "value", ["flower.org", "javascript:alert(1)", "https://", "https://a b", "http://a:x", "http://a..b"]
)
def test_text_that_is_no_web_url_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be a URL, such as https://"):
        values.web_url("NAME", "")


@pytest.mark.parametrize("value", ["0.0.0.0", "::", "fe80::1%eth0", "localhost", "trader.example.org"])
def test_listening_host_is_a_name_or_an_ip_address(setting, value):
    setting(value)
    assert values.listening_host("NAME", "") == value


@pytest.mark.parametrize("value", ["http://0.0.0.0", "0.0.0.0:8000", "[::]", "*", "a" * 70, "$HOST", "a..b"])
def test_text_that_is_no_listening_host_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is '.*'; it must be a host name or an IP address"):
        values.listening_host("NAME", "")


def test_logins_are_separated_by_commas(setting):
    setting("admin:$a:b c!,viewer:d")
    assert values.logins("NAME") == ["admin:$a:b c!", "viewer:d"]


@pytest.mark.parametrize("value", ["admin:pa,ss1", "admin", "admin:", ":pass1", "a:b, c:d", "a:b,", "a:pässword"])
def test_login_that_flower_would_cut_is_refused(setting, value):
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="^NAME is not user:password .* cannot contain a comma.$") as refused:
        values.logins("NAME")
    assert value not in str(refused.value)
