"""Accounts in the admin: rules of logins, tokens, and failed logins, which an admin unlocks by deleting them."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.forms import AdminPasswordChangeForm
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from quantum_trader.web.checked_list import CheckedList
from rl_training.accounts import guessing, second_factor
from rl_training.accounts.models import Account, ApiToken, FailedLogins, KnownPlace

# The pages of devices would show the secrets of all users.
admin.site.unregister((TOTPDevice, StaticDevice, User, Group))


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """Sets or disables a user's password. Both revoke the user's API tokens."""

    def save(self, commit: bool = True) -> Any:
        user = super().save(commit)
        if not user.has_usable_password():
            ApiToken.objects.filter(user=user).delete()
        return user


@admin.register(User)
class UserAdmin(CheckedList, auth_admin.UserAdmin):  # type: ignore[type-arg]
    """Users with plain lists of groups and permissions: Django's searchable lists fail the accessibility test (axe)."""

    change_password_form = PasswordForm
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")


@admin.register(Group)
class GroupAdmin(CheckedList, auth_admin.GroupAdmin):
    filter_horizontal = ()


@admin.register(FailedLogins)
class FailedLoginsAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("kind", "user", "place", "failures", "last_failure_at", "refused_until", "is_refused")
    list_filter = ("kind",)
    search_fields = ("user", "place")
    actions = ("unlock",)

    @admin.display(description="refused now", boolean=True)
    def is_refused(self, row: FailedLogins) -> bool:
        return row.refused_until is not None and row.refused_until > timezone.now()

    @admin.action(description="Unlock the selected logins", permissions=["delete"])
    def unlock(self, request: HttpRequest, rows: QuerySet[FailedLogins]) -> None:
        names = ", ".join(str(row) for row in rows[:10])
        number = rows.count()
        rows.delete()
        self.message_user(request, f"Unlocked {number}: {names}{' and others' if number > 10 else ''}.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(KnownPlace)
class KnownPlaceAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("user", "place", "last_used_at")
    search_fields = ("user", "place")
    # A place that an admin adds counts as used now.
    readonly_fields = ("last_used_at",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: KnownPlace, form: Any, change: bool) -> None:
        obj.user = guessing.name_of(obj.user)
        super().save_model(request, obj, form, change)


@admin.register(ApiToken)
class ApiTokenAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    """Tokens of all users: an admin may revoke tokens. Users create their own tokens."""

    list_display = ("name", "user", "hint", "created_at", "expires_at", "last_used_at", "last_used_from")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    exclude = ("digest",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Account)
class AccountAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    """Users, and whether each needs a second factor. Only superusers change the account of a superuser."""

    list_display = ("user", "second_factor_required", "has_second_factor")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    readonly_fields = ("user", "has_second_factor")
    fields = ("user", "second_factor_required", "has_second_factor")
    actions = ("require", "remove_factor")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        devices = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        accounts: QuerySet[Account] = super().get_queryset(request).annotate(has_factor=Exists(devices))
        return accounts

    @admin.display(description="has set up a second factor", boolean=True)
    def has_second_factor(self, account: Any) -> bool:
        return bool(account.has_factor)

    @admin.action(description="Require a second factor", permissions=["change"])
    def require(self, request: HttpRequest, accounts: QuerySet[Account]) -> None:
        changed = self._changeable(request, accounts).update(second_factor_required=True)
        self.message_user(request, f"{changed} users need a second factor from their next request on.")

    @admin.action(description="Remove the second factor, for users who lost it", permissions=["change"])
    def remove_factor(self, request: HttpRequest, accounts: QuerySet[Account]) -> None:
        found = list(self._changeable(request, accounts).select_related("user"))
        for account in found:
            second_factor.remove(account.user)
            self.log_change(request, account, "Removed the second factor.")
        self.message_user(request, f"Removed the second factor of {len(found)} users.")

    def _changeable(self, request: HttpRequest, accounts: QuerySet[Account]) -> QuerySet[Account]:
        return accounts if cast(User, request.user).is_superuser else accounts.filter(user__is_superuser=False)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        if obj is not None and obj.user.is_superuser and not cast(User, request.user).is_superuser:
            return False
        return super().has_change_permission(request, obj)
