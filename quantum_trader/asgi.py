"""The application that uvicorn serves: static files, live events, and Django's pages and API."""

import gc
import os
from typing import Any

import structlog
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantum_trader.settings")
django_application = get_wsgi_application()

# These modules can be imported only after `get_wsgi_application` has set Django up.
from quantum_trader.environment.weak_secrets import weak_secrets  # noqa: E402
from quantum_trader.static_files import StaticFiles  # noqa: E402
from quantum_trader.threaded import ThreadedHandler, Upload  # noqa: E402
from quantum_trader.web.bounded_http import BoundedHttp  # noqa: E402

# The number of requests that are answered at the same time; further requests are queued. The threads share one core
# with the event loop, so more threads help only while some wait for the database.
THREADS = 3
# Monitors must get an answer even while all other threads wait for a database.
HEALTH = ("/healthz", "/readyz")
# Forms that hash passwords begin with these paths.
LOGINS = ("/accounts/", "/admin/auth/user/")
# Pages and resources that may read a market file of a hundred megabytes begin with these paths.
SLOW = ("/market/", "/api/v1/market-check")
# A form has names and a boundary around its file.
MARKET_UPLOAD_BYTES = settings.MARKET_UPLOAD_MB * 2**20 + 65_536

live_events = import_string("dashboard.live.app.LiveEvents")
may_upload = import_string("dashboard.pages.market.admission.may_upload")
uploads = {"/market/upload/": Upload(MARKET_UPLOAD_BYTES, settings.MARKET_DATA_ROOT, may_upload)}
BoundedHttp.uploads = frozenset(uploads)
pages = ThreadedHandler(django_application, THREADS, apart=HEALTH, logins=LOGINS, slow=SLOW, uploads=uploads)
site: Any = StaticFiles(live_events(pages))
application = ProxyHeadersMiddleware(site, settings.TRUSTED_PROXIES)

for note in weak_secrets():
    structlog.get_logger(__name__).warning(note)

# The objects that exist now live as long as the process. Freezing them keeps the garbage collector from examining them
# again and again, which would delay requests.
gc.collect()
gc.freeze()
