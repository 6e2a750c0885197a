"""Errors that a person can act on: the command line prints the message and nothing else."""

from __future__ import annotations

import sys


class MarqueeError(Exception):
    """A wrong input or file; the message says what to do next."""


class UsageError(MarqueeError):
    """A command line that lacks a part, or has one too many."""


class DataError(MarqueeError):
    """Data that cannot be read or does not fit."""


class BundleError(MarqueeError):
    """A bundle that must not be served."""


class CheckpointError(MarqueeError):
    """A checkpoint that is no gSASRec state dict, or does not fit its vocabulary."""


def warn(message: str) -> None:
    """Tell the person what the result cannot be trusted for; standard output stays the result's."""
    print(f"warning: {message}", file=sys.stderr)
