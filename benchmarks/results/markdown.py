"""Markdown tables."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns; the first line holds its headings."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    texts = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    texts.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in texts)
