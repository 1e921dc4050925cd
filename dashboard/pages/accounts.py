"""Signing in and out."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from dashboard.access import StrictHeaders


class LoginPage(StrictHeaders, LoginView):
    """Comes back to the page that asked for the login."""


urlpatterns = [
    path("login/", LoginPage.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
