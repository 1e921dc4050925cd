from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0013_rules_about_decisions"),
        ("rl_training", "0027_decision_enabled"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="alertrule",
            name="rule_policy_as_its_kind",
        ),
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.CharField(
                choices=[
                    ("run_failed", "a run failed"),
                    ("success_rate", "too few runs succeed"),
                    ("duration", "a run's duration is unusual"),
                    ("reward", "the reward fell"),
                    ("overdue", "no run finishes"),
                    ("worse_than_flat", "the newest version is worse than flat"),
                    ("worse_than_holding", "the newest version is worse than buy and hold"),
                    ("never_trades", "the newest version never trades"),
                    ("same_position", "the newest version always holds the same position"),
                    ("overfits", "the reward rises while the held-out result falls"),
                    ("live_changed", "what is live was changed"),
                    ("nothing_live", "nothing is live"),
                    ("live_version_old", "the live version is old"),
                    ("version_held_back", "the newest version is held back"),
                    ("validation_ended", "a validation ended"),
                    ("validation_failed", "a validation failed"),
                    ("market_data", "the market data has a new kind of fault"),
                    ("decisions_old", "no new bar is decided"),
                    ("bars_revised", "bars changed at the source"),
                    ("beat_silent", "beat is silent"),
                    ("workers_silent", "all workers are silent"),
                    ("outbox_lag", "events wait for Redis"),
                    ("failed_logins", "many logins fail"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="alertrule",
            name="kind",
            field=models.CharField(
                choices=[
                    ("run_failed", "a run failed"),
                    ("success_rate", "too few runs succeed"),
                    ("duration", "a run's duration is unusual"),
                    ("reward", "the reward fell"),
                    ("overdue", "no run finishes"),
                    ("worse_than_flat", "the newest version is worse than flat"),
                    ("worse_than_holding", "the newest version is worse than buy and hold"),
                    ("never_trades", "the newest version never trades"),
                    ("same_position", "the newest version always holds the same position"),
                    ("overfits", "the reward rises while the held-out result falls"),
                    ("live_changed", "what is live was changed"),
                    ("nothing_live", "nothing is live"),
                    ("live_version_old", "the live version is old"),
                    ("version_held_back", "the newest version is held back"),
                    ("validation_ended", "a validation ended"),
                    ("validation_failed", "a validation failed"),
                    ("market_data", "the market data has a new kind of fault"),
                    ("decisions_old", "no new bar is decided"),
                    ("bars_revised", "bars changed at the source"),
                    ("beat_silent", "beat is silent"),
                    ("workers_silent", "all workers are silent"),
                    ("outbox_lag", "events wait for Redis"),
                    ("failed_logins", "many logins fail"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind__in", ("beat_silent", "workers_silent", "outbox_lag", "failed_logins")), ("policy", None)
                    ),
                    models.Q(
                        (
                            "kind__in",
                            (
                                "run_failed",
                                "success_rate",
                                "duration",
                                "reward",
                                "overdue",
                                "worse_than_flat",
                                "worse_than_holding",
                                "never_trades",
                                "same_position",
                                "overfits",
                                "live_changed",
                                "nothing_live",
                                "live_version_old",
                                "version_held_back",
                                "validation_ended",
                                "validation_failed",
                                "market_data",
                                "decisions_old",
                                "bars_revised",
                            ),
                        ),
                        ("policy__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="rule_policy_as_its_kind",
                violation_error_message="policy: a rule of the system has none, any other has one.",
            ),
        ),
    ]
