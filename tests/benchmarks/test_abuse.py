import json
from contextlib import nullcontext

from benchmarks.abuse.__main__ import PARTS, main, parse
from benchmarks.abuse.rows import HEADINGS, Row
from benchmarks.results.figures import Figure

ROW = Row("all", Figure("guesses", 3, "", at_most=2))


def test_parts_are_chosen_by_name():
    assert parse([]).only is None
    assert [parse(["--only", part]).only for part in PARTS] == [[part] for part in PARTS]


def test_row_names_the_earlier_result():
    assert dict(zip(HEADINGS, ROW.cells(), strict=True)) == {
        "attack": "guesses",
        "before": "all",
        "figure": "3 ",
        "target": "<= 2 ",
        "verdict": "short",
    }


def test_last_line_is_one_object_of_rows(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.abuse.__main__.django_on_throw_away_system", lambda: nullcontext())
    monkeypatch.setattr("benchmarks.abuse.__main__.measure", lambda system, parts: iter([ROW]))
    main(["--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "rows": [{"what": "guesses ()", "value": 3, "target": "<= 2 ", "ok": False}]
    }
