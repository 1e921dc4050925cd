"""Runnable comparisons; docs/performance.md and docs/learning.md show their results."""

from benchmarks.requirements import not_installed

# Nearly all benchmarks import these packages. A Python with only the package of `pip install .` has neither of them.
try:
    import django  # noqa: F401
    import tqdm  # noqa: F401
except ModuleNotFoundError as error:
    raise not_installed(error) from None
