"""Changes of a policy from many threads at once, each with its own connection. The tests run on PostgreSQL only."""

import itertools
from contextlib import suppress

import pytest
from django.utils import timezone

from rl_training.models import (
    ComparedVersion,
    Deployment,
    PolicyStore,
    PolicyVersion,
    TrainingEvent,
    TrainingRun,
)
from rl_training.settings_change import SettingsRefusedError, create
from rl_training.versions import comparisons, weights_retention
from rl_training.versions.changes import Action, Author, Change, NotDeployableError, NothingChangesError
from rl_training.versions.deployments import deploy
from tests import databases
from tests.api_clients import user_of
from tests.clients_at_once import CLIENTS, in_threads
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not databases.SERVER, reason="SQLite has one writer, and no threads share its test database"),
]


@pytest.fixture
def many_versions(policy: PolicyStore, streams: object) -> list[PolicyVersion]:
    return [version_of(finished_run(policy), number) for number in range(1, CLIENTS + 1)]


def check_chain(number: int) -> list[Deployment]:
    """Assert that the deployments follow each other without gap and overlap; return them, oldest first."""
    found = list(Deployment.objects.order_by("at").select_related("version"))
    assert len(found) == number
    assert [one.previous_id for one in found] == [None, *(one.pk for one in found[:-1])]
    assert len({one.at for one in found}) == number
    assert all(one.actor_name and one.reason for one in found)
    assert TrainingEvent.objects.filter(event_type="rl_v3.deployment.changed").count() == number
    return found


@pytest.mark.parametrize("each", [10, pytest.param(125, marks=pytest.mark.long)])
def test_concurrent_promotions_leave_no_gap_and_no_overlap(policy, many_versions, each):
    users = [Author(Deployment.Actor.USER, f"client {number}") for number in range(CLIENTS)]
    made = [0] * CLIENTS

    def promote(client: int) -> None:
        # The promotion of a live version is refused, so each client promotes its two versions alternately.
        for attempt in itertools.count():
            if made[client] == each:
                return
            version = many_versions[client - attempt % 2]
            with suppress(NothingChangesError):
                deploy(policy, Change(Action.PROMOTE, f"Number {made[client]}.", version), users[client])
                made[client] += 1

    in_threads(promote)
    found = check_chain(CLIENTS * each)
    for client in range(CLIENTS):
        reasons = [one.reason for one in found if one.actor_name == f"client {client}"]
        assert reasons == [f"Number {number}." for number in range(each)]


def test_promotions_that_race_rollbacks_end_in_one_order(policy, many_versions):
    admin = Author.of(user_of("admin"))
    for number in (0, 1):
        deploy(policy, Change(Action.PROMOTE, "At first.", many_versions[number]), admin)

    def act(client: int) -> None:
        if client % 2:
            deploy(policy, Change(Action.ROLL_BACK, "Back."), admin)
        else:
            deploy(policy, Change(Action.PROMOTE, "Onwards.", many_versions[2 + client // 2]), admin)

    in_threads(act)
    found = check_chain(2 + CLIENTS)
    for number, one in enumerate(found[2:], 2):
        if one.action == Action.ROLL_BACK:
            live = found[number - 1].version
            earlier = [before.version for before in reversed(found[:number]) if before.version != live]
            assert one.version == earlier[0]


def test_promotion_that_races_retention_never_lacks_weights(policy, many_versions, artifact_root, settings):
    settings.VERSIONS_KEPT, settings.VERSIONS_KEPT_DAILY_DAYS = 1, 0
    admin, refused = Author.of(user_of("admin")), []

    def act(client: int) -> None:
        if client == CLIENTS // 2:
            weights_retention.remove_old(timezone.now())
            return
        try:
            deploy(policy, Change(Action.PROMOTE, "At once.", many_versions[client]), admin)
        except NotDeployableError:
            refused.append(many_versions[client].pk)

    in_threads(act)
    live = set(Deployment.objects.values_list("version", flat=True))
    removed = set(PolicyVersion.objects.filter(weights_removed_at__isnull=False).values_list("pk", flat=True))
    assert not live & removed
    # The newest version keeps its weights; the version that nobody promoted does not.
    assert removed == {*refused, many_versions[CLIENTS // 2].pk}
    assert len(live) == CLIENTS - 1 - len(refused)


def test_comparison_that_races_retention_keeps_versions_or_is_refused(policy, many_versions, artifact_root, settings):
    settings.VERSIONS_KEPT, settings.VERSIONS_KEPT_DAILY_DAYS = 1, 0
    TrainingRun.objects.update(config={"market": {"source": "sp500"}})
    newest, refused = many_versions[-1], []

    def act(client: int) -> None:
        if client == CLIENTS - 1:
            weights_retention.remove_old(timezone.now())
            return
        try:
            comparisons.request([many_versions[client], newest], send_message=False)
        except comparisons.CannotCompareError:
            refused.append(many_versions[client].pk)

    in_threads(act)
    compared = set(ComparedVersion.objects.values_list("version", flat=True))
    removed = set(PolicyVersion.objects.filter(weights_removed_at__isnull=False).values_list("pk", flat=True))
    assert removed == set(refused)
    assert not compared & removed
    assert compared >= {version.pk for version in many_versions[:-1]} - removed


def test_many_duplicates_with_one_name_make_one_policy(policy):
    refused = []

    def duplicate(client: int) -> None:
        try:
            create("copy", {}, like=policy)
        except SettingsRefusedError as error:
            refused.append(error.errors)

    in_threads(duplicate)
    assert refused == [{"name": "There is a policy copy already."}] * (CLIENTS - 1)
    assert PolicyStore.objects.filter(name="copy").count() == 1
