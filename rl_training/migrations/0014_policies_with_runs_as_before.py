from django.db import migrations
from django.db.models import Max
from django.db.models.functions import Now

# What the program did before these settings existed.
AS_BEFORE = {"start_from": "newest", "seeds": 1, "promotion": "newest"}


def keep(apps, schema_editor):
    """Let policies that have runs train as before, and make the newest version of each live."""
    policies, versions = (apps.get_model("rl_training", name).objects for name in ("PolicyStore", "PolicyVersion"))
    trained = policies.filter(pk__in=apps.get_model("rl_training", "TrainingRun").objects.values("policy"))
    ids = list(trained.values_list("pk", flat=True))
    policies.filter(pk__in=ids).update(**AS_BEFORE)
    apps.get_model("rl_training", "HistoricalPolicyStore").objects.filter(id__in=ids).update(**AS_BEFORE)
    newest = versions.values("policy").annotate(number=Max("number")).values_list("policy", "number")
    for policy, number in newest:
        apps.get_model("rl_training", "Deployment").objects.create(
            policy_id=policy,
            version=versions.get(policy=policy, number=number),
            action="promote",
            at=Now(),
            actor="migration",
            reason="The newest version was in use before deployments were recorded.",
        )


class Migration(migrations.Migration):
    dependencies = [("rl_training", "0013_start_and_deployments")]

    operations = [migrations.RunPython(keep, migrations.RunPython.noop)]
