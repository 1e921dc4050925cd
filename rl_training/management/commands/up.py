import argparse
import contextlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from celery.utils.nodenames import host_format
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from quantum_trader import health, processes, state_dir
from quantum_trader.environment import values
from quantum_trader.redis_clients import private_socket, redis_client
from quantum_trader.running.log_files import LogFile
from quantum_trader.running.start_notes import start_notes
from quantum_trader.running.supervisor import Signals, Supervisor
from rl_training.accounts.first_start import Admin, first_admin, token_for_this_run
from rl_training.presence.watchdog import Watchdog

SUMMARY = "/api/v1/rl-v3/dashboard/training-summary"
LOCAL = "127.0.0.1"
# A busy machine needs up to a minute or so to start all services.
READY_WITHIN_SECONDS = 120.0
# A Redis that REDIS_URL names runs already, or is being started by another program at the same time.
REDIS_WITHIN_SECONDS = 5.0
POLL_SECONDS = 0.2
# The file in STATE_DIR that holds Flower's login if FLOWER_BASIC_AUTH is empty.
FLOWER_LOGIN = "flower_login"
UNCHANGED = "unchanged since the first start"
KEEP = "These secrets are shown at the first start only: keep them now."

Address = tuple[str, int]


class Stopped(Exception):
    """The user or the operating system stopped the command with a signal."""


