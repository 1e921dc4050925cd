"""The dialogs that change what is live, and the dialogs that decide a proposal."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from rl_training.models import Deployment, Proposal
from tests.api_clients import user_of
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db
POLICY = "/policies/rl_v3/"


@pytest.fixture
def versions(policy):
    return [version_of(finished_run(policy), number) for number in (1, 2, 3)]


@pytest.fixture
def admin(versions):
    client = Client()
    client.force_login(user_of("admin"))
    return client


@pytest.fixture
def operator(versions):
    client = Client()
    client.force_login(user_of("operator"))
    return client


def question(client, url):
    """Return the text of the question and the fields that a browser sends with a yes."""
    answer = client.get(url)
    assert answer.status_code == 200
    form = answer.context["form"]
    fields = {name: form[name].value() for name in form.fields} | answer.context.get("hidden", {})
    view = answer.context["view"]
    return f"{view.question()} {view.consequence()} [{view.yes}]", fields


def answered(client, url, fields):
    """Return the messages on the page that follows a yes."""
    response = client.post(url, fields, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def say_yes(client, url, **fields):
    return answered(client, url, question(client, url)[1] | fields)


def live():
    deployment = Deployment.objects.order_by("at").last()
    return deployment and (deployment.action, deployment.version and deployment.version.number, deployment.pinned)


def test_promotion_names_its_consequence_and_needs_a_reason(admin):
    url = f"{POLICY}versions/2/promote/"
    text, fields = question(admin, url)
    assert text == (
        "Promote version 2 of rl_v3? Nothing is live now. Version 2 decides from then on, until the gate promotes a "
        "new version. [Promote]"
    )
    response = admin.post(url, fields)
    assert response.context["form"].errors == {"reason": ["This field is required."]}
    assert live() is None
    assert "Version 2 is live since" in answered(admin, url, fields | {"reason": "It earns more."})
    assert live() == ("promote", 2, False)


def test_every_action_has_its_question(admin, versions):
    say_yes(admin, f"{POLICY}versions/1/promote/", reason="At first.")
    say_yes(admin, f"{POLICY}versions/2/pin/", reason="Better.")
    assert live() == ("pin", 2, True)
    say_yes(admin, f"{POLICY}unpin/", reason="Go on.")
    assert live() == ("unpin", 2, False)
    say_yes(admin, f"{POLICY}go-flat/", reason="Holidays.")
    assert live() == ("go_flat", None, True)


def test_rollback_suggests_its_reason(admin, versions):
    deploy(versions[0])
    deploy(versions[1])
    text, fields = question(admin, f"{POLICY}roll-back/")
    assert text.startswith("Roll back rl_v3? Version 2 is live now. Version 1 decides from then on, as from ")
    assert fields["reason"] == "Back from version 2 to version 1."
    answered(admin, f"{POLICY}roll-back/", fields)
    assert live() == ("roll_back", 1, True)


def test_rollback_to_a_named_deployment(admin, versions):
    first = deploy(versions[0])
    deploy(versions[1])
    deploy(versions[2])
    say_yes(admin, f"{POLICY}roll-back/?to={first.pk}")
    assert live() == ("roll_back", 1, True)
    assert admin.get(f"{POLICY}roll-back/?to=x").status_code == 404
    assert admin.get(f"{POLICY}roll-back/?to=99999").status_code == 404


def test_rollback_without_an_earlier_version_shows_a_message(admin, versions):
    deploy(versions[0])
    assert "so a rollback has no target" in question(admin, f"{POLICY}roll-back/")[0]
    assert say_yes(admin, f"{POLICY}roll-back/").startswith("Nothing was changed: rl_v3 has no earlier deployment")


def test_answer_to_an_older_question_changes_nothing(admin, versions):
    url = f"{POLICY}versions/2/promote/"
    fields = question(admin, url)[1] | {"reason": "It earns more."}
    deploy(versions[2])
    assert answered(admin, url, fields) == "Nothing was changed: What is live has changed meanwhile; look at it again."
    assert live() == ("promote", 3, False)


def test_unknown_version_is_not_found(admin):
    assert admin.get(f"{POLICY}versions/9/promote/").status_code == 404


def test_operator_proposes_and_an_admin_decides(operator, admin, versions):
    url = f"{POLICY}versions/2/promote/"
    text, _ = question(operator, url)
    assert text.startswith("Propose to promote version 2 of rl_v3?")
    assert text.endswith("An admin has to approve the change first. [Propose to promote]")
    assert (
        say_yes(operator, url, reason="It earns more.") == f"Proposal {Proposal.objects.get().pk} waits for approval."
    )
    assert live() is None
    page = admin.get(POLICY).content.decode()
    assert "operator proposes to promote version 2: It earns more." in page
    assert "A proposal waits: promote version 2 of rl_v3." in admin.get("/").content.decode()
    assert "A proposal waits" not in operator.get("/").content.decode()
    proposal = Proposal.objects.get()
    assert operator.get(f"/proposals/{proposal.pk}/approve/").status_code == 403
    assert "Version 2 is live since" in answered(admin, f"/proposals/{proposal.pk}/approve/", {})
    assert answered(admin, f"/proposals/{proposal.pk}/reject/", {}).endswith("is approved already.")


def test_proposer_withdraws_and_an_admin_rejects(operator, admin, versions):
    for number in (2, 3):
        say_yes(operator, f"{POLICY}versions/{number}/pin/", reason="It earns more.")
    first, second = Proposal.objects.order_by("pk")
    assert answered(operator, f"/proposals/{first.pk}/withdraw/", {}) == f"Proposal {first.pk} is withdrawn."
    assert answered(admin, f"/proposals/{second.pk}/reject/", {}) == f"Proposal {second.pk} is rejected."
    assert admin.get("/proposals/99999/approve/").status_code == 404


def test_second_browser_of_the_same_user_cannot_approve(admin, settings):
    settings.PROMOTION_NEEDS_TWO = True
    assert "waits for approval" in say_yes(admin, f"{POLICY}versions/2/promote/", reason="It earns more.")
    proposal = Proposal.objects.get()
    browser = Client()
    browser.force_login(user_of("admin"))
    url = f"/proposals/{proposal.pk}/approve/"
    assert "another user has to approve it" in browser.get(url).context["view"].consequence()
    assert "another user has to approve it" in answered(browser, url, {})
    assert live() is None
    second = User.objects.create_user("second")
    second.groups.set(user_of("admin").groups.all())
    browser.force_login(second)
    assert "approved by second" in answered(browser, url, {})


def test_safe_button_has_the_focus(admin):
    html = admin.get(f"{POLICY}versions/2/promote/").content.decode()
    assert "data-close autofocus>Not now</a>" in html
