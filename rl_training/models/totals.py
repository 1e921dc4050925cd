"""Running totals of the ended runs, which `runs/totals.py` counts."""

from django.db import models


class Measure(models.TextChoices):
    """A quantity of a run whose distribution is counted in buckets."""

    DURATION = "duration"
    REWARD = "reward"


class RunTotal(models.Model):
    """The number of ended runs of one policy and status whose measure lies in one bucket, and the measure's sum."""

    policy = models.ForeignKey("rl_training.PolicyStore", on_delete=models.CASCADE, related_name="totals")
    status = models.CharField(max_length=10)
    measure = models.CharField(max_length=10, choices=Measure)
    bound = models.CharField(max_length=10, help_text="The bucket's upper bound, as Prometheus writes it.")
    runs = models.PositiveBigIntegerField(default=0)
    total = models.FloatField(default=0.0, help_text="The sum of the measures.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["policy", "status", "measure", "bound"], name="total_once_per_bucket"),
        )

    def __str__(self) -> str:
        return f"{self.policy_id} {self.status} {self.measure} {self.bound}"
