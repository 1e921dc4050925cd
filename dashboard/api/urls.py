from django.urls import path, re_path
from django.views.decorators.http import require_safe

from dashboard.api.alerts import AlertAcknowledge, AlertList, AlertView
from dashboard.api.deciding.accounts import AccountEnd, AccountList
from dashboard.api.deciding.decisions import CurrentDecisionView, DecideView, DecisionList
from dashboard.api.deploying.deployments import DeploymentList, LiveView
from dashboard.api.deploying.proposals import (
    ProposalApprove,
    ProposalList,
    ProposalReject,
    ProposalView,
    ProposalWithdraw,
)
from dashboard.api.documentation import DocumentationPage, SchemaView
from dashboard.api.errors import unknown_path
from dashboard.api.events import EventList, EventView
from dashboard.api.evidence.arm_comparisons import ArmComparisonEnd, ArmComparisonList, ArmComparisonView
from dashboard.api.evidence.comparisons import ComparisonCancel, ComparisonList, ComparisonView
from dashboard.api.evidence.validations import (
    StandingView,
    TrialList,
    ValidationCancel,
    ValidationList,
    ValidationView,
)
from dashboard.api.market.check import MarketCheckView
from dashboard.api.policies import PolicyList, PolicyView
from dashboard.api.runs import RunCancel, RunList, RunView
from dashboard.api.slots import SlotList
from dashboard.api.summary import TrainingSummaryView
from dashboard.api.versions import VersionList, VersionView

app_name = "api"
urlpatterns = [
    path("v1/policies/", PolicyList.as_view(), name="policies"),
    path("v1/policies/<str:name>/", PolicyView.as_view(), name="policy"),
    path("v1/policies/<str:name>/slots/", SlotList.as_view(), name="slots"),
    path("v1/policies/<str:name>/versions/", VersionList.as_view(), name="versions"),
    path("v1/policies/<str:name>/versions/<int:number>/", VersionView.as_view(), name="version"),
    path("v1/policies/<str:name>/deployments/", DeploymentList.as_view(), name="deployments"),
    path("v1/policies/<str:name>/validation", StandingView.as_view(), name="standing"),
    path("v1/policies/<str:name>/live", LiveView.as_view(), name="live"),
    path("v1/policies/<str:name>/decision", CurrentDecisionView.as_view(), name="decision"),
    path("v1/policies/<str:name>/decisions/", DecisionList.as_view(), name="decisions"),
    path("v1/policies/<str:name>/decide/", DecideView.as_view(), name="decide"),
    path("v1/policies/<str:name>/accounts/", AccountList.as_view(), name="accounts"),
    path("v1/policies/<str:name>/accounts/<int:account>/end/", AccountEnd.as_view(), name="account-end"),
    path("v1/proposals/", ProposalList.as_view(), name="proposals"),
    path("v1/proposals/<int:proposal_id>/", ProposalView.as_view(), name="proposal"),
    path("v1/proposals/<int:proposal_id>/approve/", ProposalApprove.as_view(), name="proposal-approve"),
    path("v1/proposals/<int:proposal_id>/reject/", ProposalReject.as_view(), name="proposal-reject"),
    path("v1/proposals/<int:proposal_id>/withdraw/", ProposalWithdraw.as_view(), name="proposal-withdraw"),
    path("v1/comparisons/", ComparisonList.as_view(), name="comparisons"),
    path("v1/comparisons/<str:comparison_id>/", ComparisonView.as_view(), name="comparison"),
    path("v1/comparisons/<str:comparison_id>/cancel/", ComparisonCancel.as_view(), name="comparison-cancel"),
    path("v1/arm-comparisons/", ArmComparisonList.as_view(), name="arm-comparisons"),
    path("v1/arm-comparisons/<str:comparison_id>/", ArmComparisonView.as_view(), name="arm-comparison"),
    path("v1/arm-comparisons/<str:comparison_id>/end/", ArmComparisonEnd.as_view(), name="arm-comparison-end"),
    path("v1/validations/", ValidationList.as_view(), name="validations"),
    path("v1/validations/<str:validation_id>/", ValidationView.as_view(), name="validation"),
    path("v1/validations/<str:validation_id>/cancel/", ValidationCancel.as_view(), name="validation-cancel"),
    path("v1/trials/", TrialList.as_view(), name="trials"),
    path("v1/market-check", MarketCheckView.as_view(), name="market-check"),
    path("v1/runs/", RunList.as_view(), name="runs"),
    path("v1/runs/<str:run_id>/", RunView.as_view(), name="run"),
    path("v1/runs/<str:run_id>/cancel/", RunCancel.as_view(), name="run-cancel"),
    path("v1/events/", EventList.as_view(), name="events"),
    path("v1/events/<uuid:event_id>/", EventView.as_view(), name="event"),
    path("v1/alerts/", AlertList.as_view(), name="alerts"),
    path("v1/alerts/<int:alert_id>/", AlertView.as_view(), name="alert"),
    path("v1/alerts/<int:alert_id>/acknowledge/", AlertAcknowledge.as_view(), name="alert-acknowledge"),
    path("v1/rl-v3/dashboard/training-summary", TrainingSummaryView.as_view(), name="training-summary"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", require_safe(DocumentationPage.as_view()), name="docs"),
    # An empty expression is found in every path, also in one with a line break.
    re_path("", unknown_path),
]