class Command(BaseCommand):
    help = (
        "Run the whole system in the foreground until Ctrl-C: Redis (a private one unless REDIS_URL names one), "
        "migrations, web, worker, beat, alerts, decide and Flower."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="use free ports, wait until a run has finished, print the summary endpoint's JSON as the only line on "
            "stdout, exit 0 if the run succeeded, and remove the state directory if this command created it",
        )
        parser.add_argument(
            "--timeout", type=float, default=240.0, help="time limit of --once in seconds (default: 240)"
        )

    def handle(self, *, once: bool, timeout: float, **_: Any) -> None:
        self.once = once
        self.deadline = time.monotonic() + (timeout if once else READY_WITHIN_SECONDS)
        try:
            with ExitStack() as stack:
                if once and not settings.STATE_DIR.exists():
                    stack.callback(shutil.rmtree, settings.STATE_DIR, ignore_errors=True)
                stack.enter_context(state_dir.sole_user(settings.STATE_DIR))
                self.signals = stack.enter_context(Signals())
                summary = self._run(stack)
        except state_dir.NotAvailableError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            named = "at DATABASE_URL" if values.text("DATABASE_URL") else f"in STATE_DIR, {settings.STATE_DIR},"
            raise CommandError(f"The database {named} cannot be used: {' '.join(str(error).split())}") from error
        except (Stopped, KeyboardInterrupt):
            if once:
                raise CommandError("Stopped before a run had finished.", returncode=130) from None
            self._say("Stopped.")
        else:
            self.stdout.write(json.dumps(summary))
            if not summary["recent_runs"][0]["success"]:
                raise CommandError(f"The run failed: {summary['last_error']}")

    def _run(self, stack: ExitStack) -> dict[str, Any]:
        """Start all services. With --once return the summary after the first run, else go on until a signal."""
        started = timezone.now()
        for note in start_notes():
            self._say(note)
        web, flower = self._addresses()
        logins = settings.FLOWER_LOGINS or [state_dir.kept_secret(settings.STATE_DIR / FLOWER_LOGIN, new_login)]
        self._start_redis(stack, {"WEB_PORT": str(web[1]), "FLOWER_PORT": str(flower[1])})
        self._wait_for_redis()
        self._migrate()
        admin = first_admin()
        if values.text("ADMIN_PASSWORD") and not admin.password:
            self._say("ADMIN_PASSWORD was for the first start: remove it from .env.")
        token = stack.enter_context(token_for_this_run()) if self.once else admin.token
        connection.close()
        self._say("Starting web, worker, beat, alerts, decide and Flower ...")
        *services, flower_service = processes.services(web, flower, logins)
        self.supervisor.start(*services)
        site, flower_site = base_url(web), base_url(flower)
        self._wait_for(
            {
                "web": lambda: health.answers(f"{site}/healthz"),
                "worker": worker_answers,
                "beat": lambda: self.supervisor.running("beat"),
            }
        )
        # Flower asks the workers for their queues once, at its own start, and lists no queue of a worker that starts
        # later.
        self.supervisor.start(flower_service)
        self._wait_for({"Flower": lambda: health.answers(f"{flower_site}/healthcheck")})
        shown = public_url() or site
        self._say(
            f"{'Running' if self.once else 'Running until Ctrl-C'}.\n"
            f"  Pages    {shown}/\n"
            f"  Admin    {shown}/admin/  login: {admin.name}, password: {admin.password or UNCHANGED}\n"
            f"  Flower   {flower_site}/  {'; '.join(shown_login(login, admin) for login in logins)}\n"
            f"  Summary  curl -H 'Authorization: Token {admin.token or 'TOKEN'}' {shown}{SUMMARY}\n"
            f"  {KEEP if admin.token else f'A new TOKEN is made at {shown}/accounts/'}"
        )
        while not self.once:
            self._watch()
        return self._wait_for_run(f"{site}{SUMMARY}", token, started)

    def _start_redis(self, stack: ExitStack, ports: dict[str, str]) -> None:
        """Start the supervisor, and the private Redis unless REDIS_URL names one."""
        redis_services = self._private_redis(stack)
        stdout = sys.stderr if self.once else None
        # If everything runs on one machine, alerts may go to a program on this machine.
        private = {"ALLOW_PRIVATE_ADDRESSES": values.text("ALLOW_PRIVATE_ADDRESSES", "1")}
        environment = {**os.environ, **ports, **private}
        log_file = None if self.once or not settings.LOG_FILES_MB else log_file_of
        self.supervisor = stack.enter_context(Supervisor(environment, self.signals, stdout=stdout, log_file=log_file))
        self.watchdog = Watchdog(self.supervisor)
        self.supervisor.start(*redis_services)

    def _addresses(self) -> tuple[Address, Address]:
        """Return the host and port of web and of Flower. Raises `NotAvailableError` when one is in use."""
        if self.once:
            web_port, flower_port = state_dir.free_ports(2)
            return (LOCAL, web_port), (LOCAL, flower_port)
        web, flower = (settings.WEB_HOST, settings.WEB_PORT), (settings.FLOWER_HOST, settings.FLOWER_PORT)
        if web[1] == flower[1]:
            raise state_dir.NotAvailableError(f"WEB_PORT and FLOWER_PORT are both {web[1]}; each needs its own.")
        state_dir.check_free("WEB", *web)
        state_dir.check_free("FLOWER", *flower)
        return web, flower

    def _private_redis(self, stack: ExitStack) -> list[processes.Service]:
        """Return the service of the private Redis; none when REDIS_URL names a Redis."""
        if values.text("REDIS_URL"):
            return []
        socket, folder = private_socket(settings.STATE_DIR), settings.STATE_DIR / "redis"
        state_dir.private_folder(folder)
        state_dir.private_folder(socket.parent)
        if socket.parent != settings.STATE_DIR:
            stack.callback(remove_if_empty, socket.parent)
        if state_dir.is_listening(socket):
            raise state_dir.NotAvailableError(f"A Redis that was not started here answers at {socket}; end it first.")
        return [processes.private_redis(socket, folder)]

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            self._say(f"Applying {len(plan)} migrations to the database ...")
            call_command("migrate", interactive=False, verbosity=0)

    def _wait_for_redis(self) -> None:
        """Return when Redis answers.

        Raises `CommandError` when the Redis at REDIS_URL refuses this client or does not answer within seconds.
        """
        if not values.text("REDIS_URL"):
            return self._wait_for({"Redis": lambda: redis_error() is None})
        deadline = time.monotonic() + REDIS_WITHIN_SECONDS
        while error := redis_error():
            starting = isinstance(error, redis.BusyLoadingError)
            refused = not isinstance(error, (redis.ConnectionError, redis.TimeoutError))
            if refused or isinstance(error, redis.AuthenticationError):
                raise CommandError(f"The Redis at REDIS_URL refuses its user name, password or database: {error}")
            if time.monotonic() > (self.deadline if starting else deadline):
                advice = "Start it, correct REDIS_URL, or leave REDIS_URL empty for a private Redis."
                raise CommandError(f"No Redis answers at REDIS_URL: {error} {advice}")
            self._watch()

    def _wait_for(self, checks: dict[str, Callable[[], bool]]) -> None:
        """Return when every check has been true once. Raises `CommandError` at the deadline."""
        waiting = dict(checks)
        while waiting := {name: answers for name, answers in waiting.items() if not answers()}:
            if time.monotonic() > self.deadline:
                raise CommandError(f"Not ready in time: {', '.join(waiting)}. The lines above may say why.")
            self._watch()

    def _wait_for_run(self, url: str, token: str, started: datetime) -> dict[str, Any]:
        """Return the summary as soon as it shows a run that finished after `started`."""
        self._say("Waiting for beat to find a policy due and for the worker to finish its run ...")
        while time.monotonic() < self.deadline:
            self._watch()
            with contextlib.suppress(OSError):  # The supervisor may be restarting web.
                status, body = health.get(url, {"Authorization": f"Token {token}"})
                if status != 200:
                    raise CommandError(f"{url} answered {status}, not 200.")
                summary: dict[str, Any] = json.loads(body)
                if summary["last_run_at"] and datetime.fromisoformat(summary["last_run_at"]) >= started:
                    return summary
        raise CommandError("No run finished in time. The lines above may say why.")

    def _watch(self) -> None:
        """Restart services that ended or are silent. Raises `Stopped` after a signal."""
        self.supervisor.watch(POLL_SECONDS)
        self.watchdog.check()
        if self.signals.received:
            self._say("Stopping ...")
            raise Stopped

    def _say(self, text: str) -> None:
        out = self.stderr if self.once else self.stdout
        out.write(text, lambda line: line)
        out.flush()


