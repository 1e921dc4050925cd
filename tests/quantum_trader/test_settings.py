from pathlib import Path

import pytest

from quantum_trader.redis_clients import LONGEST_SOCKET_PATH, broker_url, private_socket


@pytest.mark.system
@pytest.mark.parametrize(("missing", "value"), [("SECRET_KEY", ""), ("SECRET_KEY", "  "), ("ALLOWED_HOSTS", "")])
def test_start_without_secrets_is_refused(missing, value, python, environment_of_processes):
    environment = environment_of_processes | {
        missing: value,
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
    }
    check = ["manage.py", "check"]
    refused = python.complete(check, environment)
    assert refused.returncode != 0
    assert f"{missing} is not set" in refused.stderr
    assert python.complete(check, environment | {"DEBUG": "1"}).returncode == 0


def test_broker_url_names_the_same_redis():
    assert broker_url("unix:///var/run/redis.sock") == "redis+socket:///var/run/redis.sock"
    assert broker_url("redis://:secret@redis:6379/0") == "redis://:secret@redis:6379/0"
    assert broker_url("unix://:a%2Fb@/redis.sock?db=2") == "redis+socket://:a%2Fb@/redis.sock?virtual_host=2"


def test_deep_state_directory_gets_a_short_socket_path():
    assert private_socket(Path("/srv/var")) == Path("/srv/var/redis.sock")
    deep = Path("/srv") / ("x" * 100)
    assert len(str(private_socket(deep))) <= LONGEST_SOCKET_PATH
    assert private_socket(deep) == private_socket(deep)
    assert private_socket(deep) != private_socket(deep / "other")


@pytest.mark.system
@pytest.mark.parametrize("name", ["a+b", "a#b", "a?b", "a%41b", "a b", "ä"])
def test_state_directory_may_have_any_name(name, tmp_path, python, environment_of_processes):
    program = (
        "from django.conf import settings; import redis;"
        "print(settings.DATABASES['default']['NAME']);"
        "print(redis.Redis.from_url(settings.REDIS_URL).connection_pool.connection_kwargs['path'])"
    )
    environment = environment_of_processes | {
        "STATE_DIR": str(tmp_path / name),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
    }
    assert python.run(["-c", program], environment).splitlines() == [
        str(tmp_path / name / "db.sqlite3"),
        str(private_socket(tmp_path / name)),
    ]


@pytest.mark.system
@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("WEB_PORT", "abc", "WEB_PORT is 'abc'; it must be a whole number from 1 to 65535"),
        ("FLOWER_PORT", "99999", "FLOWER_PORT is '99999'; it must be a whole number from 1 to 65535"),
        ("WORKER_CONCURRENCY", "0", "WORKER_CONCURRENCY is '0'; it must be a whole number from 1 to 1024"),
        ("DATABASE_URL", "nonsense", "DATABASE_URL is not a database's URL"),
        ("DATABASE_URL", "postgres://u:p/w@host/name", "In user name and password, write each of these characters"),
        ("DATABASE_URL", "sqlite://x.db", "DATABASE_URL is not the URL of an SQLite file"),
        ("CELERY_BROKER_URL", "redis://host", "CELERY_BROKER_URL is set in the environment or in .env"),
        ("REDIS_URL", "redis://:p#s/w@1@host", "In user name and password, write each of these characters"),
        ("FLOWER_BASIC_AUTH", "admin:pa,ss1", "FLOWER_BASIC_AUTH is not user:password"),
        ("ALLOWED_HOSTS", "a.org b.org", "ALLOWED_HOSTS is 'a.org b.org'; it must be host names separated by commas"),
        ("RUN_LOST_AFTER_SECONDS", "6", "RUN_LOST_AFTER_SECONDS is 6 and OWNER_HEARTBEAT_SECONDS is 5; "),
        ("HTTPS", "yes please", "HTTPS is 'yes please'; it must be 1 for yes or 0 for no"),
        ("METRICS_TOKEN", "schön", "METRICS_TOKEN is not a token: ASCII characters without spaces at the ends."),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is 'xml'; it must be one of: console, json"),
    ],
)
def test_invalid_setting_is_refused_by_name(setting, value, message, python, environment_of_processes):
    environment = environment_of_processes | {"DJANGO_SETTINGS_MODULE": "quantum_trader.settings", setting: value}
    refused = python.complete(["manage.py", "check"], environment)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.system
def test_spaces_around_earlier_keys_are_no_part_of_them(python, environment_of_processes):
    program = "from quantum_trader.settings import SECRET_KEY_FALLBACKS; print(SECRET_KEY_FALLBACKS)"
    output = python.run(["-c", program], environment_of_processes | {"SECRET_KEY_FALLBACKS": "a, b,"})
    assert output.strip() == "['a', 'b']"


@pytest.mark.system
def test_empty_rates_allow_the_default_requests_per_minute(python, environment_of_processes):
    program = "from quantum_trader.settings import REST_FRAMEWORK; print(REST_FRAMEWORK['DEFAULT_THROTTLE_RATES'])"
    empty = dict.fromkeys(["API_READS_PER_MINUTE", "API_WRITES_PER_MINUTE", "API_SUMMARIES_PER_MINUTE"], "")
    output = python.run(["-c", program], environment_of_processes | empty)
    assert output.strip() == "{'reads': 1200, 'writes': 300, 'summary': 60000}"
