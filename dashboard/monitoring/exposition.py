"""Metric families as Prometheus' text format 0.0.4 has them: what `generate_latest` writes, in a third of its time.

That of prometheus_client looks at each label of each sample for what no metric of ours has: names that must be escaped,
exemplars, native histograms. With a thousand policies it takes longer than all queries together.
"""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

# Larger numbers are written with an exponent.
PLAIN_BELOW = 1_000_000


def text(families: Iterable[Metric]) -> bytes:
    """Of counters, gauges and histograms whose names and labels are plain."""
    return "".join(line for family in families for line in lines(family)).encode()


def lines(family: Metric) -> Iterable[str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    meaning = escaped(family.documentation)
    yield f"# HELP {name} {meaning}\n# TYPE {name} {family.type}\n"
    for sample in family.samples:
        yield line(sample)


def line(sample: Sample) -> str:
    value = sample.value
    plain = isinstance(value, int) and 0 <= value < PLAIN_BELOW
    number = f"{value:d}.0" if plain else floatToGoString(value)  # type: ignore[no-untyped-call]
    if not sample.labels:
        return f"{sample.name} {number}\n"
    labels = [f'{label}="{escaped(said, quotes=True)}"' for label, said in sorted(sample.labels.items())]
    return f"{sample.name}{{{','.join(labels)}}} {number}\n"


def escaped(said: str, quotes: bool = False) -> str:
    """Without what would end a label's value or a line."""
    said = said.replace("\\", r"\\").replace("\n", r"\n")
    return said.replace('"', r"\"") if quotes else said
