from django.db import models


class Round(models.Model):
    """When the rules were last evaluated: one row, which a process claims before it evaluates them."""

    began_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"round of {self.began_at}"
