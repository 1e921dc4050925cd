"""The permissions of the whole site: the expected status of each URL, method and role.

`tests/dashboard/api/test_access.py` compares the site with this table, and the tests of `dashboard.live` compare
`/live/`, which is in no `urls.py`. Add a row for each new URL, next to similar ones:

    "route as in urls.py": page("/url/of/the/page/", GET="302 200 200 200")

The four statuses are those of an anonymous user, a viewer, an operator and an admin; `*` allows any status. `others` is
expected of all methods that a row does not name. The URLs refer to rows that the test stores: the policies `rl_v3` and
`other`, the finished run `aaaaaaaaaaaa` of `rl_v3` with version 1, which is live, version 2, the queued run
`bbbbbbbbbbbb` of `other`, the event EVENT, the queued validation VALIDATION, the ended one WALKED_FORWARD, and rows
with the primary key KEY of every model in the admin. The proposal KEY is the operator's.
"""

from tests.access_rows import (
    ARM_COMPARISON,
    COMPARISON,
    EVENT,
    FINISHED,
    KEY,
    QUEUED,
    VALIDATION,
    WALKED_FORWARD,
    Row,
    admin_page,
    api,
    model,
    open_page,
    own_form,
    page,
    question,
    read_only,
)

OWN_FORMS = ("accounts/password/", "accounts/second-factor/", "accounts/second-factor/remove/")

# dashboard.live answers this URL before Django resolves URLs.
LIVE = open_page("/live/", GET="401 200 200 200")

