from django.db import models


class Round(models.Model):
    """The time of the last evaluation of the rules: one row, which a process claims before it evaluates them."""

    began_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"round of {self.began_at}"
