"""Roles: what a person may see and do, as Django groups that hold Django's own permissions.

A migration makes the groups. Who may change them in the admin may give a role more or less than this.
"""

from typing import Any

from django.contrib.auth.management import create_permissions

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"

APPS = ("rl_training", "alerts")
VIEWER_PERMISSIONS = frozenset(
    {
        "rl_training.view_policystore",
        "rl_training.view_trainingrun",
        "rl_training.view_policyversion",
        "rl_training.view_trainingevent",
        "alerts.view_alert",
    }
)
OPERATOR_PERMISSIONS = VIEWER_PERMISSIONS | {
    "rl_training.change_policystore",
    "rl_training.add_trainingrun",  # train now
    "rl_training.change_trainingrun",  # cancel
    "alerts.change_alert",  # acknowledge
}


def grant(apps: Any) -> None:
    """Make the groups, and give each the permissions that it lacks; `apps` may be those of a migration.

    The permissions are made first: Django itself makes them after the last migration. Those of an app that is not there
    yet are left out.
    """
    there = [config for config in apps.get_app_configs() if config.label in APPS]
    for config in there:
        make_permissions(config, apps)
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in apps.get_model("auth", "Permission").objects.select_related("content_type")
        if permission.content_type.app_label in APPS
    }
    groups = apps.get_model("auth", "Group").objects
    for role, names in ((VIEWER, VIEWER_PERMISSIONS), (OPERATOR, OPERATOR_PERMISSIONS), (ADMIN, frozenset(known))):
        group, _ = groups.get_or_create(name=role)
        group.permissions.add(*(known[name] for name in sorted(names & known.keys())))


def make_permissions(config: Any, apps: Any) -> None:
    before = getattr(config, "models_module", None)
    # An app's configuration in a migration has none, which Django takes for an app without models.
    config.models_module = before or True
    create_permissions(config, verbosity=0, apps=apps)
    config.models_module = before
