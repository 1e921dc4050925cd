"""Roles: Django groups with permissions of Django's own. A user's permissions come from the user's groups.

A migration creates the groups. Users who may edit groups in the admin can give a role more or fewer permissions.
"""

from typing import Any

from django.contrib.auth.management import create_permissions

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"

# The permissions to change what is live, and to propose such a change.
DEPLOY, PROPOSE = "rl_training.add_deployment", "rl_training.add_proposal"

APPS = ("rl_training", "alerts", "accounts")
VIEWER_PERMISSIONS = frozenset(
    {
        "rl_training.view_policystore",
        "rl_training.view_trainingrun",
        "rl_training.view_policyversion",
        "rl_training.view_slotrange",
        "rl_training.view_trainingevent",
        "rl_training.view_deployment",
        "rl_training.view_proposal",
        "rl_training.view_comparison",
        "rl_training.view_validation",
        "rl_training.view_trial",
        "rl_training.view_arm",
        "rl_training.view_decision",
        "rl_training.view_armcomparison",
        "rl_training.view_storagereading",
        "alerts.view_alert",
    }
)
OPERATOR_PERMISSIONS = VIEWER_PERMISSIONS | {
    "rl_training.change_policystore",
    "rl_training.add_trainingrun",  # train now
    "rl_training.change_trainingrun",  # cancel
    PROPOSE,
    "rl_training.add_arm",  # open a challenger
    "rl_training.change_arm",  # end it
    "rl_training.add_comparison",  # compare versions
    "rl_training.change_comparison",  # cancel a comparison
    "rl_training.add_armcomparison",  # compare two arms on new bars, which is a trial
    "rl_training.change_armcomparison",  # end such a comparison
    "rl_training.add_validation",  # walk a recipe forward, which is a trial
    "rl_training.change_validation",  # cancel a validation
    "alerts.change_alert",  # acknowledge
}


def grant(apps: Any) -> None:
    """Create the groups and add the missing permissions to each group. `apps` may be the registry of a migration.

    Creates the permissions first, because Django creates them only after the last migration. Skips the permissions of
    apps that are not installed yet.
    """
    installed = [config for config in apps.get_app_configs() if config.label in APPS]
    for config in installed:
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
    """Create the permissions of an app's models."""
    before = getattr(config, "models_module", None)
    # A migration's app config has no models module, and Django would skip the app as one without models.
    config.models_module = before or True
    create_permissions(config, verbosity=0, apps=apps)
    config.models_module = before
