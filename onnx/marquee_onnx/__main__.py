"""The command line: `python -m marquee_onnx COMMAND`.

Each command is a module with `add_arguments(parser)` and `run(args) -> int`. Only the module of the chosen
command is imported, so that exporting and checking bundles work without PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from marquee_onnx.errors import MarqueeError, UsageError

COMMANDS = {
    "train": ("train", "train gSASRec on a MovieLens folder or a prepared split"),
    "evaluate": ("evaluate", "rank held-back items with a run, a bundle or a baseline"),
    "runs": ("compare_runs", "list trainings, compare them, show their curves"),
    "export": ("export", "write a bundle from a run folder"),
    "judge": ("judge_bundle", "write a bundle again with what bfloat16 loses in it"),
    "import-checkpoint": ("checkpoint", "write a run folder from a public gSASRec state dict"),
    "random": ("random_bundle", "write a bundle of any shape with seeded random weights"),
    "inspect": ("inspect_bundle", "check a bundle and show what it holds"),
    "card": ("card", "write the model card of a run folder or a bundle"),
    "tune": ("tune", "sweep objectives of a list and write the Pareto front"),
    "cold-start": ("cold_start", "try what is done for new users and with new movies"),
    "bench": ("bench", "measure the CPU encoder graphs"),
}
TRAINING_PACKAGES = {"torch", "polars", "matplotlib"}


def usage() -> str:
    """The text of `--help`: one line a command."""
    lines = [f"  {name:<18} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "usage: marquee-onnx COMMAND [options]; COMMAND --help says more\n\n" + "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status.

    1 for a file or a value that a person can put right, said in one sentence; 2 for a wrong command line.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] not in COMMANDS:
        print(f"error: no command {words[0]!r}\n{usage()}", file=sys.stderr)
        return 2
    module_name, _ = COMMANDS[words[0]]
    try:
        module = importlib.import_module(f"marquee_onnx.{module_name}")
        parser = argparse.ArgumentParser(prog=f"marquee-onnx {words[0]}", description=module.__doc__)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(words[1:])))
    except ModuleNotFoundError as error:
        if error.name not in TRAINING_PACKAGES:
            raise
        print(f"error: {words[0]} needs {error.name}: pip install 'marquee-onnx[train]'", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        print(f"error: not enough memory: {error}; choose smaller sizes", file=sys.stderr)
        return 1
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}; give another path" if error.filename else error
        print(f"error: {reason}", file=sys.stderr)
        return 1
    except MarqueeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
