from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.accounts import guessing
from rl_training.accounts.guessing import Kind, Origin, login_buckets, release, remember, reserve, token_buckets
from rl_training.accounts.models import FailedLogins

pytestmark = pytest.mark.django_db

HOME, OFFICE = Origin("192.0.2.1"), Origin("192.0.2.2")


def attackers(number):
    return [Origin(f"198.51.100.{host}") for host in range(number)]


def guesses(user, *origins):
    """Guess once from each origin, and return the number of guesses that may be checked."""
    return sum(reserve(login_buckets(user, origin)) == 0 for origin in origins)


def later(**delta):
    """Let time pass: move all stored times into the past."""
    for row in FailedLogins.objects.all():
        row.last_failure_at -= timedelta(**delta)
        if row.refused_until:
            row.refused_until -= timedelta(**delta)
        row.save()


def test_fifth_failure_from_anywhere_refuses_the_user():
    assert guesses("ann", *attackers(20)) == 5
    assert guesses("Ann", OFFICE) == 0
    assert guesses("bob", OFFICE) == 1


def test_tenth_failure_of_an_address_refuses_the_address():
    assert sum(guesses(f"user{number}", OFFICE) for number in range(30)) == 10
    assert guesses("ann", HOME) == 1


def test_delays_grow_to_a_quarter_of_an_hour():
    waits = []
    for _ in range(12):
        guesses("ann", *attackers(5))
        waits.append(round(guessing.seconds_to_wait(login_buckets("ann", HOME))))
        later(seconds=waits[-1] + 1)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900, 900, 900, 900, 900]


def test_user_is_not_locked_out_of_a_known_address():
    remember("ann", HOME)
    guesses("ann", *attackers(20))
    assert guesses("ann", HOME) == 1
    assert guesses("ann", OFFICE) == 0


def test_user_is_not_locked_out_by_other_users_of_the_same_address():
    remember("ann", HOME)
    assert guesses("bob", *[HOME] * 5) == guesses("cat", *[HOME] * 5) == 5
    assert guesses("dan", HOME) == 0
    assert guesses("ann", HOME) == 1


def test_user_of_a_known_browser_is_not_locked_out_by_its_address():
    browser = Origin(HOME.address, "id-of-its-cookie")
    remember("ann", browser)
    assert guesses("ann", *[HOME] * 50) == 10
    assert guesses("ann", browser) == 1


def test_browser_of_another_user_is_not_known():
    remember("bob", Origin("", "browser of bob"))
    guesses("ann", *attackers(5))
    assert guesses("ann", Origin(OFFICE.address, "browser of bob")) == 0


def test_known_place_has_a_limit_of_its_own_that_a_login_clears():
    remember("ann", HOME)
    assert guesses("ann", *[HOME] * 50) == 10
    release(login_buckets("ann", HOME))
    assert guesses("ann", *[HOME] * 50) == 10


def test_login_elsewhere_takes_back_its_own_reservation_only():
    assert guesses("ann", *[OFFICE] * 4) == 4
    assert reserve(login_buckets("ann", OFFICE)) == 0
    release(login_buckets("ann", OFFICE))
    assert list(FailedLogins.objects.values_list("failures", "refused_until")) == [(4, None), (4, None)]


def test_failures_are_forgotten_after_a_day():
    guesses("ann", *attackers(5))
    later(days=1)
    assert guesses("ann", *attackers(20)) == 5
    later(days=2)
    guessing.forget_old(timezone.now())
    assert not FailedLogins.objects.exists()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("unknown", ""),
    ],
)
def test_network_holds_the_addresses_that_one_client_may_use(address, network):
    assert Origin(address).network == network


def test_wrong_tokens_count_apart_from_passwords():
    assert sum(reserve(token_buckets(OFFICE)) == 0 for _ in range(30)) == 20
    assert guesses("ann", OFFICE) == 1


def test_name_of_any_text_is_stored(db):
    reserve(login_buckets("\0" + "Ä" * 1000, Origin("192.0.2.1")))
    assert FailedLogins.objects.get(kind=Kind.USER).user == "ä" * 150
