"""All settings, read from the environment once; `.env.example` lists them.

A `.env` file beside manage.py is read too; what the environment itself says goes first.
"""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from quantum_trader import logs
from quantum_trader.redis_address import broker_url, private_socket

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")


def required_unless_debug(name: str, debug_value: str) -> str:
    value: str = env.str(name, default="")
    if value:
        return value
    if DEBUG:
        return debug_value
    raise ImproperlyConfigured(
        f"{name} is not set. Set it in the environment or in .env (see .env.example), or DEBUG=1."
    )


def whole_number(name: str, default: int, minimum: int, maximum: int) -> int:
    text: str = env.str(name, default="") or str(default)
    if not (text.isascii() and text.isdigit() and minimum <= int(text) <= maximum):
        raise ImproperlyConfigured(f"{name} is {text!r}; it is a whole number from {minimum} to {maximum}.")
    return int(text)


def database(url: str) -> dict[str, Any]:
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": STATE_DIR / "db.sqlite3"}
    config: dict[str, Any] = env.db_url_config(url)
    if "ENGINE" not in config:
        raise ImproperlyConfigured("DATABASE_URL is not a database's address, as postgres://user:password@host/name.")
    return config


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = required_unless_debug("SECRET_KEY", "for debugging only, not a secret")
ALLOWED_HOSTS = [host.strip() for host in required_unless_debug("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

STATE_DIR = Path(env.str("STATE_DIR", default="") or BASE_DIR / "var").resolve()
MARKET_DATA_ROOT = Path(env.str("MARKET_DATA_ROOT", default="") or STATE_DIR / "market").resolve()
CHECKPOINT_ROOT = Path(env.str("CHECKPOINT_ROOT", default="") or STATE_DIR / "checkpoints").resolve()
ARTIFACT_ROOT = Path(env.str("ARTIFACT_ROOT", default="") or STATE_DIR / "artifacts").resolve()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "django_jsonform",
    "rest_framework",
    "rest_framework.authtoken",
    "simple_history",
    "rl_training",
    "dashboard",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]
ROOT_URLCONF = "quantum_trader.urls"
ASGI_APPLICATION = "quantum_trader.asgi.application"
WSGI_APPLICATION = "quantum_trader.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database(env.str("DATABASE_URL", default=""))}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Readers and a writer do not block each other; a writer takes its lock at once, so that waiting for it
        # is governed by the timeout instead of failing half-way through a transaction.
        "init_command": "PRAGMA journal_mode=WAL",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": STATE_DIR / "files"}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "artifacts": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": ARTIFACT_ROOT, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
}
STATIC_URL = "static/"
SERVESTATIC_USE_FINDERS = True  # the packages' own files are served in place: no collectstatic step to forget

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"
# Behind HTTPS: cookies over HTTPS only, and the proxy's X-Forwarded-Proto is believed.
HTTPS = env.bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

REST_FRAMEWORK = {
    # The token comes first: it decides that a request without credentials is answered 401, not 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}

REDIS_URL = env.str("REDIS_URL", default="") or f"unix://{private_socket(STATE_DIR)}"
TRAINING_QUEUE = "training"
CELERY_BROKER_URL = broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Publishing must not hold up a page or beat when Redis is away: the run is in the database all the same, and beat
# sends the message later.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = TRAINING_QUEUE
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_CONCURRENCY = whole_number("WORKER_CONCURRENCY", 1, 1, 1024)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_TASK_TRACK_STARTED = True
CELERY_BEAT_SCHEDULER = "rl_training.scheduler:PolicyStoreScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1

WEB_HOST = env.str("WEB_HOST", default="") or "127.0.0.1"
WEB_PORT = whole_number("WEB_PORT", 8000, 1, 65535)
FLOWER_HOST = env.str("FLOWER_HOST", default="") or "127.0.0.1"
FLOWER_PORT = whole_number("FLOWER_PORT", 5555, 1, 65535)
FLOWER_URL = env.str("FLOWER_URL", default="") or f"http://127.0.0.1:{FLOWER_PORT}"

LOG_FORMAT = env.str("LOG_FORMAT", default="") or "console"
LOG_LEVEL = env.str("LOG_LEVEL", default="") or "INFO"
LOGGING_CONFIG = "quantum_trader.logs.configure"
LOGGING = logs.logging_config(LOG_FORMAT, LOG_LEVEL)
