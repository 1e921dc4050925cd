import socket
from pathlib import Path

import pytest

from quantum_trader.state_dir import (
    NotAvailableError,
    check_free,
    free_ports,
    is_listening,
    kept_secret,
    private_folder,
    sole_user,
)


def test_state_directory_has_one_user_at_a_time(tmp_path):
    state = tmp_path / "new" / "state"
    with sole_user(state):
        assert state.stat().st_mode & 0o777 == 0o700
        with pytest.raises(NotAvailableError, match="already running"), sole_user(state):
            pass
    with sole_user(state):
        pass


def test_folder_that_others_can_enter_is_refused(tmp_path):
    tmp_path.chmod(0o750)
    with pytest.raises(NotAvailableError, match=f"chmod 700 {tmp_path}"):
        private_folder(tmp_path)


def test_link_to_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotAvailableError, match="not a folder of this user's own"):
        private_folder(tmp_path / "link")


def test_used_port_is_refused_with_the_setting_to_change():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(NotAvailableError, match=f"Cannot listen on 127.0.0.1:{port}.*WEB_PORT to a free port"):
            check_free("WEB", "127.0.0.1", port)
    check_free("WEB", "127.0.0.1", port)


def test_host_of_another_machine_is_refused():
    with pytest.raises(NotAvailableError, match="Cannot listen on 192.0.2.1:8000"):
        check_free("WEB", "192.0.2.1", 8000)


def test_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotAvailableError, match=f"Cannot create {tmp_path}/file: .*name another as STATE_DIR"):
        private_folder(tmp_path / "file")


def test_free_ports_differ_and_stay_reserved_for_servers():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind(("127.0.0.1", ports[0]))
    with socket.create_server(("127.0.0.1", ports[0])) as server:
        assert server.getsockname()[1] == ports[0]
    check_free("WEB", "127.0.0.1", ports[0])


def test_socket_of_dead_process_is_not_listening(tmp_path):
    path = Path(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert is_listening(path)
    assert path.exists()
    assert not is_listening(path)


def test_kept_secret_is_made_once_and_readable_by_this_user_only(tmp_path):
    secrets = iter(["first", "second"])
    path = tmp_path / "secret"
    assert [kept_secret(path, lambda: next(secrets)) for _ in range(2)] == ["first", "first"]
    assert path.stat().st_mode & 0o777 == 0o600
