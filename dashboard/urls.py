"""The URLs of the pages and of the charts' data."""

from django.urls import path, register_converter

from dashboard.charts.views import (
    ArmComparisonChart,
    ComparisonChart,
    DecisionChart,
    PolicyChart,
    RunChart,
    StorageChart,
    ValidationChart,
    VersionChart,
)
from dashboard.pages.actions import CancelRun, Disable, Enable, TrainNow
from dashboard.pages.alerts import AcknowledgeAlert, AlertListPage
from dashboard.pages.arm_comparisons import ArmComparisonListPage, ArmComparisonPage, CompareArms, EndArmComparison
from dashboard.pages.comparisons import CancelComparison, ComparisonListPage, ComparisonPage, NewComparisonPage
from dashboard.pages.deploying.actions import GoFlat, Pin, Promote, RollBack, Unpin
from dashboard.pages.deploying.decisions import Approve, Reject, Withdraw
from dashboard.pages.deploying.history import DeploymentsPage
from dashboard.pages.duplicate import DuplicatePage
from dashboard.pages.market.check import MarketChart, MarketPage
from dashboard.pages.market.upload import UploadPage
from dashboard.pages.overview import OverviewPage
from dashboard.pages.policy.challengers import EndArm, OpenArm
from dashboard.pages.policy.decisions import DecisionsPage
from dashboard.pages.policy.now import PolicyPage
from dashboard.pages.policy.runs import PolicyRunsPage
from dashboard.pages.policy.validation import PolicyValidationPage
from dashboard.pages.policy.version import VersionPage
from dashboard.pages.policy.versions import VersionListPage
from dashboard.pages.runs import RunListPage, RunPage
from dashboard.pages.settings import SettingsPage
from dashboard.pages.storage import StoragePage
from dashboard.pages.validating.actions import CancelValidation, WalkForward
from dashboard.pages.validating.pages import ValidationListPage, ValidationPage
from dashboard.url_names import PolicyName

register_converter(PolicyName, "policy")

app_name = "dashboard"
urlpatterns = [
    path("", OverviewPage.as_view(), name="policies"),
    path("policies/<policy:name>/", PolicyPage.as_view(), name="policy"),
    path("policies/<policy:name>/train/", TrainNow.as_view(), name="train"),
    path("policies/<policy:name>/enable/", Enable.as_view(), name="enable"),
    path("policies/<policy:name>/disable/", Disable.as_view(), name="disable"),
    path("policies/<policy:name>/deployments/", DeploymentsPage.as_view(), name="deployments"),
    path("policies/<policy:name>/unpin/", Unpin.as_view(), name="unpin"),
    path("policies/<policy:name>/go-flat/", GoFlat.as_view(), name="go-flat"),
    path("policies/<policy:name>/roll-back/", RollBack.as_view(), name="roll-back"),
    path("policies/<policy:name>/versions/<int:number>/promote/", Promote.as_view(), name="promote"),
    path("policies/<policy:name>/versions/<int:number>/pin/", Pin.as_view(), name="pin"),
    path("proposals/<int:proposal_id>/approve/", Approve.as_view(), name="approve-proposal"),
    path("proposals/<int:proposal_id>/reject/", Reject.as_view(), name="reject-proposal"),
    path("proposals/<int:proposal_id>/withdraw/", Withdraw.as_view(), name="withdraw-proposal"),
    path("policies/<policy:name>/duplicate/", DuplicatePage.as_view(), name="duplicate"),
    path("policies/<policy:name>/settings/", SettingsPage.as_view(), name="settings"),
    path("policies/<policy:name>/runs/", PolicyRunsPage.as_view(), name="policy-runs"),
    path("policies/<policy:name>/decisions/", DecisionsPage.as_view(), name="policy-decisions"),
    path("policies/<policy:name>/compare-arms/", CompareArms.as_view(), name="compare-arms"),
    path("policies/<policy:name>/accounts/open/", OpenArm.as_view(), name="open-arm"),
    path("policies/<policy:name>/accounts/<int:account>/end/", EndArm.as_view(), name="end-arm"),
    path("policies/<policy:name>/validation/", PolicyValidationPage.as_view(), name="policy-validation"),
    path("policies/<policy:name>/walk-forward/", WalkForward.as_view(), name="walk-forward"),
    path("policies/<policy:name>/versions/", VersionListPage.as_view(), name="policy-versions"),
    path("policies/<policy:name>/versions/<int:number>/", VersionPage.as_view(), name="version"),
    path("runs/", RunListPage.as_view(), name="runs"),
    path("runs/<slug:run_id>/", RunPage.as_view(), name="run"),
    path("runs/<slug:run_id>/cancel/", CancelRun.as_view(), name="cancel-run"),
    path("runs/<slug:run_id>/charts/<slug:key>.json", RunChart.as_view(), name="run-chart"),
    path("comparisons/", ComparisonListPage.as_view(), name="comparisons"),
    path("comparisons/new/", NewComparisonPage.as_view(), name="new-comparison"),
    path("comparisons/<slug:comparison_id>/", ComparisonPage.as_view(), name="comparison"),
    path("comparisons/<slug:comparison_id>/cancel/", CancelComparison.as_view(), name="cancel-comparison"),
    path("arm-comparisons/", ArmComparisonListPage.as_view(), name="arm-comparisons"),
    path("arm-comparisons/<slug:comparison_id>/", ArmComparisonPage.as_view(), name="arm-comparison"),
    path("arm-comparisons/<slug:comparison_id>/end/", EndArmComparison.as_view(), name="end-arm-comparison"),
    path(
        "arm-comparisons/<slug:comparison_id>/charts/<slug:key>.json",
        ArmComparisonChart.as_view(),
        name="arm-comparison-chart",
    ),
    path("validations/", ValidationListPage.as_view(), name="validations"),
    path("validations/<slug:validation_id>/", ValidationPage.as_view(), name="validation"),
    path("validations/<slug:validation_id>/cancel/", CancelValidation.as_view(), name="cancel-validation"),
    path("validations/<slug:validation_id>/charts/<slug:key>.json", ValidationChart.as_view(), name="validation-chart"),
    path("market/", MarketPage.as_view(), name="market"),
    path("market/chart.json", MarketChart.as_view(), name="market-chart"),
    path("market/upload/", UploadPage.as_view(), name="market-upload"),
    path("storage/", StoragePage.as_view(), name="storage"),
    path("storage/chart.json", StorageChart.as_view(), name="storage-chart"),
    path("alerts/", AlertListPage.as_view(), name="alerts"),
    path("alerts/<int:alert_id>/acknowledge/", AcknowledgeAlert.as_view(), name="acknowledge-alert"),
    path("comparisons/<slug:comparison_id>/charts/<slug:key>.json", ComparisonChart.as_view(), name="comparison-chart"),
    path("charts/<policy:name>/decisions/<slug:key>.json", DecisionChart.as_view(), name="decision-chart"),
    path("charts/<policy:name>/<slug:key>.json", PolicyChart.as_view(), name="policy-chart"),
    path("charts/<policy:name>/versions/<int:number>/<slug:key>.json", VersionChart.as_view(), name="version-chart"),
]
