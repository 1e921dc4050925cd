import errno
import os
import resource
from contextlib import contextmanager

import pytest

from rl_training.core.atomic import remove_file, write_file, write_folder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """Return a function that makes the n-th call of a function of `os` fail as on a full disk."""

    def arm(name, nth):
        real, calls = getattr(os, name), []

        def failing(*arguments):
            calls.append(arguments)
            if len(calls) == nth:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        monkeypatch.setattr(os, name, failing)

    return arm


def test_write_file_creates_and_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "file"
    for data in (b"first", b"second"):
        write_file(path, data)
        assert path.read_bytes() == data
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_write_file_on_full_disk_keeps_the_old_file(tmp_path, full_disk, function):
    path = tmp_path / "file"
    write_file(path, b"before")
    full_disk(function, 1)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


@contextmanager
def room_for_100_bytes():
    """Make writes beyond the first 100 bytes of a file fail, as on a disk that fills up during a write.

    The limit holds for every file of the process, so pytest must write none meanwhile.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_that_fills_up_during_a_write_keeps_the_old_data(tmp_path):
    write_file(tmp_path / "file", b"before")
    write_folder(tmp_path / "folder", {"a": b"before"})
    with room_for_100_bytes():
        with pytest.raises(OSError, match="too large"):
            write_file(tmp_path / "file", b"after" * 100)
        with pytest.raises(OSError, match="too large"):
            write_folder(tmp_path / "folder", {"a": b"after", "b": b"after" * 100})
    assert (tmp_path / "file").read_bytes() == b"before"
    assert (tmp_path / "folder" / "a").read_bytes() == b"before"
    assert names(tmp_path) == ["file", "folder"]


def test_write_folder_creates_and_replaces_the_folder(tmp_path):
    path = tmp_path / "new" / "folder"
    write_folder(path, {"a": b"1", "b": b"2"})
    write_folder(path, {"a": b"3", "c": b"4"})
    assert {name: (path / name).read_bytes() for name in names(path)} == {"a": b"3", "c": b"4"}
    assert names(path.parent) == ["folder"]


# fsync is called for files a and b and their folder; rename moves the old folder aside, then the new one to its place.
@pytest.mark.parametrize(("function", "nth"), [("fsync", 1), ("fsync", 2), ("fsync", 3), ("rename", 1), ("rename", 2)])
def test_write_folder_on_full_disk_keeps_the_old_folder(tmp_path, full_disk, function, nth):
    path = tmp_path / "folder"
    write_folder(path, {"a": b"1", "b": b"2"})
    full_disk(function, nth)
    with pytest.raises(OSError, match="No space left"):
        write_folder(path, {"a": b"3", "b": b"4"})
    assert (path / "a").read_bytes() == b"1"
    assert names(tmp_path) == ["folder"]


def test_remove_file_also_removes_a_killed_writers_temporary_file(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"data")
    write_file(tmp_path / "other", b"data")
    (tmp_path / ".file.0123abcd.tmp").write_bytes(b"da")
    remove_file(path)
    remove_file(path)
    assert names(tmp_path) == ["other"]
