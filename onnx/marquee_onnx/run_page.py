"""Runs on one page of HTML that needs no other file: figures, curves side by side, settings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape

from marquee_onnx import compare_runs, comparison, past_runs
from marquee_onnx.errors import DataError
from marquee_onnx.past_runs import PastRun

CURVES = {"loss": "training loss", "ndcg@10": "validation nDCG@10", "recall@10": "validation R@10"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
th, td { border: 1px solid #8888; padding: 0.25rem 0.6rem; text-align: left; }
td { white-space: nowrap; }
.wide { overflow-x: auto; }
.wide svg { max-width: 100%; height: auto; background: white; }
"""


def page(past: Sequence[PastRun]) -> str:
    """The page of these runs."""
    names = ", ".join(run.name for run in past)
    parts = [
        f"<h1>{escape(names)}</h1>",
        "<h2>Runs</h2>",
        html_table(compare_runs.LISTED, [compare_runs.row(run, run.folder) for run in past]),
        "<h2>Curves</h2>",
        f'<div class="wide">{curves(past)}</div>',
        *compared(past),
        *(part for run in past if run.ranks is not None for part in beside(run)),
        "<h2>Begun with</h2>",
        html_table(["", *(run.name for run in past)], settings(past)),
    ]
    head = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(names)}</title><style>{STYLE}</style></head>"
    )
    return "\n".join([head, "<body>", *parts, "</body>", "</html>"]) + "\n"


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, its first column being heads of rows."""
    lines = ["<tr>" + "".join(f'<th scope="col">{escape(head)}</th>' for head in heads) + "</tr>"]
    for name, *cells in rows:
        line = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{line}</tr>')
    return '<div class="wide"><table>' + "\n".join(lines) + "</table></div>"


def compared(past: Sequence[PastRun]) -> list[str]:
    """The runs against the first, where they can be compared."""
    if len(past) < 2:
        return []
    try:
        heads, rows = compare_runs.figures_table(past_runs.grouped(past))
    except DataError as error:
        return [f"<p>Not compared: {escape(str(error))}</p>"]
    return ["<h2>Compared, paired by user</h2>", html_table(heads, rows)]


def beside(run: PastRun) -> list[str]:
    """A run beside what it has to beat."""
    return [f"<h2>{escape(run.name)} beside others</h2>", html_table(*comparison.rows_of(past_runs.own(run)))]


def settings(past: Sequence[PastRun]) -> list[list[str]]:
    """Everything that the runs were begun with."""
    names = dict.fromkeys(name for run in past for name in run.begun_with)
    return [[name, *(str(run.begun_with.get(name, "-")) for run in past)] for name in names]


def curves(past: Sequence[PastRun]) -> str:
    """Loss and validation over the epochs as SVG, a panel a figure and a line a run."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    for panel, (name, title) in zip(figure.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        for run in past:
            known = [record for record in run.log if name in record]
            epochs = [record["epoch"] for record in known]
            panel.plot(epochs, [record[name] for record in known], marker=".", label=run.name)
        panel.set(xlabel="epoch", title=title)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend()
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "runs"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    text = drawn.getvalue()
    return text[text.index("<svg") :]
