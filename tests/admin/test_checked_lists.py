import pytest
from django.contrib import admin as registered
from django.urls import reverse

LISTS = [f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist" for model in registered.site._registry]


@pytest.mark.parametrize("name", LISTS)
def test_selection_that_no_row_can_have_leads_back_to_the_list(admin, name):
    url = f"{reverse(name)}?o=1"
    for pk in ("x", "9" * 30, "-1", "a\0"):
        response = admin.post(url, {"action": "delete_selected", "_selected_action": pk})
        assert (response.status_code, response.url) == (302, url)


@pytest.mark.parametrize("name", LISTS)
def test_query_with_nul_leads_to_the_whole_list(admin, name):
    response = admin.get(f"{reverse(name)}?q=%00")
    assert (response.status_code, response.url) == (302, reverse(name))
