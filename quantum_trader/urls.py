from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    # The admin has no login and no password form of its own, so that limits and second factors are in one place.
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    path("admin/", admin.site.urls),
    path("accounts/", include("dashboard.pages.account.urls")),
    path("api/", include("dashboard.api.urls")),
    path("", include("dashboard.urls")),
    path("", include("dashboard.monitoring.readiness")),
    path("", include("dashboard.monitoring.metrics")),
]

# Errors outside of views have the API's error format for programs.
handler400 = "dashboard.api.errors.bad_request"
handler500 = "dashboard.api.errors.server_error"
