"""`.env`: each value reaches the settings as it is written."""

import json
import os
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from quantum_trader.environment import env_file

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / ".env.example"
PRINT_SETTINGS = """
import json, sys
from pathlib import Path
from quantum_trader.environment import env_file
env_file.load(Path(sys.argv[1]), Path(".env.example"))
from quantum_trader import settings
names = ["SECRET_KEY", "METRICS_TOKEN", "STATE_DIR", "REDIS_URL", "FLOWER_LOGINS", "WEB_PORT"]
print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
"""


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$q*eo+a$b", "$q*eo+a$b"),
        ("'$q # a\\n'", "$q # a\\n"),
        ('"$q # a"', "$q # a"),
        (r'"a \"b\" \\ \n"', r'a "b" \ \n'),
        ("/data # big disk", "/data"),
        ("'/data # big disk' # a comment", "/data # big disk"),
        ("a#b", "a#b"),
        ("#ab", "#ab"),
        (" # nothing", ""),
        ("# nothing", ""),
        ("", ""),
        (" a b ", "a b"),
        ("a=b", "a=b"),
        ("it's", "it's"),
        (r"\$a", r"\$a"),
    ],
)
def test_value_is_taken_as_written(written, value):
    assert env_file.parse([f"NAME={written}"], ".env") == {"NAME": value}


@pytest.mark.parametrize("line", ["export NAME=1", "NAME = 1", "  NAME=1  ", "NAME=0\nNAME=1", "# NAME=2\n\nNAME=1\r"])
def test_usual_forms_of_a_line_set_the_variable(line):
    assert env_file.parse(line.split("\n"), ".env") == {"NAME": "1"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("NAME", ".env, line 2 sets nothing; write NAME=value"),
        ("2NAME=1", ".env, line 2 sets nothing"),
        ("NAME: 1", ".env, line 2 sets nothing"),
        ("NAME='a", ".env, line 2: NAME begins with a quote"),
        ("NAME='a'b", ".env, line 2: NAME begins with a quote"),
        ('NAME="a\\"', ".env, line 2: NAME begins with a quote"),
        ("NAME= # the line of .env.example", ".env, line 2 empties NAME, which an earlier line sets; remove one"),
    ],
)
def test_line_without_effect_is_refused_by_number(line, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        env_file.parse(["NAME=a", line], ".env")


def test_environment_takes_precedence_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbf# Mac\rFOR_A_TEST=of the file\r\nFOR_ANOTHER=b\r")
    monkeypatch.setattr(os, "environ", {"FOR_A_TEST": "of the environment"})
    env_file.load(tmp_path / ".env", EXAMPLE)
    assert os.environ == {"FOR_A_TEST": "of the environment", "FOR_ANOTHER": "b"}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("METRICS_TOKN", "METRICS_TOKEN"),
        ("DATABASE", "DATABASE_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("secret_key", "SECRET_KEY"),
        ("OWNER_TICK_SECOND", "OWNER_TICK_SECONDS"),
        ("FLOWER_BASICAUTH", "FLOWER_BASIC_AUTH"),
    ],
)
def test_misspelt_setting_is_refused_with_the_nearest_name(name, setting, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    (tmp_path / ".env").write_text(f"DEBUG=1\n{name}=a\n")
    with pytest.raises(ImproperlyConfigured, match=f"^.env: there is no setting {name}; did you mean {setting}[?]$"):
        env_file.load(tmp_path / ".env", EXAMPLE)
    assert os.environ == {}


def test_misspelt_setting_in_a_container_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "GPG_KEY": "a", "TEST_DATABASE_URL": "b", "METRICS_TOKN": "c"})
    with pytest.raises(ImproperlyConfigured, match="^the environment: there is no setting METRICS_TOKN; did you mean"):
        env_file.load(tmp_path / "missing", EXAMPLE)


def test_names_of_other_programs_are_returned_and_set(tmp_path, monkeypatch):
    names = ["HTTPS_PROXY", "COMPOSE_PROJECT_NAME", "POSTGRES_USER", "OMP_NUM_THREADS", "FLOWER_DB", "TZ"]
    monkeypatch.setattr(os, "environ", {"METRICS_TOKN": "of another program"})
    (tmp_path / ".env").write_text("".join(f"{name}=a\n" for name in ["SECRET_KEY", *names]))
    assert env_file.load(tmp_path / ".env", EXAMPLE) == names
    assert os.environ["HTTPS_PROXY"] == "a"


def test_example_lists_every_name_that_is_read():
    sources = [*ROOT.glob("quantum_trader/**/*.py"), *ROOT.glob("rl_training/**/*.py"), *ROOT.glob("dashboard/**/*.py")]
    read = r'(?:values\.\w+|required_unless_debug)\(\s*"([A-Z_]+)"'
    names = {name for source in sources for name in re.findall(read, source.read_text())}
    assert len(names) > 30
    assert names <= set(env_file.LISTED.findall(EXAMPLE.read_text()))


def test_missing_file_is_ignored_and_other_encoding_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    env_file.load(tmp_path / ".env", EXAMPLE)
    (tmp_path / ".env").write_bytes("NAME=ä".encode("latin-1"))
    with pytest.raises(ImproperlyConfigured, match="not a text file in UTF-8"):
        env_file.load(tmp_path / ".env", EXAMPLE)


def test_env_that_is_a_folder_is_refused_by_name(tmp_path):
    (tmp_path / ".env").mkdir()
    with pytest.raises(ImproperlyConfigured, match=f"^{tmp_path}/.env cannot be read: Is a directory"):
        env_file.load(tmp_path / ".env", EXAMPLE)


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_WORKER_CONCURRENCY"])
def test_variable_that_celery_takes_before_the_settings_is_refused(name, monkeypatch):
    monkeypatch.setattr(os, "environ", {name: "", "CELERY_SKIP_CHECKS": "1", "CELERY_LOG_LEVEL": "20"})
    env_file.refuse_celery_variables()
    monkeypatch.setattr(os, "environ", {name: "a"})
    with pytest.raises(ImproperlyConfigured, match=f"^{name} is set .*: REDIS_URL names the broker"):
        env_file.refuse_celery_variables()


@pytest.mark.system
def test_values_with_dollar_signs_reach_every_setting(tmp_path, python, environment_of_processes):
    (tmp_path / ".env").write_text(
        f"SECRET_KEY=$q*eo+1\nMETRICS_TOKEN=$abc\nSTATE_DIR={tmp_path}/data # big disk\nFLOWER_BASIC_AUTH=$a:$b\n"
        "REDIS_URL=redis://:$secret@host:6379/0\nWEB_PORT=8001 # not 8000\n"
    )
    names = {"SECRET_KEY", "METRICS_TOKEN", "STATE_DIR", "FLOWER_BASIC_AUTH", "REDIS_URL", "WEB_PORT"}
    environment = {name: value for name, value in environment_of_processes.items() if name not in names}
    assert json.loads(python.run(["-c", PRINT_SETTINGS, str(tmp_path / ".env")], environment)) == {
        "SECRET_KEY": "$q*eo+1",
        "METRICS_TOKEN": "$abc",
        "STATE_DIR": f"{tmp_path}/data",
        "REDIS_URL": "redis://:$secret@host:6379/0",
        "FLOWER_LOGINS": ["$a:$b"],
        "WEB_PORT": 8001,
    }
