"""Failed logins and known places in the admin, where deleting failed logins unlocks them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from rl_training.accounts import guessing
from rl_training.accounts.models import FailedLogins, KnownPlace

# Their pages would show the secrets of all users.
admin.site.unregister((TOTPDevice, StaticDevice))


@admin.register(FailedLogins)
class FailedLoginsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
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
class KnownPlaceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("user", "place", "last_used_at")
    search_fields = ("user", "place")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: KnownPlace, form: Any, change: bool) -> None:
        obj.user = guessing.name_of(obj.user)
        super().save_model(request, obj, form, change)
