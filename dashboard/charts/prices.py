"""The chart of a market's closes, with marks at suspicious bars and after gaps."""

from dashboard.charts.series import Chart, Series, drawn
from rl_training.core.words import count_of
from rl_training.market_checks import CheckedMarket


def closes(market: CheckedMarket) -> Chart | None:
    """Return the chart, or None if no bars are known."""
    if not market.times:
        return None
    values = [drawn(close) for close in market.closes]
    marks = (("Suspicious", "bad", market.suspicious), ("After a gap", "reference", market.after_gap))
    series = [Series("Close", values)]
    for label, colour, positions in marks:
        if positions:
            marked = [value if number in positions else None for number, value in enumerate(values)]
            series.append(Series(label, marked, "marks", "bad" if colour == "bad" else "reference"))
    facts = market.facts
    summary = (
        f"{count_of(facts['bars'], 'bar')}, {facts['first'][:10]} to {facts['last'][:10]}; "
        f"{len(market.suspicious):,} marked as suspicious, {facts['gaps']:,} missing."
    )
    return Chart("Close", summary, "Bar", market.times, tuple(series), time=True)
