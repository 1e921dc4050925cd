"""The examples of docs/deployment: nginx and Caddy before a server that answers as the web process does."""

import contextlib
import datetime
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quantum_trader.state_dir import free_ports
from tests.waiting import wait_for

pytestmark = pytest.mark.process
EXAMPLES = Path(__file__).parents[3] / "docs" / "deployment"
HOST = "trader.example.org"
PLAIN_TEXT = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher"}


class Upstream(BaseHTTPRequestHandler):
    """Answers with the headers of a request, and at /live/ with an event, after which it keeps the stream open."""

    protocol_version = "HTTP/1.1"
    released = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/live/":
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"9\r\ndata: 1\n\n\r\n")
            self.released.wait(10)
            self.wfile.write(b"0\r\n\r\n")
            return
        text = json.dumps(dict(self.headers)).encode()
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        # A proxy that refuses the body hangs up.
        with contextlib.suppress(BrokenPipeError):
            self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    Upstream.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def connect(
    request: pytest.FixtureRequest, upstream: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    """Return a function that connects to a proxy with the example's settings, but for names and ports."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is missing")
    folder = tmp_path_factory.mktemp(request.param)
    [port] = free_ports(1)
    start = {"nginx": nginx, "caddy": caddy}[request.param]
    with start(folder, port, upstream):
        context = ssl._create_unverified_context()
        yield (
            lambda: (
                http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
                if start is nginx
                else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            )
        )


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the proxy to listen", 60)
        yield
    finally:
        # Caddy would wait for connections that clients keep open.
        process.kill()
        process.wait()


@contextmanager
def nginx(folder: Path, port: int, upstream: int) -> Iterator[None]:
    make_certificate(folder)
    site = (EXAMPLES / "nginx.conf").read_text()
    for written, here in (
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("listen 80;", f"listen 127.0.0.1:{free_ports(1)[0]};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/certs/trader.example.org.pem", f"{folder}/cert.pem"),
        ("/etc/ssl/private/trader.example.org.key", f"{folder}/key.pem"),
    ):
        assert written in site
        site = site.replace(written, here)
    (folder / "site.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    main = f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    (folder / "nginx.conf").write_text(f"{main}http {{\naccess_log off;\n{paths}include {folder}/site.conf;\n}}\n")
    with running(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"], port):
        yield


@contextmanager
def caddy(folder: Path, port: int, upstream: int) -> Iterator[None]:
    site = (EXAMPLES / "Caddyfile").read_text()
    for written, here in (
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        (f"\n{HOST} {{", f"\nhttp://127.0.0.1:{port} {{"),
        ("\tservers {", "\tadmin off\n\tservers {"),
    ):
        assert written in site
        site = site.replace(written, here)
    (folder / "Caddyfile").write_text(site)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with running(command, port):
        yield


def make_certificate(folder: Path) -> None:
    """Write `key.pem` and the self-signed `cert.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(encoding))


def test_client_is_named_by_the_proxy_and_not_by_itself(connect):
    connection = connect()
    connection.request("GET", "/", headers=PLAIN_TEXT)
    seen = json.loads(connection.getresponse().read())
    secure = isinstance(connection, http.client.HTTPSConnection)
    assert (seen["X-Forwarded-For"], seen["X-Forwarded-Proto"]) == ("127.0.0.1", "https" if secure else "http")


def test_live_event_arrives_while_the_stream_is_open(connect):
    connection = connect()
    connection.request("GET", "/live/")
    response = connection.getresponse()
    assert response.readline() == b"data: 1\n"
    response.close()
    connection.close()


@pytest.mark.parametrize(("path", "taken"), [("/", False), ("/market/upload/", True)])
def test_body_may_be_large_for_an_upload_alone(connect, path, taken):
    connection = connect()
    try:
        connection.request("POST", path, body=b"x" * 3_000_000)
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        # The proxy has refused the body before all of it was sent.
        status = 413
    # Caddy 2.6 answers 502, because it sends the request to the system before it has read the body.
    assert status in ((200,) if taken else (413, 502))


def test_long_header_is_refused(connect):
    connection = connect()
    connection.request("GET", "/", headers={"X-Long": "a" * 60_000})
    assert connection.getresponse().status in (400, 431)
