# ruff: noqa: D103
"""What the checks of deploy/ find, and what they let pass."""

import metrics
import pytest
from manifests import coherence, grace
from parts import OTHERS, missing
from settings import Setting, example, settings

DOCUMENT = """\
### `[server]`

| option and key | default | accepted | meaning |
|---|---|---|---|
| `rate-limit` | `none` | none, or 100/s | How often callers may call |

## What else

| `no-setting` | `none` | nothing | of another table |
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "CONFIGURATION.md"
    path.write_text(DOCUMENT)
    return path


def test_a_row_of_a_section_is_a_setting_and_no_other_is(document):
    found = settings(document)
    assert [setting.variable for setting in found] == ["MARQUEE_RATE_LIMIT"]


def test_the_example_says_what_each_setting_means_and_changes_none(document):
    text = "".join(example(settings(document)))
    assert "# How often callers may call. Accepted: none, or 100/s\n#MARQUEE_RATE_LIMIT=none\n" in text
    assert all(line.startswith("#") for line in text.splitlines() if line)


METRICS = """\
| OpenTelemetry | Prometheus | type | unit | labels | what it says |
|---|---|---|---|---|---|
| `marquee.calls` | `marquee_calls_total` | counter | `{call}` |  | Calls |
| `marquee.wait` | `marquee_wait_seconds` | histogram | `s` |  | Waiting |
"""


def test_a_metric_that_does_not_exist_is_found_and_series_of_a_histogram_exist():
    known = metrics.known(METRICS)
    expression = "rate(marquee_wait_seconds_bucket[5m]) > sum(marquee_calls) by (le)"
    assert metrics.unknown(expression, known) == ["marquee_calls"]
    assert metrics.unknown("sum(marquee_calls_total) / marquee_wait_seconds_sum", known) == []


def test_words_in_texts_and_labels_are_no_metrics():
    known = metrics.known(METRICS)
    assert metrics.unknown('marquee_calls_total{path="marquee_nothing"}', known) == []


def test_a_grace_that_is_too_short_for_the_drain_is_found():
    environment = {"MARQUEE_DRAIN_DELAY": "10s", "MARQUEE_SHUTDOWN_TIMEOUT": "20s"}
    assert list(grace("pod", environment, 31)) == []
    assert list(grace("pod", environment, 30)) == [
        "pod: is killed after 30 s; drain-delay and shutdown-timeout may take 30 s"
    ]


def test_a_setting_that_does_not_exist_and_a_port_that_is_open_are_found():
    known = [Setting("server", name, "", "", "") for name in ("listen", "auth", "tls-cert")]
    environment = {"MARQUEE_LISTEN": "0.0.0.0:1", "MARQUEE_AUTH": "on", "MARQUEE_LISTN": "x"}
    assert list(coherence("pod", environment, known)) == [
        "pod: MARQUEE_LISTN is no setting",
        "pod: listens beyond the machine without TLS, the server would refuse to start",
    ]
    assert list(coherence("pod", {"MARQUEE_LISTEN": "0.0.0.0:1", "MARQUEE_TLS_CERT": "c"}, known)) == [
        "pod: listens beyond the machine without auth, the server would refuse to start",
    ]


def part(purl, scope="required"):
    name, version = purl.rsplit("/", 1)[1].split("@")
    return {
        "purl": purl,
        "name": name,
        "version": version,
        "scope": scope,
        "licenses": [{"expression": "MIT"}],
    }


def test_a_crate_that_ships_and_is_not_named_or_has_no_text_is_found():
    others = [part(f"{other}1") for other in sorted(OTHERS)]
    texts = "".join(f"  {one['name']} 1  (MIT)\n" for one in others)
    document = {"components": [*others, part("pkg:cargo/named@1"), part("pkg:cargo/builds@1", "excluded")]}
    assert list(missing(document, f"{texts}  named 1  (MIT)\n", {"pkg:cargo/named@1"})) == []
    assert list(missing(document, texts, {"pkg:cargo/named@1", "pkg:cargo/builds@1"})) == [
        "sbom.cdx.json: does not name pkg:cargo/builds@1",
        "licences.txt: has no text of pkg:cargo/named@1",
    ]
