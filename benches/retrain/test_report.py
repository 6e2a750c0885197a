# ruff: noqa: D103
"""The report tells nights, gains and poisons as they were."""

from figures import Answers
from report import Flood, Night, gains, night_by_night, poisons


def night(day: int, outcome: str = "activated", poison: str = "") -> Night:
    answers = [Answers(day, user, frozen=9, service=0, popularity=None) for user in range(4)]
    said = f"{outcome}: because"
    return Night(day, 100, poison, outcome, said, {"training": 3.0, "judging": 1.0}, answers)


def test_the_first_day_which_has_one_model_is_no_part_of_the_gains():
    lines = gains([night(14), night(15), night(16)])
    assert lines[2].startswith("| 15 to 16 | 8 | hit rate@10 | 1.0000 | 1.0000 | 0.0000 | +0.0000")
    assert "+1.0000 (+1.0000 to +1.0000)" in lines[2]


def test_every_night_has_a_line_that_says_how_it_ended():
    lines = night_by_night([night(14), night(15, "refused", "shuffle")])
    assert lines[-2].endswith("| activated | 4 |")
    assert lines[-1].endswith("| refused (poisoned) | 4 |")


def test_what_was_not_activated_is_told_with_the_words_of_the_gate():
    text = "\n".join(
        poisons([night(14), night(15, "refused")], Flood(night(16), night(17).answers, 0.01, 0.02))
    )
    assert "After day 14" not in text
    assert "- After day 15: refused: because" in text
    assert "the pushed items have 1.00% and 2.00%" in text
