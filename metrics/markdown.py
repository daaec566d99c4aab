"""Tables in Markdown."""

from collections.abc import Sequence


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def heading(cells: Sequence[str]) -> str:
    """The first two lines of a table."""
    return row(*cells) + row(*["---"] * len(cells))
