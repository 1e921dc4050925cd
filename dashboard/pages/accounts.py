"""Pages that sign users in and out."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from dashboard.access import StrictHeaders


class LoginPage(StrictHeaders, LoginView):
    """The login page. A successful login returns to the page that required it."""


urlpatterns = [
    path("login/", LoginPage.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
