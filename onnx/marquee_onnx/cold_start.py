"""Try what is done before a user or a movie is known, and print the figures as a table of Markdown.

`onboarding` asks users about the movies of a list; `events` judges lists after each user's first events;
`new-movies` serves movies that the model was not trained on.
"""

from __future__ import annotations

import argparse

from marquee_onnx import try_events, try_new_movies, try_onboarding
from marquee_onnx.cold_users import add_user_arguments

TRIALS = {
    "onboarding": try_onboarding,
    "events": try_events,
    "new-movies": try_new_movies,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the trials and their options."""
    trials = parser.add_subparsers(dest="trial", required=True, metavar="TRIAL")
    for name, module in TRIALS.items():
        trial = trials.add_parser(
            name, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add_user_arguments(trial)
        module.add_arguments(trial)


def run(args: argparse.Namespace) -> int:
    """Run one trial and print it."""
    print(TRIALS[args.trial].report(args))
    return 0
