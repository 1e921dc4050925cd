"""The URLs of a user's own pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from dashboard.pages.account.login import LoginPage
from dashboard.pages.account.page import AccountPage, RevokeToken
from dashboard.pages.account.password import PasswordPage
from dashboard.pages.account.second_factor import CodePage, RemovePage, SetUpPage

urlpatterns = [
    path("", AccountPage.as_view(), name="account"),
    path("login/", LoginPage.as_view(), name="login"),
    path("login/code/", CodePage.as_view(), name="login-code"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", PasswordPage.as_view(), name="password"),
    path("tokens/<int:token_id>/revoke/", RevokeToken.as_view(), name="revoke-token"),
    path("second-factor/", SetUpPage.as_view(), name="second-factor"),
    path("second-factor/remove/", RemovePage.as_view(), name="remove-second-factor"),
]
