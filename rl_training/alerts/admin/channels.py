"""The admin page of alert channels: their URLs are entered here and never shown."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from quantum_trader.web.checked_list import CheckedList
from rl_training.admin.display import EMPTY
from rl_training.alerts import delivery, sending
from rl_training.alerts.models import AlertChannel

STATE = ("masked_address", "last_test", "waiting")


class AlertChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form with `address` as an extra field, so that the admin's history records only the name of the field."""

    address = forms.CharField(
        required=False,
        strip=True,
        max_length=10_000,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "class": "vTextField"}),
        help_text="An apprise URL, such as mailto://user:password@example.org or slack://TokenA/TokenB/TokenC; several "
        "are separated by spaces. It is stored encrypted and not shown again.",
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "enabled", "every_alert")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["address"].help_text += " Leave it empty to keep the present one."
        else:
            self.fields["address"].required = True

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"]
        if address and not all(_is_complete(url) for url in sending.split(address)):
            raise forms.ValidationError("It is not an apprise URL: it begins with the service's name and ://.")
        if address and (unknown := sending.unknown_services(address)):
            named = ", ".join(f"{name}://..." for name in unknown)
            raise forms.ValidationError(
                f"apprise can send nothing to {named}: the service is unknown, or its URL lacks a part; see apprise's "
                "list of services."
            )
        return address

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if address := self.cleaned_data.get("address"):
            self.instance.address = address


def _is_complete(url: str) -> bool:
    try:
        return "://" in url and bool(urlsplit(url).scheme)
    except ValueError:
        return False


@admin.register(AlertChannel)
class AlertChannelAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    form = AlertChannelForm
    list_display = ("name", "masked_address", "enabled", "every_alert", "last_test", "waiting")
    list_filter = ("enabled", "every_alert")
    search_fields = ("name",)
    actions = ("send_test",)

    def get_fields(self, request: HttpRequest, obj: AlertChannel | None = None) -> Any:
        editable = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return ("name", *(("address",) if editable else ()), "enabled", "every_alert", *(STATE if obj else ()))

    def get_readonly_fields(self, request: HttpRequest, obj: AlertChannel | None = None) -> Any:
        return STATE

    @admin.display(description="address")
    def masked_address(self, channel: AlertChannel) -> str:
        return channel.masked_address

    @admin.display(description="last test")
    def last_test(self, channel: AlertChannel) -> str:
        asked, tested = channel.test_requested_at, channel.tested_at
        if asked and (tested is None or tested < asked):
            return f"requested at {asked:%Y-%m-%d %H:%M:%S} UTC, no outcome yet"
        return f"{channel.test_outcome}, {tested:%Y-%m-%d %H:%M:%S} UTC" if tested else EMPTY

    @admin.display(description="messages waiting")
    def waiting(self, channel: AlertChannel) -> str:
        messages = channel.messages.waiting()
        problem = messages.exclude(problem="").order_by("-id").values_list("problem", flat=True).first()
        number = messages.count()
        return f"{number}: {problem}" if problem else str(number)

    @admin.action(permissions=["change"], description="Send test")
    def send_test(self, request: HttpRequest, queryset: QuerySet[AlertChannel]) -> None:
        for channel in queryset:
            AlertChannel.objects.filter(pk=channel.pk).update(test_requested_at=timezone.now())
            if delivery.enqueue(delivery.SEND_TEST, channel.pk):
                self.log_change(request, channel, "Sent a test message.")
                text = f"A test message to {channel} is on its way; its outcome shows under “last test” on this page."
                self.message_user(request, text)
            else:
                text = f"No test message to {channel}: Redis does not answer."
                self.message_user(request, text, messages.ERROR)
