from django.db import migrations, models


from rl_training.models.version_results import market_label, results_of

# An evaluation holds whole equity curves, about 100 kB as Python objects.
READ_TOGETHER = 100


def fill(apps, schema_editor):
    """Copy the results of each stored evaluation, and the market of each run, into the new columns."""
    versions = apps.get_model("rl_training", "PolicyVersion").objects
    rows = versions.order_by("pk").values_list("pk", "evaluation", "run__config")
    after = 0
    while found := list(rows.filter(pk__gt=after)[:READ_TOGETHER]):
        after = found[-1][0]
        for pk, evaluation, config in found:
            versions.filter(pk=pk).update(market=market_label(config), **results_of(evaluation))


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0016_slot_ledger"),
    ]

    operations = [
        migrations.AddField(
            model_name="policyversion",
            name="buy_and_hold_return",
            field=models.FloatField(blank=True, help_text="That of buy and hold.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="flat_return",
            field=models.FloatField(blank=True, help_text="That of a flat account.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="held_out_bars",
            field=models.PositiveIntegerField(blank=True, help_text="Decisions on held-out bars.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="held_out_return",
            field=models.FloatField(blank=True, help_text="Total return on held-out bars.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="market",
            field=models.CharField(blank=True, db_default="", help_text="The market's label.", max_length=600),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="max_drawdown",
            field=models.FloatField(blank=True, help_text="On held-out bars, 0 to 1.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="sharpe",
            field=models.FloatField(blank=True, help_text="Annualised Sharpe ratio on held-out bars.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="sharpe_high",
            field=models.FloatField(blank=True, help_text="Upper bound of its 95 % interval.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="sharpe_low",
            field=models.FloatField(blank=True, help_text="Lower bound of its 95 % interval.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="time_in_market",
            field=models.FloatField(blank=True, help_text="Share of bars with a position, 0 to 1.", null=True),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="turnover",
            field=models.FloatField(blank=True, help_text="Traded notional / equity, summed.", null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "created_at"], name="version_created_at"),
        ),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "held_out_bars"], name="version_held_out_bars"),
        ),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "held_out_return"], name="version_held_out_return"),
        ),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "sharpe"], name="version_sharpe"),
        ),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "max_drawdown"], name="version_max_drawdown"),
        ),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "turnover"], name="version_turnover"),
        ),
        migrations.AddIndex(
            model_name="policyversion",
            index=models.Index(fields=["policy", "time_in_market"], name="version_time_in_market"),
        ),
    ]
