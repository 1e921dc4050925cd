import json
import subprocess
from email.message import Message

import pytest

from quantum_trader import audit

VULNERABLE = {"name": "jinja2", "version": "3.1.6", "vulns": [{"id": "GHSA-1", "fix_versions": ["3.1.7"]}]}


def described(**columns: str) -> Message:
    found = Message()
    for name, value in columns.items():
        found[name.replace("_", "-")] = value
    return found


@pytest.mark.parametrize(
    ("columns", "licence"),
    [
        ({"License_Expression": "MIT", "License": "other"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License", "License": "BSD"}, "BSD License"),
        ({"License": "Apache-2.0"}, "Apache-2.0"),
        ({"License": "x" * 1000}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_licence_is_read_from_the_metadata(columns, licence):
    assert audit.licence_of(described(**columns)) == licence


def test_lock_pins_every_package_with_a_hash_but_torch():
    assert audit.pinned()["torch"] == "2.13.0"
    locked = audit.LOCK.read_text()
    assert "torch==" not in locked
    entries = locked.split("    # via")[:-1]
    assert len(entries) > 100
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ([""] * 2, 2, "No vulnerability service answered"),
        (["", json.dumps({"dependencies": [VULNERABLE]})], 1, "jinja2 3.1.6: GHSA-1, fixed in 3.1.7"),
        (
            [json.dumps({"dependencies": [VULNERABLE | {"vulns": []}]})],
            0,
            "No vulnerability is",
        ),
    ],
)
def test_audit_reports_the_answer_of_pip_audit(answers, status, said, monkeypatch, capsys, tmp_path):
    left = iter(answers)

    def run(command, **_):
        assert command[0].endswith("/pip-audit")
        return subprocess.CompletedProcess(command, 0, stdout=next(left))

    monkeypatch.setattr(audit, "write_bill_of_materials", lambda path: None)
    monkeypatch.setattr(audit, "BASE_DIR", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    assert audit.main() == status
    assert said in "".join(capsys.readouterr())
