import gc
import os

import django
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantum_trader.settings")
django.setup(set_prefix=False)

# They need the apps to be set up.
from quantum_trader.static_files import StaticFiles  # noqa: E402
from quantum_trader.threaded import ThreadedHandler  # noqa: E402

# As many requests at once; more wait their turn. They share one core at a time with the event loop: more threads than
# wait for the database only wait for each other.
THREADS = 3
# An answer to those who watch must not wait for pages that wait for a database.
HEALTH = ("/healthz", "/readyz")

live_events = import_string("dashboard.live.app.LiveEvents")
application = StaticFiles(live_events(ThreadedHandler(THREADS, apart=HEALTH)))

# What is there from now to the end need not be looked through for garbage, which holds up the requests of that moment.
gc.collect()
gc.freeze()
