"""The message for a benchmark whose packages are not installed."""


def not_installed(error: ModuleNotFoundError) -> SystemExit:
    """Return a SystemExit for a package that could not be imported, with a message that says what to install."""
    package = (error.name or "").partition(".")[0]
    return SystemExit(
        f"{package} is not installed. This benchmark needs the development requirements: run "
        "`make .venv/development`, or `pip install --require-hashes --requirement requirements-dev.txt`."
    )
