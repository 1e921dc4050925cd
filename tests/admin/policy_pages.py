"""Requests to the admin's pages of policies, as a browser sends them."""

import json
from typing import Any

from django.test import Client

from rl_training.models import PolicyStore

LIST = "/admin/rl_training/policystore/"


def change_url(policy: PolicyStore) -> str:
    return f"{LIST}{policy.pk}/change/"


def form_data(response: Any) -> dict[str, Any]:
    """Return the fields that a browser sends when it saves the form unchanged."""
    form = response.context["adminform"].form
    values = {field.html_name: field.value() for field in form}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def edit(client: Client, policy: PolicyStore, **fields: Any) -> Any:
    """Open the policy's form, change the fields and save; the value of a config field is a dict of its changes."""
    data = form_data(client.get(change_url(policy)))
    for name, value in fields.items():
        data[name] = json.dumps(json.loads(data[name]) | value) if isinstance(value, dict) else value
    return client.post(change_url(policy), data)


def errors(response: Any) -> Any:
    """Return the errors of the form by field."""
    return response.context["adminform"].form.errors


def choose(client: Client, action: str, *policies: PolicyStore, **fields: Any) -> Any:
    """Run an action of the list on the policies, and return the page that follows."""
    data = {"action": action, "_selected_action": [policy.pk for policy in policies]} | fields
    return client.post(LIST, data, follow=True)


def act(client: Client, action: str, *policies: PolicyStore, **fields: Any) -> list[str]:
    """Run an action of the list on the policies, and return the messages that it shows."""
    return [str(message) for message in choose(client, action, *policies, **fields).context["messages"]]


def train(client: Client, *policies: PolicyStore, **options: Any) -> list[str]:
    """Train the policies with these options, and return the messages."""
    return act(client, "train_now", *policies, confirmed="yes", **options)
