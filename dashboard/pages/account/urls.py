"""The URLs of a user's own pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from dashboard.pages.account.login import LoginPage

urlpatterns = [
    path("login/", LoginPage.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
