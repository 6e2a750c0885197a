"""That alerts, dashboards, runbook and autoscalers ask for metrics that exist, and belong together."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HEADINGS = ["What it means", "How to see it", "What to do", "How to know that it is over"]
# What Prometheus makes itself, and what its operator's node exporter would.
OTHERS = {"up"}


def known(document: str) -> set[str]:
    """The names of all series in METRICS.md."""
    names = set(OTHERS)
    for row in re.finditer(r"^\| `[\w.]+` \| `(\w+)` \| ([\w -]+) \|", document, re.MULTILINE):
        name, kind = row.groups()
        names.add(name)
        if kind == "histogram":
            names.update(f"{name}_{part}" for part in ("bucket", "sum", "count"))
    return names


def asked(expression: str) -> set[str]:
    """The names in an expression that look like metrics of the server."""
    without_texts = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:marquee_|marquee:[a-z]|rpc_server)[\w:]*", without_texts))


def unknown(expression: str, names: set[str]) -> list[str]:
    """Those that do not exist."""
    return sorted(asked(expression) - names)


def alerts(folder: Path) -> list[dict[str, Any]]:
    """The rules, alerts and records."""
    groups = yaml.safe_load((folder / "prometheus/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries(folder: Path) -> Iterator[tuple[str, str]]:
    """Each panel's query, and where it stands."""
    for file in sorted((folder / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.name}: {panel['title']}", target["expr"]


def names_that_do_not_exist(repository: Path) -> Iterator[str]:
    """Metrics that are asked for and are not."""
    folder = repository / "deploy"
    rules = alerts(folder)
    names = known((repository / "server/METRICS.md").read_text())
    names.update(rule["record"] for rule in rules if "record" in rule)
    places = [(f"alerts.yaml: {rule.get('alert') or rule['record']}", rule["expr"]) for rule in rules]
    places += queries(folder)
    for file in [
        *folder.glob("runbook/*.md"),
        *folder.glob("kubernetes/**/*.yaml"),
        *folder.glob("helm/**/*.yaml"),
    ]:
        places.append((str(file.relative_to(folder)), file.read_text()))
    for place, expression in places:
        for name in unknown(expression, names):
            yield f"{place}: there is no metric {name}"


def pages(repository: Path) -> Iterator[str]:
    """Alerts without a page or a test, and pages without an alert or a heading."""
    folder = repository / "deploy"
    wanted = {rule["alert"]: rule for rule in alerts(folder) if "alert" in rule}
    tests = yaml.safe_load((folder / "prometheus/alerts.test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    contents = (folder / "runbook/README.md").read_text()
    for alert, rule in wanted.items():
        page = folder / f"runbook/{alert}.md"
        if rule["annotations"].get("runbook") != f"deploy/runbook/{alert}.md" or not page.exists():
            yield f"{alert}: names no page of the runbook that is there"
            continue
        headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
        if headings != HEADINGS:
            yield f"runbook/{page.name}: has the headings {headings}, not {HEADINGS}"
        if f"| [{alert}]({alert}.md) | {rule['labels']['severity']} |" not in contents:
            yield f"runbook/README.md: does not list {alert} with its severity"
        outcomes = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert}
        if outcomes != {True, False}:
            yield f"alerts.test.yaml: {alert} is not tried both firing and silent"
    for page in (folder / "runbook").glob("Marquee*.md"):
        if page.stem not in wanted:
            yield f"runbook/{page.name}: no alert has this name"


def dashboards(repository: Path) -> Iterator[str]:
    """Files that are not what their generator makes, and panels that say nothing."""
    folder = repository / "deploy/grafana"
    texts = "{name: generate.page(dashboard) for name, dashboard in generate.DASHBOARDS.items()}"
    program = f"import generate, json; print(json.dumps({texts}))"
    command = [sys.executable, "-B", "-c", program]
    made = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)
    if {file.stem for file in folder.glob("*.json")} != set(made):
        yield "grafana: other files than generate.py makes; run it, and remove what it does not"
    for name, text in made.items():
        file = folder / f"{name}.json"
        if file.exists() and file.read_text() != text:
            yield f"grafana/{name}.json: is not what generate.py makes; run it"
        for panel in json.loads(text)["panels"]:
            if not panel["description"].endswith("."):
                yield f"grafana/{name}.json: {panel['title']} does not say what good looks like"
