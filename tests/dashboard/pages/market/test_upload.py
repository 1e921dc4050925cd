"""Uploads of market files, by role, size, name, type, interruption, two at once, and on a full disk."""

import errno
import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import UnreadablePostError
from django.test import Client

from rl_training import market_uploads
from rl_training.market_uploads import NameTakenError, UploadError, safe_name, store
from tests.core.market.price_files import HEADER, ROWS
from tests.dashboard.pages.page_text import words

pytestmark = pytest.mark.django_db
URL = "/market/upload/"
TEXT = HEADER + "".join(ROWS)


@pytest.fixture
def root(tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path / "market"
    return tmp_path / "market"


@pytest.fixture
def admin(signed_in):
    return signed_in("admin")


def upload(client, content=TEXT, name="prices.csv", **more):
    data = content.encode() if isinstance(content, str) else content
    return client.post(URL, {"file": SimpleUploadedFile(name, data)} | more)


def names(root):
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_file_is_stored_and_its_check_is_shown(admin, root):
    response = upload(admin)
    assert (response.status_code, response.url) == (302, "/market/?path=prices.csv")
    assert (root / "prices.csv").read_text() == TEXT
    assert "prices.csv is stored." in words(admin.get(response.url).content.decode())


@pytest.mark.parametrize("role", ["viewer", "operator", None])
def test_only_admins_upload(signed_in, root, role):
    assert upload(signed_in(role)).status_code == 403
    assert upload(Client()).status_code == 302
    assert names(root) == []


def test_request_without_token_against_forgery_stores_nothing(signed_in, root):
    assert upload(signed_in("admin", enforce_csrf_checks=True)).status_code == 403
    assert names(root) == []


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../x.csv", "x.csv"),
        ("a/b.csv", "b.csv"),
        ("C:\\data\\b.csv", "b.csv"),
        ("Ätherkurse 2024.CSV", "atherkurse-2024.csv"),
        ("日本.csv", "prices.csv"),
        (".hidden.csv", "hidden.csv"),
        ("a..b.csv.gz", "a.b.csv.gz"),
        (f"{'x' * 300}.csv", f"{'x' * 96}.csv"),
        ("$(rm -rf).csv", "rm-rf.csv"),
    ],
)
def test_name_is_made_safe(name, stored):
    assert safe_name(name) == stored


@pytest.mark.parametrize("name", ["prices.exe", "prices", "prices.csv.php", "", "..", "x.html"])
def test_other_type_is_refused(name):
    with pytest.raises(UploadError, match="does not end with one of .csv, .txt"):
        safe_name(name)


def test_uploaded_name_never_leaves_the_folder(admin, root):
    upload(admin, name="../../outside.csv")
    assert names(root) == ["outside.csv"]
    assert names(root.parent) == ["market"]


@pytest.mark.parametrize("content", ["", "no prices\n", b"\x89PNG\r\n", "<!DOCTYPE html><p>Sign in</p>"])
def test_file_without_prices_is_not_stored(admin, root, content):
    response = upload(admin, content)
    assert response.status_code == 200
    assert names(root) == []


def test_file_that_needs_settings_is_stored_if_the_user_confirms(admin, root):
    text = "date,open,high,low,close\n1/2/2024,10,12,9,11\n2/2/2024,11,13,10,12\n"
    assert "Nothing was stored: prices.csv: its first dates" in words(upload(admin, text).content.decode())
    assert names(root) == []
    assert upload(admin, text, keep="on").url == "/market/?path=prices.csv"
    assert names(root) == ["prices.csv"]


def test_larger_file_is_refused_and_leaves_nothing(admin, root, settings):
    settings.MARKET_UPLOAD_MB = 1
    response = upload(admin, TEXT + " " * 1_100_000)
    assert (response.status_code, "The file is larger than 1 MB." in response.content.decode()) == (413, True)
    response = upload(admin, TEXT + "x" * (2**20 - len(TEXT) + 1))
    assert response.status_code == 413
    assert names(root) == []


