"""Comparisons, validations and the ledger of trials in the admin, read-only."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rl_training.admin.display import EMPTY, admin_link, number_column, outcome, preformatted, pretty_json, time_column
from rl_training.admin.records import PolicyFilter, ReadOnlyAdmin
from rl_training.models import ArmComparison, Comparison, Trial, Validation
from rl_training.validation import reports


class EvidenceAdmin(ReadOnlyAdmin):
    """The columns that comparisons and validations share."""

    requested = time_column("requested_at")
    started = time_column("started_at")
    finished = time_column("finished_at")
    last_bar = time_column("bars_last", "last bar")

    @admin.display(description="status", ordering="status")
    def shown_status(self, row: Comparison | Validation) -> SafeString:
        return outcome(row.status, row.status, row.error)

    @admin.display(description="requested by")
    def requested_by_name(self, row: Comparison | Validation) -> str:
        return row.requested_by.get_username() if row.requested_by else EMPTY

    @admin.display(description="error")
    def shown_error(self, row: Comparison | Validation) -> str | SafeString:
        return preformatted(row.error)

    @admin.display(description="result")
    def shown_result(self, row: Comparison | Validation) -> str | SafeString:
        return pretty_json(row.result)


@admin.register(Comparison)
class ComparisonAdmin(EvidenceAdmin):
    list_display = ("comparison_id", "compared", "market", "shown_status", "requested", "requested_by_name", "bars")
    list_filter = ("status",)
    search_fields = ("comparison_id", "market")
    search_help_text = "Comparison id or a part of the market's name."
    date_hierarchy = "requested_at"
    fields = (
        *("comparison_id", "compared", "market", "shown_status", "shown_error", "requested", "requested_by_name"),
        *("started", "finished", "bars", "first_bar", "last_bar", "bars_digest", "shown_result"),
    )

    first_bar = time_column("bars_first", "first decision")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Comparison]:
        comparisons: QuerySet[Comparison] = super().get_queryset(request)
        compared = comparisons.select_related("requested_by").defer("result")
        return compared.prefetch_related("comparedversion_set__version__policy")

    @admin.display(description="versions")
    def compared(self, comparison: Comparison) -> str:
        places = sorted(comparison.comparedversion_set.all(), key=lambda row: row.place)
        return ", ".join(str(row.version) for row in places)


@admin.register(Validation)
class ValidationAdmin(EvidenceAdmin):
    list_display = (
        *("validation_id", "policy", "market", "about", "shown_status", "verdict", "ended", "requested"),
        "requested_by_name",
    )
    list_filter = ("status", "verdict", PolicyFilter)
    search_fields = ("validation_id", "market", "error")
    search_help_text = "Validation id, or a part of the market's name or of the error."
    date_hierarchy = "requested_at"
    fields = (
        *("validation_id", "policy_name", "market", "about", "shown_status", "answer", "ended", "ended_because"),
        *("shown_error", "requested", "requested_by_name", "started", "finished", "folds", "window", "must_beat"),
        *("recipe", "start_from", "bars", "first_traded", "last_bar", "bars_digest", "accounts", "accounts_sha256"),
        *("shown_judgement", "shown_config", "shown_result"),
    )

    ended = time_column("ended_at", "ended by monitoring")
    first_traded = time_column("first_traded_at", "first traded bar")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Validation]:
        return Validation.objects.listed().select_related("requested_by", "trial__market", "monitored")

    @admin.display(description="policy")
    def policy_name(self, validation: Validation) -> SafeString:
        return admin_link("policystore", validation.policy_id, validation.policy.name)

    @admin.display(description="trial")
    def about(self, validation: Validation) -> str | SafeString:
        if validation.trial:
            return admin_link("trial", validation.trial.pk, f"trial {validation.trial.number}")
        monitored = validation.monitored
        return admin_link("validation", monitored.pk, f"none: monitors {monitored}") if monitored else EMPTY

    @admin.display(description="answer")
    def answer(self, validation: Validation) -> str:
        return reports.answer(validation)

    @admin.display(description="numbers of the verdict")
    def shown_judgement(self, validation: Validation) -> str | SafeString:
        return pretty_json(validation.judgement)

    @admin.display(description="config")
    def shown_config(self, validation: Validation) -> str | SafeString:
        return pretty_json(validation.config)


@admin.register(ArmComparison)
class ArmComparisonAdmin(ReadOnlyAdmin):
    list_display = (
        *("comparison_id", "policy", "arms", "status", "requested", "requested_by_name", "bars", "shown_evidence"),
        "shown_threshold",
    )
    list_filter = ("status", PolicyFilter)
    search_fields = ("comparison_id",)
    search_help_text = "Comparison id."
    date_hierarchy = "requested_at"
    fields = (
        *("comparison_id", "policy_name", "arms", "status", "shown_ending", "shown_outcome", "requested"),
        *("requested_by_name", "ended", "trial_link", "bars", "capped", "shown_evidence", "shown_threshold"),
        *("largest_loss", "floor", "first_bar", "last_bar"),
    )

    requested = time_column("requested_at")
    ended = time_column("ended_at")
    first_bar = time_column("first_bar_at", "begins at the close of")
    last_bar = time_column("last_bar_at", "last bar")
    shown_evidence = number_column("evidence", "K")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ArmComparison]:
        return ArmComparison.objects.shown()

    @admin.display(description="policy")
    def policy_name(self, comparison: ArmComparison) -> SafeString:
        return admin_link("policystore", comparison.policy_id, comparison.policy.name)

    @admin.display(description="B against A")
    def arms(self, comparison: ArmComparison) -> str:
        return f"{comparison.b.title} against {comparison.a.title}"

    @admin.display(description="requested by")
    def requested_by_name(self, comparison: ArmComparison) -> str:
        return comparison.requested_by.get_username() if comparison.requested_by else EMPTY

    @admin.display(description="trial")
    def trial_link(self, comparison: ArmComparison) -> SafeString:
        return admin_link("trial", comparison.trial_id, f"trial {comparison.trial.number}")

    @admin.display(description="decides at K")
    def shown_threshold(self, comparison: ArmComparison) -> str:
        return f"{comparison.threshold:.4g}"

    @admin.display(description="why it ended")
    def shown_ending(self, comparison: ArmComparison) -> str | SafeString:
        return preformatted(comparison.ending)

    @admin.display(description="what followed")
    def shown_outcome(self, comparison: ArmComparison) -> str | SafeString:
        return preformatted(comparison.outcome)


@admin.register(Trial)
class TrialAdmin(ReadOnlyAdmin):
    list_display = ("trial", "market", "kind", "policy_name", "began", "spent", "of", "led_to")
    list_filter = ("kind", "market")
    search_fields = ("policy_name", "recipe", "market__label")
    search_help_text = "A part of the policy's or of the market's name, or the recipe's digest."
    date_hierarchy = "at"
    fields = ("trial", "market", "kind", "policy_name", "recipe", "began", "spent", "of", "led_to")

    began = time_column("at", "began")
    spent = number_column("level", "may spend")
    of = number_column("alpha", "of")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trial]:
        trials: QuerySet[Trial] = super().get_queryset(request)
        related = trials.select_related("market", "validation", "arm_comparison")
        return related.defer("validation__config", "validation__result", "validation__judgement")

    @admin.display(description="trial", ordering="number")
    def trial(self, trial: Trial) -> str:
        return f"trial {trial.number}"

    @admin.display(description="led to")
    def led_to(self, trial: Trial) -> str | SafeString:
        validation, comparison = getattr(trial, "validation", None), getattr(trial, "arm_comparison", None)
        if comparison is not None:
            return admin_link("armcomparison", comparison.pk, f"{comparison}, {comparison.status}")
        if validation is None:
            return EMPTY
        return admin_link("validation", validation.pk, f"{validation}, {validation.verdict or validation.status}")
