import json

from benchmarks.decision_rows.equality import compare
from benchmarks.decisions import PARTS, main, measure, parse
from benchmarks.results.figures import Figure


def test_decisions_of_each_environment_equal_the_evaluation(tmp_path):
    found = [compare(seed, tmp_path / str(seed), 160) for seed in range(4)]
    assert [count for count, _ in found] == [56, 56, 56, 145]
    assert [wrong for _, wrong in found] == [0, 0, 0, 0]


def test_parts_are_chosen_by_name():
    assert (parse([]).only or PARTS) == ("equality", "comparisons", "latency", "policies", "kills", "stored")
    assert parse(["--only", "kills", "--quick"]).only == ["kills"]


def test_equality_alone_starts_no_service(monkeypatch):
    figure = Figure("equal", 0, "", at_most=0)
    monkeypatch.setattr("benchmarks.decision_rows.equality.equality", lambda count: figure)
    assert list(measure(["equality"], quick=True)) == [figure]


def test_last_line_is_one_object_of_rows(monkeypatch, capsys):
    figure = Figure("missing", 1, "", at_most=0)
    monkeypatch.setattr("benchmarks.decisions.measure", lambda parts, quick: iter([figure]))
    main(["--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "rows": [{"what": "missing ()", "value": 1, "target": "<= 0 ", "ok": False}]
    }
