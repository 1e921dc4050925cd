"""Accounts in the admin: unlocking, revoking, and requiring a second factor."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from rl_training.accounts.guessing import Origin, login_buckets, reserve
from rl_training.accounts.models import Account, FailedLogins, KnownPlace
from tests.accounts.factors import user_with_app
from tests.api_clients import token_of, user_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(policy):
    client = Client()
    client.force_login(user_of("admin"))
    return client


def act(client, model, action, *pks):
    return client.post(f"/admin/accounts/{model}/", {"action": action, "_selected_action": pks}, follow=True)


def test_admin_unlocks_a_login(admin):
    for host in range(9):
        reserve(login_buckets("ann", Origin(f"192.0.2.{host}")))
    [row] = FailedLogins.objects.filter(kind="user")
    assert row.refused_until is not None
    assert "Unlocked 1: ann." in act(admin, "failedlogins", "unlock", row.pk).content.decode()
    assert reserve(login_buckets("ann", Origin("198.51.100.1"))) == 0


def test_admin_adds_a_place_of_a_user(admin):
    fields = {"user": "Ann", "place": "198.51.100.1"}
    assert admin.post("/admin/accounts/knownplace/add/", fields).status_code == 302
    assert [(row.user, row.place) for row in KnownPlace.objects.all()] == [("ann", "198.51.100.1")]


def test_admin_requires_a_second_factor_and_removes_a_lost_one(admin):
    user, _ = user_with_app("ann")
    act(admin, "account", "require", user.pk)
    assert Account.objects.get(user=user).second_factor_required
    act(admin, "account", "remove_factor", user.pk)
    assert not TOTPDevice.objects.exists()


def test_account_of_a_superuser_is_changed_by_superusers_only(admin):
    user, _ = user_with_app("root", is_superuser=True)
    act(admin, "account", "require", user.pk)
    act(admin, "account", "remove_factor", user.pk)
    assert not Account.objects.get(user=user).second_factor_required
    assert TOTPDevice.objects.exists()
    url = f"/admin/accounts/account/{user.pk}/change/"
    assert admin.post(url, {"second_factor_required": "on"}).status_code == 403
    admin.force_login(User.objects.create_superuser("other"))
    act(admin, "account", "remove_factor", user.pk)
    assert not TOTPDevice.objects.exists()


def test_users_and_groups_have_plain_lists_and_unchanged_times(admin_client, admin_user):
    group = admin_client.get("/admin/auth/group/add/").content.decode()
    user = admin_client.get(f"/admin/auth/user/{admin_user.pk}/change/").content.decode()
    assert 'name="permissions"' in group
    assert "selectfilter" not in group + user
    assert 'name="last_login_0"' not in user


def test_password_that_an_admin_disables_revokes_the_tokens(admin_client):
    user = User.objects.create_user("ann", password="secret")
    token_of(user)
    form = {"usable_password": "false", "unset-password": "1"}
    assert admin_client.post(f"/admin/auth/user/{user.pk}/password/", form).status_code == 302
    assert not user.api_tokens.exists()
