"""The services that make up the system: each is a process with the command that starts it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantum_trader.running import redis_server

BASE_DIR = Path(__file__).resolve().parent.parent
WORKER_NODE = "training@%h"
# docker-compose.yml runs the same commands. Hosts, ports and logins come from the environment: uvicorn reads
# UVICORN_HOST and UVICORN_PORT, Flower reads FLOWER_ADDRESS, FLOWER_PORT and FLOWER_BASIC_AUTH.
COMMANDS = {
    "redis": ("redis-server", "--appendonly", "yes", "--save", "", "--loglevel", "warning"),
    "migrate": ("python", "manage.py", "migrate", "--noinput"),
    # uvicorn.json configures no handlers, so uvicorn's lines go through Django's logging. The application itself reads
    # the headers of trusted proxies.
    "web": (
        *("uvicorn", "quantum_trader.asgi:application", "--lifespan", "off", "--no-proxy-headers"),
        *("--http", "quantum_trader.web.bounded_http:BoundedHttp", "--ws", "none"),
        *("--log-config", "quantum_trader/uvicorn.json", "--timeout-graceful-shutdown", "5"),
    ),
    # Nothing here uses what workers exchange by gossip and mingle, and mingle delays the start by a second.
    "worker": (
        *("celery", "--quiet", "-A", "celery_app", "worker", "-Q", "training", "--hostname", WORKER_NODE),
        *("--without-gossip", "--without-mingle"),
    ),
    "beat": ("celery", "--quiet", "-A", "celery_app", "beat"),
    # Alerts have a small worker of their own: a training run would delay messages for hours. It never imports torch.
    "alerts": (
        *("celery", "--quiet", "-A", "celery_app", "worker", "-Q", "alerts", "--hostname", "alerts@%h"),
        *("--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle"),
    ),
    # Decides on new bars, in threads that may wait for an exchange. It never imports torch.
    "decide": (
        *("celery", "--quiet", "-A", "celery_app", "worker", "-Q", "decisions", "--hostname", "decide@%h"),
        *("--pool", "threads", "--concurrency", "4", "--without-gossip", "--without-mingle"),
    ),
    "flower": ("celery", "--quiet", "-A", "celery_app", "flower", "--conf=rl_training/accounts/flower_config.py"),
}


@dataclass(frozen=True)
class Service:
    """A process to keep running: its command, and the variables that it gets besides the supervisor's environment."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stops_last: bool = False  # The other services need this service until they have ended.


def private_redis(socket: Path, folder: Path) -> Service:
    """Return the Redis of one state directory: it listens only on `socket` and writes its file in `folder`."""
    options = ("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(folder))
    return Service("redis", (redis_server.program(), *COMMANDS["redis"][1:], *options), stops_last=True)


def services(web: tuple[str, int], flower: tuple[str, int], flower_logins: list[str]) -> list[Service]:
    """Return web, worker, beat, alerts, decide and Flower.

    `web` and `flower` are the host and port to listen on; each of `flower_logins` is `user:password`.
    """
    own_environment = {
        "web": {"UVICORN_HOST": web[0], "UVICORN_PORT": str(web[1])},
        "flower": {
            "FLOWER_ADDRESS": flower[0],
            "FLOWER_PORT": str(flower[1]),
            "FLOWER_BASIC_AUTH": ",".join(flower_logins),
        },
    }
    names = ("web", "worker", "beat", "alerts", "decide", "flower")
    return [Service(name, COMMANDS[name], own_environment.get(name, {})) for name in names]
