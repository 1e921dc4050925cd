"""The rights that docker-compose.yml gives its containers."""

import re
from pathlib import Path

import pytest
import yaml

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())["services"]
# By service, the secrets that reach its container: as variables, or within a URL.
SECRETS = {
    "postgres": {"POSTGRES_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "migrate": {"POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    "worker": {"POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    "beat": {"POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    "decide": {"POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    "alerts": {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "SECRET_KEY_FALLBACKS"},
    "flower": {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_BASIC_AUTH"},
    "web": {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "METRICS_TOKEN"},
}
ALL = {name for names in SECRETS.values() for name in names} | {"ADMIN_PASSWORD"}


@pytest.mark.parametrize("name", sorted(COMPOSE))
def test_container_has_no_right_that_it_does_not_need(name):
    service = COMPOSE[name]
    assert (service["read_only"], service["cap_drop"], service["security_opt"]) == (
        True,
        ["ALL"],
        ["no-new-privileges:true"],
    )
    assert "cap_add" not in service
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(COMPOSE))
def test_container_has_bounds_on_memory_processes_and_logs(name):
    service = COMPOSE[name]
    assert service["mem_limit"]
    assert service["pids_limit"] <= 512
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}


@pytest.mark.parametrize("name", sorted(COMPOSE))
def test_container_gets_only_the_secrets_of_its_service(name):
    service = COMPOSE[name]
    values = {key: str(value) for key, value in service["environment"].items()}
    named = {found for value in values.values() for found in re.findall(r"\$\{(\w+)", value)} & ALL
    assert named == SECRETS[name]
    # A variable that the service does not set would come from .env.
    if "env_file" in service:
        assert values.keys() >= ALL


def test_redis_demands_the_password_that_the_clients_send():
    assert "requirepass $$REDIS_PASSWORD" in COMPOSE["redis"]["command"][2]
    assert COMPOSE["redis"]["environment"]["REDISCLI_AUTH"] == "${REDIS_PASSWORD}"
    urls = {service["environment"].get("REDIS_URL") for name, service in COMPOSE.items() if "redis" not in name}
    assert {url for url in urls if url and not url.startswith("redis://:${REDIS_PASSWORD")} == set()


def test_migrate_checks_the_passwords_before_the_services_start():
    own = COMPOSE["migrate"]["environment"]
    assert {name: own[name] for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD")} == {
        "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD}",
        "REDIS_PASSWORD": "${REDIS_PASSWORD}",
    }
    waiting = {name for name, service in COMPOSE.items() if "migrate" in service.get("depends_on", {})}
    assert waiting == {"web", "worker", "beat", "alerts", "decide"}


def test_root_runs_in_no_container():
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert dockerfile.rstrip().splitlines()[-1] == "USER quantum"
    assert (COMPOSE["postgres"]["user"], COMPOSE["redis"]["user"]) == ("postgres", "redis")
