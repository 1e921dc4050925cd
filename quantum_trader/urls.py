from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("dashboard.pages.accounts")),
    path("api/", include("dashboard.api.urls")),
    path("", include("dashboard.urls")),
    path("", include("dashboard.monitoring.readiness")),
    path("", include("dashboard.monitoring.metrics")),
]

# Errors outside of views have the API's error format for programs.
handler400 = "dashboard.api.errors.bad_request"
handler500 = "dashboard.api.errors.server_error"
