import pytest

from quantum_trader.running import redis_server
from quantum_trader.state_dir import NotAvailableError


@pytest.fixture(autouse=True)
def anew():
    redis_server.program.cache_clear()
    yield
    redis_server.program.cache_clear()


def install(folder, name, version):
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 malloc=libc bits=64'\n")
    program.chmod(0o755)


@pytest.mark.process
@pytest.mark.parametrize(("valkey", "preferred"), [("8.0.1", "valkey-server"), ("6.9.9", "redis-server")])
def test_valkey_of_the_machine_is_preferred_unless_it_is_old(valkey, preferred, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    install(tmp_path, "redis-server", "7.0.15")
    install(tmp_path, "valkey-server", valkey)
    assert redis_server.program() == str(tmp_path / preferred)


@pytest.mark.process
def test_old_redis_is_not_used_and_the_package_has_a_newer_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    install(tmp_path, "redis-server", "6.2.14")
    found = redis_server.program()
    assert found.endswith("/valkey-server")
    assert redis_server.version_of(found) >= (9, 1)


def test_missing_server_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.metadata.files", lambda package: None)
    with pytest.raises(NotAvailableError, match=r"install valkey-server or redis-server, version 7\.0"):
        redis_server.program()
