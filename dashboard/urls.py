from django.urls import path

from dashboard.api import TrainingSummaryView
from dashboard.pages import PolicyListPage, PolicyPage

app_name = "dashboard"
urlpatterns = [
    path("", PolicyListPage.as_view(), name="policies"),
    path("policies/<slug:name>/", PolicyPage.as_view(), name="policy"),
    path("api/v1/rl-v3/dashboard/training-summary", TrainingSummaryView.as_view(), name="training-summary"),
]
