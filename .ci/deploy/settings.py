"""The settings, as server/CONFIGURATION.md lists them, and deploy/.env.example, which is made of them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WIDTH = 110

HEAD = """\
# The settings of the server for Compose: copy to deploy/.env and change what should differ. Every line below
# is a setting with its default. Made by `python3 .ci/deploy --write-env` from server/CONFIGURATION.md.
#
# What compose.yaml sets itself (listen, auth, certificates, store, times of the end) is not changed here.

# The image.
#IMAGE=marquee:latest
# Folder with server.pem and server-key.pem, or a volume.
#CERTIFICATES=certificates
# Port of this machine, on loopback.
#PORT=50051
# Where traces and metrics are sent by OTLP, such as the collector of compose.yaml.
#OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317
"""


@dataclass(frozen=True)
class Setting:
    """A row of a table of the document."""

    section: str
    name: str
    default: str
    accepted: str
    meaning: str

    @property
    def variable(self) -> str:
        """Its variable of the environment."""
        return f"MARQUEE_{self.name.upper().replace('-', '_')}"


def settings(document: Path) -> list[Setting]:
    """All of them, in the document's order."""
    found = []
    section = ""
    for line in document.read_text().splitlines():
        if heading := re.match(r"### `\[(\w+)\]`", line):
            section = heading[1]
        elif line.startswith("## "):
            section = ""
        elif section and (row := re.match(r"\| `([\w-]+)` \| `(.*?)` \| (.*?) \| (.*) \|$", line)):
            found.append(Setting(section, *row.groups()))
    return found


def example(found: list[Setting]) -> Iterator[str]:
    """The text of deploy/.env.example, in pieces."""
    yield HEAD
    section = ""
    for setting in found:
        if setting.section != section:
            section = setting.section
            yield f"\n# [{section}]\n"
        said = f"{setting.meaning}. Accepted: {setting.accepted}"
        yield "\n" + textwrap.fill(said, WIDTH, initial_indent="# ", subsequent_indent="# ") + "\n"
        yield f"#{setting.variable}={setting.default}\n"
