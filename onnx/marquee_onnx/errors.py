"""Errors that a person can act on: the command line prints the message and nothing else."""

from __future__ import annotations


class MarqueeError(Exception):
    """A wrong input or file; the message says what to do next."""


class BundleError(MarqueeError):
    """A bundle that must not be served."""


class CheckpointError(MarqueeError):
    """A checkpoint that is no gSASRec state dict, or does not fit its vocabulary."""
