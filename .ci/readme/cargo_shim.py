"""cargo as the documents' test has it: it runs the programs that are built already (see stage.py).

It stays strict about names: a package, program or example that the workspace does not have is an error.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

DEFAULT_PACKAGE = "marquee-server"
# A package as stage.py writes it down: its folder, its default program, its programs and examples.
Package = dict[str, Any]
# Options of cargo that take a value.
WITH_VALUE = ("-p", "--package", "--bin", "--example", "--path")


class UsageError(Exception):
    """A command that cargo would refuse too, or that the stage does not know."""


def parse(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options of cargo, and the arguments of the program."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options, rest = {}, iter(arguments[:cut])
    for word in rest:
        name, equals, value = word.partition("=")
        if name in WITH_VALUE:
            options[name.replace("--package", "-p")] = value if equals else next(rest, "")
        elif word.startswith("-"):
            options[word] = ""
        else:
            raise UsageError(f"cargo: what is '{word}'?")
    return options, arguments[cut + 1 :]


def package_of(options: dict[str, str], packages: dict[str, Package]) -> Package:
    """The package that is named, or the one that cargo takes by itself."""
    name = options.get("-p", DEFAULT_PACKAGE)
    if name not in packages:
        raise UsageError(f"cargo: the workspace has no package {name}")
    return packages[name]


def program(options: dict[str, str], packages: dict[str, Package]) -> str:
    """The path of the program below the folder of the binaries."""
    package = package_of(options, packages)
    if "--example" in options:
        name, names, folder = options["--example"], package["example"], "examples/"
    else:
        name = (
            options.get("--bin")
            or package["default"]
            or (package["bin"][0] if len(package["bin"]) == 1 else "")
        )
        names, folder = package["bin"], ""
    if name not in names:
        raise UsageError(f"cargo: there is no program '{name}' in {sorted(names)}")
    return folder + name


def plan(arguments: list[str], packages: dict[str, Package]) -> tuple[str, list[str]]:
    """What a command comes to: a program to run with its arguments, or words to say."""
    command, *arguments = arguments or [""]
    if command not in ("run", "build", "test", "install"):
        raise UsageError(f"cargo: the stage of the documents has no '{command}'")
    options, rest = parse(arguments)
    if command == "run":
        return program(options, packages), rest
    if command == "install":
        folder = Path(options.get("--path", "")).name
        if folder not in [package["folder"] for package in packages.values()]:
            raise UsageError(f"cargo: no package lies in '{folder}'")
        return "", [f"the programs of {folder} are on the PATH already"]
    if "--workspace" not in options:
        package_of(options, packages)
    return "", ["everything is built already" if command == "build" else "the gate runs the tests itself"]


def main() -> None:
    """Becomes the program, or says why not."""
    known = json.loads(Path(sys.argv[1]).read_text())
    try:
        path, rest = plan(sys.argv[2:], known["packages"])
    except UsageError as error:
        sys.exit(str(error))
    if not path:
        print(*rest)
        return
    binary = Path(known["binaries"]) / path
    sys.stdout.flush()
    os.execv(binary, [str(binary), *rest])


if __name__ == "__main__":
    main()
