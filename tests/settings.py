"""The project's settings with a state directory for this test process alone, independent of .env."""

import atexit
import os
import shutil
import tempfile

FOLDER = tempfile.mkdtemp(prefix="quantum-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
os.environ |= {
    "DEBUG": "0",
    "SECRET_KEY": "for tests only",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "STATE_DIR": FOLDER,
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", ""),
    **dict.fromkeys(["REDIS_URL", "MARKET_DATA_ROOT", "ARTIFACT_ROOT", "CHECKPOINT_ROOT", "METRICS_TOKEN"], ""),
    **dict.fromkeys(["FLOWER_URL", "CSRF_TRUSTED_ORIGINS", "TRUSTED_PROXIES"], ""),
    **dict.fromkeys(["WORKER_CONCURRENCY", "TRAINING_THREADS", "EVENT_RETENTION_DAYS", "BARS_RETENTION_DAYS"], ""),
    **dict.fromkeys(["VERSIONS_KEPT", "VERSIONS_KEPT_DAILY_DAYS"], ""),
    "MAX_BAR_AGE": "",
    "HTTPS": "0",
    "ALLOW_PRIVATE_ADDRESSES": "1",
    "PROMOTION_NEEDS_TWO": "0",
    "WEB_HOST": "127.0.0.1",
    "WEB_PORT": "8000",
    "FLOWER_HOST": "127.0.0.1",
    "FLOWER_PORT": "5555",
    # The first user of each test has the same id, so the tests share one throttling counter.
    **dict.fromkeys(["API_READS_PER_MINUTE", "API_WRITES_PER_MINUTE", "API_SUMMARIES_PER_MINUTE"], "1000000"),
    "LOG_FORMAT": "console",
    "LOG_LEVEL": "INFO",
}

from quantum_trader.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