def new_login() -> str:
    return f"admin:{secrets.token_urlsafe(12)}"


def log_file_of(service: str) -> LogFile:
    """Return the log file of a service, whose output also goes to the console."""
    folder = settings.STATE_DIR / "logs"
    state_dir.private_folder(folder)
    return LogFile(folder / f"{service}.log", round(settings.LOG_FILES_MB * 1e6), sys.stderr.fileno())


def redis_error() -> redis.RedisError | None:
    """Return why Redis does not answer, None when it does."""
    try:
        redis_client(timeout_seconds=2).ping()
    except redis.RedisError as error:
        return error
    return None


def worker_answers() -> bool:
    with Celery("up", broker=settings.CELERY_BROKER_URL, set_as_current=False) as app:
        return bool(app.control.ping(destination=[host_format(processes.WORKER_NODE)], timeout=0.5))


def shown_login(login: str, admin: Admin) -> str:
    """Return a login of Flower for display, with its password at the first start only."""
    user, _, password = login.partition(":")
    kept = "FLOWER_BASIC_AUTH" if settings.FLOWER_LOGINS else f"in {settings.STATE_DIR / FLOWER_LOGIN}"
    return f"login: {user}, password: {password if admin.token else kept}"


def base_url(address: Address) -> str:
    """Return the URL at which this machine reaches a server that listens on `address`."""
    host, port = address
    host = LOCAL if host in ("0.0.0.0", "::") else host  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def public_url() -> str | None:
    """Return the site's URL behind a proxy; None when it answers at 127.0.0.1.

    The first origin in CSRF_TRUSTED_ORIGINS has the port; without an origin, the URL has the first host name.
    """
    if not settings.HTTPS and {"*", LOCAL} & set(settings.ALLOWED_HOSTS):
        return None
    scheme = "https://" if settings.HTTPS else "http://"
    origins = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if origin.startswith(scheme) and "*" not in origin]
    return origins[0] if origins else scheme + (settings.ALLOWED_HOSTS[0].lstrip("*.") or LOCAL)


def remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