TABLE: dict[str, Row] = {
    # The API.
    "api/v1/policies/": api(
        "/api/v1/policies/", GET="401 200 200 200", POST="401 403 403 201", body={"name": "new_policy"}
    ),
    "api/v1/policies/<str:name>/": api(
        "/api/v1/policies/rl_v3/",
        GET="401 200 200 200",
        PATCH="401 403 200 200",
        body={"enabled": False},
        headers={"If-Match": "*"},
    ),
    "api/v1/policies/<str:name>/slots/": api("/api/v1/policies/rl_v3/slots/", GET="401 200 200 200"),
    "api/v1/policies/<str:name>/versions/": api("/api/v1/policies/rl_v3/versions/", GET="401 200 200 200"),
    "api/v1/policies/<str:name>/versions/<int:number>/": api(
        "/api/v1/policies/rl_v3/versions/1/", GET="401 200 200 200"
    ),
    "api/v1/policies/<str:name>/deployments/": api(
        "/api/v1/policies/rl_v3/deployments/",
        GET="401 200 200 200",
        POST="401 403 403 201",
        body={"action": "promote", "version": 2, "reason": "It is better."},
    ),
    "api/v1/policies/<str:name>/live": api("/api/v1/policies/rl_v3/live", GET="401 200 200 200"),
    "api/v1/policies/<str:name>/decision": api("/api/v1/policies/rl_v3/decision", GET="401 409 409 409"),
    "api/v1/policies/<str:name>/decisions/": api("/api/v1/policies/rl_v3/decisions/", GET="401 200 200 200"),
    "api/v1/policies/<str:name>/decide/": api(
        "/api/v1/policies/rl_v3/decide/",
        body={"position": 0.0, "unrealised_log_return": 0.0, "drawdown": 0.0},
        POST="401 409 409 409",
    ),
    # The market of the policy cannot grow.
    "api/v1/policies/<str:name>/accounts/": api(
        "/api/v1/policies/rl_v3/accounts/",
        body={"arm": "newest"},
        GET="401 200 200 200",
        POST="401 403 409 409",
    ),
    "api/v1/policies/<str:name>/accounts/<int:account>/end/": api(
        f"/api/v1/policies/rl_v3/accounts/{KEY}/end/", POST="401 403 200 200"
    ),
    "api/v1/proposals/": api(
        "/api/v1/proposals/",
        GET="401 200 200 200",
        POST="401 403 201 201",
        body={"policy": "rl_v3", "action": "pin", "version": 2, "reason": "It is better."},
    ),
    "api/v1/proposals/<int:proposal_id>/": api(f"/api/v1/proposals/{KEY}/", GET="401 200 200 200"),
    "api/v1/proposals/<int:proposal_id>/approve/": api(f"/api/v1/proposals/{KEY}/approve/", POST="401 403 403 200"),
    "api/v1/proposals/<int:proposal_id>/reject/": api(f"/api/v1/proposals/{KEY}/reject/", POST="401 403 403 200"),
    # Only the operator proposed it.
    "api/v1/proposals/<int:proposal_id>/withdraw/": api(f"/api/v1/proposals/{KEY}/withdraw/", POST="401 403 200 403"),
    "api/v1/market-check": api("/api/v1/market-check?policy=rl_v3", GET="401 200 200 200"),
    "api/v1/runs/": api("/api/v1/runs/", GET="401 200 200 200", POST="401 403 201 201", body={"policy": "rl_v3"}),
    "api/v1/runs/<str:run_id>/": api(f"/api/v1/runs/{FINISHED}/", GET="401 200 200 200"),
    "api/v1/runs/<str:run_id>/cancel/": api(f"/api/v1/runs/{QUEUED}/cancel/", POST="401 403 200 200"),
    "api/v1/comparisons/": api(
        "/api/v1/comparisons/",
        GET="401 200 200 200",
        POST="401 403 201 201",
        body={"versions": [{"policy": "rl_v3", "number": 2}, {"policy": "rl_v3", "number": 1}]},
    ),
    "api/v1/comparisons/<str:comparison_id>/": api(f"/api/v1/comparisons/{COMPARISON}/", GET="401 200 200 200"),
    "api/v1/comparisons/<str:comparison_id>/cancel/": api(
        f"/api/v1/comparisons/{COMPARISON}/cancel/", POST="401 403 200 200"
    ),
    # The market of the policy cannot grow.
    "api/v1/arm-comparisons/": api(
        "/api/v1/arm-comparisons/",
        GET="401 200 200 200",
        POST="401 403 409 409",
        body={"policy": "rl_v3", "b": "newest"},
    ),
    "api/v1/arm-comparisons/<str:comparison_id>/": api(
        f"/api/v1/arm-comparisons/{ARM_COMPARISON}/", GET="401 200 200 200"
    ),
    "api/v1/arm-comparisons/<str:comparison_id>/end/": api(
        f"/api/v1/arm-comparisons/{ARM_COMPARISON}/end/", POST="401 403 200 200"
    ),
    "api/v1/validations/": api(
        "/api/v1/validations/",
        GET="401 200 200 200",
        POST="401 403 201 201",
        body={"policy": "rl_v3", "changes": {"seeds": 1}},
    ),
    "api/v1/validations/<str:validation_id>/": api(f"/api/v1/validations/{VALIDATION}/", GET="401 200 200 200"),
    "api/v1/validations/<str:validation_id>/cancel/": api(
        f"/api/v1/validations/{VALIDATION}/cancel/", POST="401 403 200 200"
    ),
    "api/v1/policies/<str:name>/validation": api("/api/v1/policies/rl_v3/validation", GET="401 200 200 200"),
    "api/v1/trials/": api("/api/v1/trials/", GET="401 200 200 200"),
    "api/v1/events/": api("/api/v1/events/", GET="401 200 200 200"),
    "api/v1/events/<uuid:event_id>/": api(f"/api/v1/events/{EVENT}/", GET="401 200 200 200"),
    "api/v1/alerts/": api("/api/v1/alerts/", GET="401 200 200 200"),
    "api/v1/alerts/<int:alert_id>/": api(f"/api/v1/alerts/{KEY}/", GET="401 200 200 200"),
    "api/v1/alerts/<int:alert_id>/acknowledge/": api(f"/api/v1/alerts/{KEY}/acknowledge/", POST="401 403 200 200"),
    "api/v1/rl-v3/dashboard/training-summary": api("/api/v1/rl-v3/dashboard/training-summary", GET="401 200 200 200"),
    "api/schema/": api("/api/schema/", GET="401 200 200 200"),
    "api/docs/": open_page("/api/docs/", GET="302 200 200 200"),
    "api/": api("/api/nothing", others="404 404 404 404"),
    # Pages.
    "": page("/", GET="302 200 200 200"),
    "policies/<policy:name>/": page("/policies/rl_v3/", GET="302 200 200 200"),
    "policies/<policy:name>/runs/": page("/policies/rl_v3/runs/", GET="302 200 200 200"),
    "policies/<policy:name>/decisions/": page("/policies/rl_v3/decisions/", GET="302 200 200 200"),
    "policies/<policy:name>/compare-arms/": question("/policies/rl_v3/compare-arms/", "200"),
    "arm-comparisons/": page("/arm-comparisons/", GET="302 200 200 200"),
    "arm-comparisons/<slug:comparison_id>/": page(f"/arm-comparisons/{ARM_COMPARISON}/", GET="302 200 200 200"),
    "arm-comparisons/<slug:comparison_id>/end/": question(f"/arm-comparisons/{ARM_COMPARISON}/end/"),
    "arm-comparisons/<slug:comparison_id>/charts/<slug:key>.json": page(
        f"/arm-comparisons/{ARM_COMPARISON}/charts/evidence.json", GET="302 404 404 404"
    ),
    "policies/<policy:name>/accounts/open/": question("/policies/rl_v3/accounts/open/", "200"),
    "policies/<policy:name>/accounts/<int:account>/end/": question(f"/policies/rl_v3/accounts/{KEY}/end/"),
    "policies/<policy:name>/versions/": page("/policies/rl_v3/versions/", GET="302 200 200 200"),
    "comparisons/": page("/comparisons/", GET="302 200 200 200"),
    "comparisons/new/": page("/comparisons/new/", GET="302 200 200 200", POST="302 403 200 200"),
    "comparisons/<slug:comparison_id>/": page(f"/comparisons/{COMPARISON}/", GET="302 200 200 200"),
    "comparisons/<slug:comparison_id>/cancel/": question(f"/comparisons/{COMPARISON}/cancel/"),
    "comparisons/<slug:comparison_id>/charts/<slug:key>.json": page(
        f"/comparisons/{COMPARISON}/charts/equity.json", GET="302 200 200 200"
    ),
    "policies/<policy:name>/validation/": page("/policies/rl_v3/validation/", GET="302 200 200 200"),
    "policies/<policy:name>/walk-forward/": question("/policies/rl_v3/walk-forward/", "200"),
    "validations/": page("/validations/", GET="302 200 200 200"),
    "validations/<slug:validation_id>/": page(f"/validations/{WALKED_FORWARD}/", GET="302 200 200 200"),
    "validations/<slug:validation_id>/cancel/": question(f"/validations/{VALIDATION}/cancel/"),
    "validations/<slug:validation_id>/charts/<slug:key>.json": page(
        f"/validations/{WALKED_FORWARD}/charts/equity.json", GET="302 200 200 200"
    ),
    "policies/<policy:name>/versions/<int:number>/": page("/policies/rl_v3/versions/1/", GET="302 200 200 200"),
    "runs/": page("/runs/", GET="302 200 200 200"),
    "runs/<slug:run_id>/": page(f"/runs/{FINISHED}/", GET="302 200 200 200"),
    "runs/<slug:run_id>/charts/<slug:key>.json": page(f"/runs/{QUEUED}/charts/episodes.json", GET="302 200 200 200"),
    "charts/<policy:name>/<slug:key>.json": page("/charts/rl_v3/rewards.json", GET="302 200 200 200"),
    "charts/<policy:name>/decisions/<slug:key>.json": page(
        "/charts/rl_v3/decisions/equity.json", GET="302 404 404 404"
    ),
    "charts/<policy:name>/versions/<int:number>/<slug:key>.json": page(
        "/charts/rl_v3/versions/1/equity.json", GET="302 200 200 200"
    ),
    "policies/<policy:name>/train/": question("/policies/rl_v3/train/"),
    "policies/<policy:name>/deployments/": page("/policies/rl_v3/deployments/", GET="302 200 200 200"),
    **{
        route: question(url, "200")
        for route, url in {
            "policies/<policy:name>/unpin/": "/policies/rl_v3/unpin/",
            "policies/<policy:name>/go-flat/": "/policies/rl_v3/go-flat/",
            "policies/<policy:name>/roll-back/": "/policies/rl_v3/roll-back/",
            "policies/<policy:name>/versions/<int:number>/promote/": "/policies/rl_v3/versions/2/promote/",
            "policies/<policy:name>/versions/<int:number>/pin/": "/policies/rl_v3/versions/2/pin/",
        }.items()
    },
    "proposals/<int:proposal_id>/approve/": page(
        f"/proposals/{KEY}/approve/", others="302 403 403 405", GET="302 403 403 200", POST="302 403 403 302"
    ),
    "proposals/<int:proposal_id>/reject/": page(
        f"/proposals/{KEY}/reject/", others="302 403 403 405", GET="302 403 403 200", POST="302 403 403 302"
    ),
    "proposals/<int:proposal_id>/withdraw/": question(f"/proposals/{KEY}/withdraw/"),
    "policies/<policy:name>/enable/": question("/policies/rl_v3/enable/"),
    "policies/<policy:name>/disable/": question("/policies/rl_v3/disable/"),
    "policies/<policy:name>/duplicate/": page(
        "/policies/rl_v3/duplicate/", others="302 403 403 405", GET="302 403 403 200", POST="302 403 403 200"
    ),
    "policies/<policy:name>/settings/": question("/policies/rl_v3/settings/", "200"),
    "runs/<slug:run_id>/cancel/": question(f"/runs/{QUEUED}/cancel/"),
    "market/": page("/market/?policy=rl_v3", GET="302 200 200 200"),
    "market/chart.json": page("/market/chart.json?policy=rl_v3", GET="302 200 200 200"),
    "market/upload/": page("/market/upload/", others="302 403 403 405", GET="302 403 403 200", POST="302 403 403 200"),
    "storage/": page("/storage/", GET="302 200 200 200"),
    # No reading is stored.
    "storage/chart.json": page("/storage/chart.json", GET="302 404 404 404"),
    "alerts/": page("/alerts/", GET="302 200 200 200"),
    "alerts/<int:alert_id>/acknowledge/": question(f"/alerts/{KEY}/acknowledge/"),
    "accounts/login/": open_page("/accounts/login/", **dict.fromkeys(("GET", "POST", "PUT"), "200 200 200 200")),
    "accounts/login/code/": open_page("/accounts/login/code/", "302 302 302 302"),
    "accounts/logout/": open_page("/accounts/logout/", POST="302 302 302 302"),
    "accounts/": page("/accounts/", GET="302 200 200 200", POST="302 200 200 200"),
    "accounts/tokens/<int:token_id>/revoke/": page(f"/accounts/tokens/{KEY}/revoke/", "302 404 404 404"),
    **{path: own_form(f"/{path}") for path in OWN_FORMS},
    # Monitoring. The status of /readyz depends on the servers that run during the test.
    "healthz": open_page("/healthz", GET="200 200 200 200"),
    "metrics": open_page("/metrics", GET="401 200 200 200"),
    "readyz": open_page("/readyz", GET="* * * *"),
    # Django's admin.
    "admin/": admin_page("/admin/"),
    "admin/login/": open_page("/admin/login/", "302 302 302 302", GET="302 302 302 302"),
    "admin/logout/": open_page("/admin/logout/", others="302 302 302 302", GET="302 302 302 405"),
    "admin/password_change/": open_page("/admin/password_change/", "302 302 302 302"),
    "admin/password_change/done/": admin_page("/admin/password_change/done/", others="405"),
    "admin/autocomplete/": admin_page("/admin/autocomplete/", "403", others="405"),
    "admin/jsi18n/": admin_page("/admin/jsi18n/", others="405"),
    "admin/r/<path:content_type_id>/<path:object_id>/": admin_page("/admin/r/1/1/", "404"),
    "admin/^(?P<app_label>accounts|alerts|auth|rl_training)/$": admin_page("/admin/rl_training/"),
    "admin/(?P<url>.*)$": admin_page("/admin/nothing/", "404"),
    **model("auth", "group", "403", "403", "403", "403"),
    **model("auth", "user", "403", "403", "403", "403"),
    "admin/auth/user/<id>/password/": admin_page(f"/admin/auth/user/{KEY}/password/", "403"),
    **model("accounts", "account", add="403", change="302", delete="403"),
    **read_only("accounts", "apitoken", "failedlogins", delete="200"),
    **model("accounts", "knownplace", change="403"),
    **model("rl_training", "policystore"),
    "admin/rl_training/policystore/^([^/]+)/history/([^/]+)/$": admin_page(
        f"/admin/rl_training/policystore/{KEY}/history/{KEY}/"
    ),
    **read_only("rl_training", "trainingrun", "policyversion", "deployment", "proposal", "slotrange", "trainingevent"),
    **read_only("rl_training", "comparison", "armcomparison", "validation", "trial"),
    **read_only("alerts", "alert"),
    **model("alerts", "alertchannel"),
    **model("alerts", "alertrule", change="302"),
}
