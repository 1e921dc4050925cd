import json

import pytest
from django.core.management import CommandError, call_command

from rl_training.models import Comparison
from rl_training.versions import comparisons
from rl_training.versions.comparison_reports import answer, best_pair, pairs_of
from rl_training.versions.naming import UnknownVersionError, find_versions, parse
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run


def result(*differences, versions=2):
    """Return a stored result of versions a, b, c and flat; a difference is (account, other, mean, low, high)."""
    names = ["a", "b", "c"][:versions]
    accounts = [{"name": name, "reference": False} for name in names] + [{"name": "flat", "reference": True}]
    keys = ("account", "other", "mean", "low", "high")
    return {"accounts": accounts, "differences": [dict(zip(keys, one, strict=True)) for one in differences]}


def answer_to(found):
    return answer(Comparison(status="succeeded", bars=812, result=found))


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (
            (0, 1, -0.00012, -0.00027, 0.00003),
            "b earned more than a by 1.2 bp per bar (95 %: -0.3 to 2.7): not distinguishable on these 812 bars.",
        ),
        (
            (0, 1, 0.00012, 0.00003, 0.00027),
            "a earned more than b by 1.2 bp per bar (95 %: 0.3 to 2.7): distinguishable on these 812 bars.",
        ),
        ((0, 1, 0.0, 0.0, 0.0), "a and b earned the same on these 812 bars."),
    ],
)
def test_answer_names_the_better_version_with_its_interval(difference, sentence):
    assert answer_to(result(difference, (0, 2, 1.0, 1.0, 1.0))) == sentence


def test_answer_of_three_versions_compares_the_best_two():
    pairs = pairs_of(result((0, 1, 0.01, 0, 0), (0, 2, -0.02, 0, 0), (1, 2, -0.03, 0, 0), (0, 3, 1, 1, 1), versions=3))
    best = best_pair(pairs)
    assert best is not None
    assert (best.better, best.worse) == ("c", "a")


@pytest.mark.parametrize("stored", [None, [], {}, {"accounts": []}])
def test_unreadable_result_is_reported(stored):
    assert answer_to(stored) == "The result is stored unreadable."


@pytest.mark.parametrize("text", ["rl_v3", "rl_v3:", ":3", "rl_v3:x", "rl_v3:-1", ""])
def test_text_that_names_no_version_is_refused(text):
    with pytest.raises(UnknownVersionError, match="such as rl_v3:12"):
        parse(text)


def test_policy_name_with_a_colon_is_parsed():
    assert parse("a:b:12") == ("a:b", 12)


@pytest.mark.django_db
def test_versions_are_found_in_their_order(policy):
    versions = [version_of(finished_run(policy), number) for number in (1, 2)]
    assert find_versions([("rl_v3", 2), ("rl_v3", 1)]) == versions[::-1]
    for name in (("rl_v3", 3), ("other", 1), ("rl_v3", 10**10), ("\0", 1), ("rl_v3", 0)):
        with pytest.raises(UnknownVersionError, match=f"There is no version {name[1]} of a policy"):
            find_versions([("rl_v3", 1), name])


@pytest.mark.django_db
def test_command_queues_a_comparison_and_prints_it(policy, capsys):
    for number in (1, 2):
        version_of(finished_run(policy, config={"market": {"source": "sp500"}}), number)
    call_command("policy_compare", "rl_v3:2", "rl_v3:1", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["versions"], printed["status"]) == (["rl_v3:2", "rl_v3:1"], "queued")
    assert comparisons.find(printed["comparison_id"]) is not None


@pytest.mark.django_db
def test_command_refuses_unknown_and_single_versions(policy):
    version_of(finished_run(policy, config={"market": {"source": "sp500"}}))
    for versions, message in ((["rl_v3:1", "rl_v3:9"], "no version 9"), (["rl_v3:1"], "Select 2 to 8")):
        with pytest.raises(CommandError, match=message) as error:
            call_command("policy_compare", *versions)
        assert error.value.returncode == 2