def test_interrupted_upload_leaves_nothing(admin, root):
    class Broken(BytesIO):
        def read(self, *size):
            data = super().read(min(*size, 40_000) if size else 40_000)
            if not data:
                raise UnreadablePostError("the connection is lost")
            return data

    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="m.csv"\r\n\r\n'
        + HEADER.encode()
        + b"1" * 100_000
    )
    # The client leaves out the content type of a request without data.
    sent = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": 200_000}
    with pytest.raises(UnreadablePostError):
        admin.generic("POST", URL, **sent, **{"wsgi.input": Broken(body)})
    assert names(root) == []


def test_full_disk_is_reported_and_leaves_nothing(admin, root, monkeypatch):
    class Full(BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", lambda path, mode: Full())
    response = upload(admin)
    assert (
        response.status_code,
        "The file cannot be written: No space left on device." in words(response.content.decode()),
    ) == (
        507,
        True,
    )


def test_existing_file_is_replaced_after_a_question_alone(admin, root):
    upload(admin)
    other = TEXT.replace("13", "13.5")
    question = upload(admin, other).content.decode()
    assert "Replace prices.csv?" in question
    assert (root / "prices.csv").read_text() == TEXT
    waiting = re.search(r'name="upload" value="([^"]+)"', question)
    assert waiting is not None
    answer = {"upload": waiting[1]}
    assert admin.post(URL, answer | {"replace": "1"}).url == "/market/?path=prices.csv"
    assert (root / "prices.csv").read_text() == other
    again = admin.post(URL, answer | {"replace": "1"}).content.decode()
    assert "the uploaded file is no longer there" in again
    assert names(root) == ["prices.csv"]


def test_kept_file_stays_and_the_upload_is_removed(admin, root):
    upload(admin)
    question = upload(admin, TEXT.replace("13", "13.5")).content.decode()
    waiting = re.search(r'name="upload" value="([^"]+)"', question)
    assert waiting is not None
    assert admin.post(URL, {"upload": waiting[1]}).url == "/market/"
    assert ((root / "prices.csv").read_text(), names(root)) == (TEXT, ["prices.csv"])


def test_answer_replaces_the_file_of_the_question_and_no_other(admin, root):
    upload(admin)
    upload(admin, name="other.csv")
    other = TEXT.replace("13", "13.5")
    waiting = re.search(r'name="upload" value="([^"]+)"', upload(admin, other).content.decode())
    assert waiting is not None
    forged = waiting[1].replace("prices.csv", "other.csv")
    refused = admin.post(URL, {"upload": forged, "name": "other.csv", "replace": "1"}).content.decode()
    assert "the uploaded file is no longer there" in refused
    answer = {"upload": waiting[1], "name": "other.csv", "replace": "1"}
    assert admin.post(URL, answer).url == "/market/?path=prices.csv"
    assert ((root / "prices.csv").read_text(), (root / "other.csv").read_text()) == (other, TEXT)


@pytest.mark.parametrize("name", ["prices.csv", "../x", ".upload-zz", "/etc/passwd"])
def test_answer_about_another_file_is_refused(admin, root, name):
    upload(admin)
    answer = {"upload": name, "name": "other.csv", "replace": "1"}
    assert "the uploaded file is no longer there" in admin.post(URL, answer).content.decode()
    assert names(root) == ["prices.csv"]


def test_one_of_two_simultaneous_uploads_is_stored(root, settings):
    root.mkdir()
    uploads = []
    for number in range(8):
        path = market_uploads.new_upload()
        path.write_text(str(number))
        uploads.append(path)

    def keep(path):
        try:
            store(path, "m.csv", replace=False)
        except NameTakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(keep, uploads)) == 1
    assert len([path for path in root.iterdir() if not path.name.startswith(".")]) == 1
