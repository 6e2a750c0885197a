"""The report of a month, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from figures import CONTESTANTS, METRICS, Answers, Interval, difference, mean


@dataclass
class Night:
    """A day, from 0, and the retraining of the night after it."""

    day: int
    events: int
    poison: str
    outcome: str = ""
    said: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    answers: list[Answers] = field(default_factory=list)


@dataclass(frozen=True)
class Flood:
    """The night of a flood, and how people fare on the day after it.

    Answers are by the model before it (`frozen`) and by the one in service after it; so are the shares of the
    places in people's lists that the pushed items have.
    """

    night: Night
    answers: list[Answers]
    share_before: float
    share_after: float


PAIRS = (("service", "frozen"), ("service", "popularity"))
NAMES = {
    "frozen": "the first model, frozen",
    "service": "in service",
    "popularity": "popular in the last 7 days",
}
PARTS = ("judging the day", "traffic", "export", "training", "judging")


def report(found: dict[str, Any], nights: Sequence[Night], flood: Flood) -> str:
    """All of it."""
    return "\n".join(
        [
            *head(found, nights),
            "",
            *gains(nights),
            "",
            *night_by_night(nights),
            "",
            *poisons(nights, flood),
            "",
            *costs(found, [*nights, flood.night]),
            "",
        ]
    )


def head(found: dict[str, Any], nights: Sequence[Night]) -> list[str]:
    """What was run, and where."""
    machine, plan = found["machine"], found["plan"]
    size, outcomes = plan["size"], [night.outcome for night in nights]
    return [
        "# A month of nightly retraining",
        "",
        f"Written by `{found['command']}`.",
        "",
        f"- Date: {found['date']}",
        "- Machine: {processor}, {cores} cores, {memory}, {system}".format(**machine),
        f"- Versions: {found['versions']}",
        f"- Seed: {found['seed']}",
        f"- Load averages before (1, 5, 15 minutes): {machine['load']}",
        f"- Traffic: generated; {size['users']:,} users, {size['items']} items in {size['topics']} topics, "
        f"{plan['before']} days before the first model, {plan['nights']} nights, the one after day "
        f"{plan['before'] + plan['poisoned']} poisoned",
        f"- Nights: {outcomes.count('activated')} activated, {outcomes.count('refused')} refused, "
        f"{len(outcomes) - outcomes.count('activated') - outcomes.count('refused')} failed; "
        f"{found['seconds'] / 60:.0f} minutes in all",
        "",
        "Each day is judged before its events are written: of everyone who is known and comes back, the "
        "first item that they watch, among the ten that are listed. Intervals are of 95%, paired, by a "
        "bootstrap over users. The traffic is made so that it drifts and can be learnt "
        "(`benches/retrain/month.py`): what nightly retraining gains elsewhere depends on how fast taste "
        "moves there.",
    ]


def gains(nights: Sequence[Night]) -> list[str]:
    """What retraining gains, over all days and over thirds of them."""
    # On the first day the first model is in service.
    days = nights[1:]
    third = max(1, -(-len(days) // 3))
    parts = [days, *(days[begin : begin + third] for begin in range(0, len(days), third))]
    lines = [
        "| days | targets | metric | "
        + " | ".join(NAMES[name] for name in CONTESTANTS)
        + " | in service - frozen | in service - popular |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in parts:
        answers = [answer for night in part for answer in night.answers]
        for metric in METRICS:
            means = " | ".join(f"{mean(answers, name, metric):.4f}" for name in CONTESTANTS)
            differences = " | ".join(shown(difference(answers, *pair, metric)) for pair in PAIRS)
            lines.append(
                f"| {part[0].day} to {part[-1].day} | {len(answers):,} | {metric} | {means} | {differences} |"
            )
    return lines


def shown(interval: Interval) -> str:
    """A difference and its interval."""
    return f"{interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def night_by_night(nights: Sequence[Night]) -> list[str]:
    """A line for each day and its night."""
    lines = [
        "| day | events | nDCG@10 frozen | in service | popular | the night | seconds of the retraining |",
        "|---|---|---|---|---|---|---|",
    ]
    for night in nights:
        means = " | ".join(f"{mean(night.answers, name, 'nDCG@10'):.4f}" for name in CONTESTANTS)
        poison = " (poisoned)" if night.poison else ""
        seconds = sum(night.seconds.get(part, 0.0) for part in ("export", "training", "judging"))
        lines.append(
            f"| {night.day} | {night.events:,} | {means} | {night.outcome}{poison} | {seconds:.0f} |"
        )
    return lines


def poisons(nights: Sequence[Night], flood: Flood) -> list[str]:
    """What the gate said of what was refused and of the poisons, and what the flood did."""
    told = [
        f"- After day {night.day}{', shuffled' if night.poison else ''}: {night.said or night.outcome}"
        for night in nights
        if night.outcome != "activated" or night.poison
    ]
    before, behind = (mean(flood.answers, name, "nDCG@10") for name in ("frozen", "service"))
    change = shown(difference(flood.answers, "service", "frozen", "nDCG@10"))
    return [
        "What the gate said of nights that were poisoned or not activated:",
        "",
        *told,
        "",
        f"After the last night {flood.night.events:,} events of bots were written, as many as the last day"
        " had of people: new users who all watch the same few items. The retraining on them was "
        f"{flood.night.outcome}: {flood.night.said}.",
        "",
        f"On the next day people have nDCG@10 {before:.4f} by the model before the flood and {behind:.4f} "
        f"by the one in service after it, {change}; of the places in their lists the pushed items have "
        f"{flood.share_before:.2%} and {flood.share_after:.2%}. The gate judges the users with the newest "
        "events, bots among them, and what a model learnt of bots is right of bots. So it sees what a "
        "flood does to people diluted, and not what is pushed.",
    ]


def costs(found: dict[str, Any], nights: Sequence[Night]) -> list[str]:
    """The seconds of each part."""
    first = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in found["first"].items())
    lines = [
        f"Before the first night: {first}. Of a night:",
        "",
        "| part | median, s | most, s |",
        "|---|---|---|",
    ]
    for part in PARTS:
        seconds = sorted(night.seconds[part] for night in nights if part in night.seconds)
        if seconds:
            lines.append(f"| {part} | {seconds[len(seconds) // 2]:.1f} | {seconds[-1]:.1f} |")
    return lines
