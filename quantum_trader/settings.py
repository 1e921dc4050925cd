"""All settings, read from the environment; `.env.example` lists them.

The file `.env` beside manage.py is read too. Variables of the environment take precedence over it.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from quantum_trader import api_settings, logs
from quantum_trader.environment import env_file, network, retention, silence, values
from quantum_trader.environment.database_options import with_options
from quantum_trader.environment.server_urls import checked_redis_url, database_config, refuse_unencoded_passwords
from quantum_trader.redis_clients import broker_url, private_socket
from quantum_trader.web import strict_headers

BASE_DIR = Path(__file__).resolve().parent.parent
# Variables in .env that are no settings: `up` names them.
NOT_SETTINGS = env_file.load(BASE_DIR / ".env", BASE_DIR / ".env.example")


def required_unless_debug(name: str, debug_value: str) -> str:
    """Return the variable, or `debug_value` with DEBUG=1. Raises `ImproperlyConfigured` without either."""
    value = values.text(name)
    if value.strip():
        return value
    if DEBUG:
        return debug_value
    raise ImproperlyConfigured(
        f"{name} is not set. Set it in the environment or in .env (see .env.example), or DEBUG=1."
    )


DEBUG = values.boolean("DEBUG")
SECRET_KEY = required_unless_debug("SECRET_KEY", "for debugging only, not a secret")
# Earlier keys, which still decrypt and verify, separated by commas: after a change of SECRET_KEY.
SECRET_KEY_FALLBACKS = values.parts(values.text("SECRET_KEY_FALLBACKS"))
ALLOWED_HOSTS = values.hosts("ALLOWED_HOSTS", required_unless_debug("ALLOWED_HOSTS", "localhost,127.0.0.1"))
CSRF_TRUSTED_ORIGINS = values.origins("CSRF_TRUSTED_ORIGINS")

STATE_DIR = values.folder("STATE_DIR", BASE_DIR / "var", BASE_DIR)
MARKET_UPLOAD_MB = values.whole_number("MARKET_UPLOAD_MB", 100, 1, 10_000)
MARKET_DATA_ROOT = values.folder("MARKET_DATA_ROOT", STATE_DIR / "market", BASE_DIR)
CHECKPOINT_ROOT = values.folder("CHECKPOINT_ROOT", STATE_DIR / "checkpoints", BASE_DIR)
ARTIFACT_ROOT = values.folder("ARTIFACT_ROOT", STATE_DIR / "artifacts", BASE_DIR)

INSTALLED_APPS = [
    # Before the admin, whose template base_site.html it extends.
    "rl_training",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "django_jsonform",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "simple_history",
    "rl_training.accounts",
    "rl_training.alerts",
    "dashboard",
]
MIDDLEWARE = [
    "dashboard.monitoring.request_metrics.RequestMetrics",
    "dashboard.headers.StrictHeaders",
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "rl_training.accounts.second_factor.VerifiedUsers",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]
ROOT_URLCONF = "quantum_trader.urls"
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

refuse_unencoded_passwords()
DATABASE = database_config(values.text("DATABASE_URL"), STATE_DIR / "db.sqlite3", BASE_DIR)
DATABASES = {"default": with_options(DATABASE)}
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
# Static files are served from the packages, so there is no collectstatic step.
SERVESTATIC_USE_FINDERS = True
# Static files do not pass Django's middleware (quantum_trader/static_files.py), so this sets its headers.
SERVESTATIC_ADD_HEADERS_FUNCTION = strict_headers.of_static_file

# Pages load files of this site only, and no page contains inline scripts or styles.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        **{f"{kind}-src": ["'self'"] for kind in ("script", "style", "img", "connect")},
        **{name: ["'none'"] for name in ("default-src", "base-uri", "frame-ancestors")},
        "form-action": ["'self'"],
    }
}
SECURE_REFERRER_POLICY = strict_headers.REFERRER_POLICY

AUTHENTICATION_BACKENDS = ["rl_training.accounts.backend.LimitedBackend"]
# New hashes are of the first kind. A password with another hash gets a new one at its next login.
PASSWORD_HASHERS = [
    "rl_training.accounts.hashing.Argon2Hasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    *(
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
    ),
    {"NAME": "rl_training.accounts.tokens.EndWithPassword"},
]
# The limits of guesses hold for codes too; those of django_otp would let others lock a user out.
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0
OTP_TOTP_ISSUER = "Quantum trader"
LOGIN_URL = LOGOUT_REDIRECT_URL = "login"
LOGIN_REDIRECT_URL = "dashboard:policies"
# With HTTPS=1, cookies are sent over HTTPS only, and the proxy's X-Forwarded-Proto header is trusted.
HTTPS = values.boolean("HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
# Monitors on the same network request these URLs without the proxy.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# The address of a client is read from the X-Forwarded-For header of these proxies; limits of logins depend on it.
TRUSTED_PROXIES = values.networks("TRUSTED_PROXIES", "127.0.0.1,::1" if HTTPS else "")
CONNECTIONS, CONNECTIONS_PER_ADDRESS, LIVE_STREAMS_PER_USER, LIVE_STREAMS_PER_ADDRESS = network.connection_limits()
ALLOW_PRIVATE_ADDRESSES = network.private_addresses_allowed()
REST_FRAMEWORK, SPECTACULAR_SETTINGS = api_settings.rest_framework(), api_settings.SPECTACULAR

REDIS_URL = checked_redis_url(values.text("REDIS_URL", f"unix://{private_socket(STATE_DIR)}"))
# How long records and files are kept.
(
    EVENT_RETENTION_DAYS,
    BARS_RETENTION_DAYS,
    BARS_KEPT,
    RUNS_KEPT,
    RUN_DETAILS_KEPT,
    SETTINGS_HISTORY_KEPT,
    ALERT_RETENTION_DAYS,
    VERSIONS_KEPT,
    VERSIONS_KEPT_DAILY_DAYS,
) = retention.limits()
# With 1, what is live changes only after a second user has approved it.
PROMOTION_NEEDS_TWO = values.boolean("PROMOTION_NEEDS_TWO")
# All trials on a market together validate a recipe without merit with at most this probability.
PROMOTION_ALPHA = values.probability("PROMOTION_ALPHA", 0.05)
# The largest number of validation steps that workers execute or have in their queue. A run that becomes due waits
# behind at most this many steps.
VALIDATION_STEPS_AT_ONCE = values.whole_number("VALIDATION_STEPS_AT_ONCE", 2, 1, 1024)
# A validation step that has run for this long is released, to be continued later, if a training run waits for a worker.
VALIDATION_TURN_SECONDS = values.seconds("VALIDATION_TURN_SECONDS", 60)
# A decision expires this many bars after the close of its bar: it must not be used, and the API stops returning it.
MAX_BAR_AGE = values.whole_number("MAX_BAR_AGE", 2, 1, 1_000)
TRAINING_QUEUE = "training"
DECISIONS_QUEUE = "decisions"
ALERTS_QUEUE = "alerts"
CELERY_BROKER_URL = broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# None means no limit: with Celery's default of 100 tries, a worker would end after 45 minutes without Redis.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Publishing fails quickly when Redis is down, so that pages and beat do not wait. The run is in the database, and beat
# sends its message later.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    # A connection that was idle for this many seconds is checked with a ping before use.
    "health_check_interval": 4,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = TRAINING_QUEUE
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_CONCURRENCY = values.whole_number("WORKER_CONCURRENCY", 1, 1, 1024)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A busy worker leaves the next message in Redis, for other workers and across its own restart.
CELERY_WORKER_DISABLE_PREFETCH = True
# A process of the pool imports and compiles the training code first, which takes half a minute without a cache.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 300
# Threads of each training process: together, the processes of a worker use every core once.
CORES = os.cpu_count() or 1
TRAINING_THREADS = values.whole_number("TRAINING_THREADS", max(1, CORES // CELERY_WORKER_CONCURRENCY), 1, 1024)
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_BEAT_SCHEDULER = "rl_training.schedule.scheduler:PolicyStoreScheduler"

# Time limits of ownership, in seconds. The defaults suit every installation; fault tests lower them to be short.

# How often the owner of a run checks whether the run was cancelled, is stuck or has taken too long.
OWNER_TICK_SECONDS = values.seconds("OWNER_TICK_SECONDS", 1)
OWNER_HEARTBEAT_SECONDS = values.seconds("OWNER_HEARTBEAT_SECONDS", 5)
# A run without a heartbeat for so long is reaped, and a silent pool process is killed. The default is six heartbeats:
# long enough for a stalled disk, short enough that an orphaned run is resumed within a minute.
RUN_LOST_AFTER_SECONDS = values.seconds("RUN_LOST_AFTER_SECONDS", 30)
# How long a worker tries to write the end of a run while the database is away.
RUN_END_RETRY_SECONDS = values.seconds("RUN_END_RETRY_SECONDS", 600)
# A run publishes no progress for so long after Redis did not take it: training waits for each try.
PROGRESS_PAUSE_SECONDS = values.seconds("PROGRESS_PAUSE_SECONDS", 60)
# How often a process of a worker's pool writes a heartbeat for its parent process.
POOL_HEARTBEAT_SECONDS = values.seconds("POOL_HEARTBEAT_SECONDS", 1)
# Beat enqueues due runs at every tick. Housekeeping reaps runs, resends messages, relays events and replays streams.
CELERY_BEAT_MAX_LOOP_INTERVAL = BEAT_TICK_SECONDS = values.seconds("BEAT_TICK_SECONDS", 1)
BEAT_HOUSEKEEPING_SECONDS = values.seconds("BEAT_HOUSEKEEPING_SECONDS", 5)
# The writer of an event relays it at once, so beat leaves newer events alone.
EVENT_RELAY_AFTER_SECONDS = values.seconds("EVENT_RELAY_AFTER_SECONDS", 3)
# A run that is queued for so long and whose message is not in the queue has lost that message.
MESSAGE_RESEND_AFTER_SECONDS = values.seconds("MESSAGE_RESEND_AFTER_SECONDS", 30)
# One of several beats keeps the streams complete; another beat replaces a dead one after so long.
STREAM_LOCK_SECONDS = values.seconds("STREAM_LOCK_SECONDS", 4)
# Seconds without a heartbeat, by the kind of process, until it counts as silent and until `up` restarts it.
SILENT_AFTER_SECONDS, HUNG_AFTER_SECONDS = silence.silent_after(), silence.hung_after()
silence.refuse_contradictions(globals())

# The bearer token of Prometheus. While it is empty, no bearer token is accepted.
METRICS_TOKEN = values.token("METRICS_TOKEN")

WEB_HOST = values.listening_host("WEB_HOST", "127.0.0.1")
WEB_PORT = values.whole_number("WEB_PORT", 8000, 1, 65535)
FLOWER_HOST = values.listening_host("FLOWER_HOST", "127.0.0.1")
FLOWER_PORT = values.whole_number("FLOWER_PORT", 5555, 1, 65535)
FLOWER_URL = values.web_url("FLOWER_URL", f"http://127.0.0.1:{FLOWER_PORT}")
FLOWER_LOGINS = values.logins("FLOWER_BASIC_AUTH")

LOG_FORMAT = values.text("LOG_FORMAT", "console")
LOG_LEVEL = values.text("LOG_LEVEL", "INFO")
# `up` stores the output of each service in files of this size under STATE_DIR/logs, five of each service; 0: in none.
LOG_FILES_MB = values.whole_number("LOG_FILES_MB", 10, 0, 10_000)
LOGGING_CONFIG = "quantum_trader.logs.configure"
LOGGING = logs.logging_config(LOG_FORMAT, LOG_LEVEL)
