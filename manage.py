#!/usr/bin/env python
import os
import signal
import sys

try:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError
except ModuleNotFoundError as error:
    sys.exit(
        f"{error.name} is not installed for {sys.executable}: run .venv/bin/python manage.py, after `make up` or "
        "`make .venv/runtime` has installed the requirements into .venv."
    )

# The status of a program that SIGPIPE ends, as shells report it.
OUTPUT_CLOSED = 128 + signal.SIGPIPE

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantum_trader.settings")
    try:
        try:
            execute_from_command_line(sys.argv)
        finally:
            sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except BrokenPipeError:
        # The reader of the output has ended, as `head` does. Python flushes the output again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OUTPUT_CLOSED)
    except OperationalError as error:
        sys.exit(f"The database cannot be used: {error}. `make up` makes it; DATABASE_URL or STATE_DIR name another.")
