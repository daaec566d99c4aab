"""What the command-line programs share."""

import argparse


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows ``description``, a module's docstring, as it is written, and takes whole options only.

    Abbreviated, an option that a program does not have may be another: GFPGAN's ``--weight`` is no ``--weights-dir``.
    """
    return argparse.ArgumentParser(
        description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
