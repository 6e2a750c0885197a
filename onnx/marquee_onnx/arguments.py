"""Types of command-line values: a value out of bounds is a wrong command line, said by argparse."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

LARGEST_SEED = (1 << 32) - 1
MOST_THREADS = 1024


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of whole numbers in this range."""

    def read(text: str) -> int:
        known = text.isdecimal() and len(text) <= len(str(most))
        if not known or not least <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of numbers in this range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text!r} is no number from {least:g} to {most:g}")
        return value

    return read


positive = whole(1, (1 << 31) - 1)
size = whole(1, 1 << 24)
count = whole(0, (1 << 31) - 1)
threads = whole(0, MOST_THREADS)
seed = whole(0, LARGEST_SEED)
fraction = number(0, 1)
seconds = number(0, 86_400)
