import errno
import os
import resource

import pytest

from rl_training.core.atomic import remove_file, write_file, write_folder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """Arms the n-th call of a function of `os` to fail as on a full disk."""

    def arm(name, nth):
        real, calls = getattr(os, name), []

        def failing(*arguments):
            calls.append(arguments)
            if len(calls) == nth:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        monkeypatch.setattr(os, name, failing)

    return arm


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "file"
    for data in (b"first", b"second"):
        write_file(path, data)
        assert path.read_bytes() == data
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_on_a_full_disk_the_file_before_stands(tmp_path, full_disk, function):
    path = tmp_path / "file"
    write_file(path, b"before")
    full_disk(function, 1)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


@pytest.fixture
def room_for_100_bytes():
    """Writes beyond the first 100 bytes of a file fail, as they do when the disk fills up half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("room_for_100_bytes")
def test_on_a_disk_that_fills_up_half_way_what_was_there_stands(tmp_path):
    write_file(tmp_path / "file", b"before")
    write_folder(tmp_path / "folder", {"a": b"before"})
    with pytest.raises(OSError, match="too large"):
        write_file(tmp_path / "file", b"after" * 100)
    with pytest.raises(OSError, match="too large"):
        write_folder(tmp_path / "folder", {"a": b"after", "b": b"after" * 100})
    assert (tmp_path / "file").read_bytes() == b"before"
    assert (tmp_path / "folder" / "a").read_bytes() == b"before"
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "folder"
    write_folder(path, {"a": b"1", "b": b"2"})
    write_folder(path, {"a": b"3", "c": b"4"})
    assert {name: (path / name).read_bytes() for name in names(path)} == {"a": b"3", "c": b"4"}
    assert names(path.parent) == ["folder"]


# Of files a and b, then of the folder that holds them; the folder before moved aside, the new one into its place.
@pytest.mark.parametrize(("function", "nth"), [("fsync", 1), ("fsync", 2), ("fsync", 3), ("rename", 1), ("rename", 2)])
def test_on_a_full_disk_the_folder_before_stands(tmp_path, full_disk, function, nth):
    path = tmp_path / "folder"
    write_folder(path, {"a": b"1", "b": b"2"})
    full_disk(function, nth)
    with pytest.raises(OSError, match="No space left"):
        write_folder(path, {"a": b"3", "b": b"4"})
    assert (path / "a").read_bytes() == b"1"
    assert names(tmp_path) == ["folder"]


def test_removing_a_file_removes_what_a_killed_writer_left(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"data")
    write_file(tmp_path / "other", b"data")
    (tmp_path / ".file.0123abcd.tmp").write_bytes(b"da")
    remove_file(path)
    remove_file(path)
    assert names(tmp_path) == ["other"]
