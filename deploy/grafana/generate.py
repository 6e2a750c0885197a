"""Writes the dashboards beside this file: what each panel asks, and a sentence on what good looks like.

    python3 deploy/grafana/generate.py

`.ci/deploy` fails when a written file is not what this makes, and when a query has no answer from a
Prometheus that read a server under load.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 12, 8

# What a query is restricted to; a row of the dashboard's menus.
ONE = '{instance=~"$instance"}'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """What is asked, and what its lines are called."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A plot. `good` says what good looks like, and where to look when it is not."""

    title: str
    good: str
    unit: str
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Dashboard:
    """A page, in rows of two panels."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def panel(title: str, good: str, unit: str, **queries: str) -> Panel:
    """A panel; its queries are named by their legends, as `legend_of` reads them."""
    return Panel(title, good, unit, tuple(Query(text, legend_of(name)) for name, text in queries.items()))


def legend_of(name: str) -> str:
    """`of_a__b` is a line for each pair of the labels a and b; anything else is a name."""
    labels = name.removeprefix("of_").split("__") if name.startswith("of_") else []
    return " ".join(f"{{{{{label}}}}}" for label in labels) or name.replace("_", " ")


def rate(metric: str, by: str = "", where: str = "") -> str:
    """How much of a counter a second, summed up over what is not in `by`."""
    matchers = '{instance=~"$instance"' + (f", {where}" if where else "") + "}"
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{matchers}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram, over all instances that are chosen."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', labels)})"


def quantiles(metric: str) -> dict[str, str]:
    """The median, and what 95 and 99 of 100 are below."""
    return {f"p{round(q * 100)}": quantile(q, metric) for q in (0.5, 0.95, 0.99)}


def mean(metric: str, by: str = "", where: str = "") -> str:
    """The mean of a histogram."""
    return f"{rate(f'{metric}_sum', by, where)} / {rate(f'{metric}_count', by, where)}"


def part(metric: str, where: str, by: str = "") -> str:
    """The part of a counter for which `where` holds."""
    return f"{rate(metric, by, where)} / {rate(metric, by)}"


def figure(kind: str, name: str) -> str:
    """What the newest job of the kind measured, of each instance."""
    return f'marquee_job_figure{{kind="{kind}", figure="{name}", instance=~"$instance"}}'


def evaluated(*names: str) -> dict[str, str]:
    """What the newest evaluation measured, by the names of the figures."""
    return {name: f"max({figure('evaluate', name)})" for name in names}


CALLS = "rpc_server_call_duration_seconds"
FAULTS = 'rpc_response_status_code=~"UNAVAILABLE|INTERNAL|UNKNOWN|DATA_LOSS"'

SERVICE = Dashboard(
    "marquee-service",
    "Marquee: service",
    (
        panel(
            "Instances that answer",
            "As many as there should be. One that is missing: runbook MarqueeDown.",
            "none",
            up='sum(up{job="marquee", instance=~"$instance"})',
        ),
        panel(
            "Calls by method",
            "The shape of yesterday at the same hour. A step down without fewer users is a caller "
            "that gave up.",
            "reqps",
            of_rpc_method=rate(f"{CALLS}_count", "rpc_method"),
        ),
        panel(
            "Calls that fail, by code",
            "What callers do wrong (INVALID_ARGUMENT, NOT_FOUND, UNAUTHENTICATED) is steady and low; "
            "what the server "
            "does (UNAVAILABLE, INTERNAL) is not there at all.",
            "reqps",
            of_rpc_response_status_code=rate(
                f"{CALLS}_count", "rpc_response_status_code", 'rpc_response_status_code!="OK"'
            ),
        ),
        panel(
            "Part of the calls that fails through the server's fault",
            "Below 0.1%, the objective over 30 days. Above 1.44% for long somebody is woken.",
            "percentunit",
            failed=part(f"{CALLS}_count", FAULTS),
        ),
        panel(
            "How long calls take",
            "Flat lines below the callers' deadlines. The slowest of a hundred rises first when a "
            "queue forms.",
            "s",
            **quantiles(CALLS),
        ),
        panel(
            "How long the slowest of a hundred takes, by method",
            "Each method at its usual height; batches are slow by nature.",
            "s",
            of_rpc_method=quantile(0.99, CALLS, "rpc_method"),
        ),
        panel(
            "Where the time of recommendations goes",
            "Encode and score are most of it. `queue` that grows means too few workers, `profile` a "
            "slow store or Redis.",
            "s",
            of_stage=mean("marquee_recommend_stage_duration_seconds", "stage"),
        ),
        panel(
            "Calls in flight",
            "Waves without a trend. A line that only rises is calls that do not end: streams, or a "
            "store that hangs.",
            "none",
            of_instance=f"sum by (instance) (marquee_rpc_in_flight{ONE})",
        ),
        panel(
            "Calls refused before anything was done",
            "None. `overloaded` is more than can be answered, `late` calls whose time was over when "
            "they came.",
            "reqps",
            of_reason=rate("marquee_admission_refused_total", "reason"),
        ),
        panel(
            "What is answered a second while busy, by what was measured",
            "Steady. A fall with the same calls is a slower machine, or calls that cost more.",
            "reqps",
            of_instance=f"marquee_admission_capacity_per_second{ONE}",
        ),
        panel(
            "Callers over their rate",
            "None, or the same few callers; one that is new here is asked what it does.",
            "reqps",
            of_method=rate("marquee_limit_rate_limited_total", "method"),
        ),
        panel(
            "Open connections",
            "Far below max-connections, and spread evenly over the instances: one that has all of "
            "them does all the work.",
            "none",
            of_instance=f"sum by (instance) (marquee_connections_open{ONE})",
        ),
        panel(
            "Connections refused, and closed because nobody used them",
            "No refusals. Some that are idle or begin nothing are usual where the port is open to many.",
            "cps",
            of_reason=rate("marquee_connections_refused_total", "reason"),
            closed=rate("marquee_connections_closed_total"),
        ),
        panel(
            "Handshakes of TLS, by how they end",
            "Nearly all `ok`. `plain` is a caller without TLS, `failed` one that does not trust the "
            "certificate.",
            "cps",
            of_outcome=rate("marquee_tls_handshakes_total", "outcome"),
        ),
        panel(
            "Processors that the process keeps busy",
            "Below what it was given. At that height every further call waits.",
            "none",
            of_instance=rate("marquee_process_cpu_time_seconds_total", "instance"),
        ),
        panel(
            "Memory of the process",
            "Flat after the first hour, well below the limit of the container. A line that only rises is a "
            "leak: report it.",
            "bytes",
            of_instance=f"sum by (instance) (marquee_process_resident_memory_bytes{ONE})",
        ),
        panel(
            "Days until the certificate ends",
            "More than 14; a saw whose teeth are renewals.",
            "d",
            of_instance=f"(min by (instance) (marquee_tls_certificate_expiry_seconds{ONE}) - time()) / 86400",
        ),
    ),
)

ENGINE = Dashboard(
    "marquee-engine",
    "Marquee: engine",
    (
        panel(
            "Loaded models",
            "The one that is expected, on the device and with the kernels that were measured: a "
            "fallback shows here.",
            "none",
            of_instance__device__precision__kernels=f"marquee_engine_models{ONE}",
        ),
        panel(
            "Part of the time that workers are busy",
            "Below 0.8 on a usual day. At 1 every further call waits.",
            "percentunit",
            of_instance=f"{rate('marquee_engine_worker_busy_seconds_total', 'instance')} / "
            f"count by (instance) (marquee_engine_worker_busy_seconds_total{ONE})",
        ),
        panel(
            "How long jobs wait for a worker",
            "The median near 0, 95 of 100 below 25 ms, by which the autoscaler goes. Above 100 ms "
            "there is an alert.",
            "s",
            **quantiles("marquee_engine_queue_duration_seconds"),
        ),
        panel(
            "Jobs that wait, and for how long the first of them has",
            "Short peaks. A plateau is a queue that does not end.",
            "none",
            jobs=f"sum(marquee_engine_queue_depth{ONE})",
            seconds=f"max(marquee_engine_queue_age_seconds{ONE})",
        ),
        panel(
            "Jobs that fail, by reason",
            "None but cancelled callers. The three of deadlines say where the time ran out; `backend` and "
            "`out_of_service` are a model that fails.",
            "ops",
            of_reason=rate("marquee_engine_jobs_failed_total", "reason"),
            cancelled=rate("marquee_engine_jobs_cancelled_total"),
        ),
        panel(
            "Batches, by why they took no more jobs",
            "Mostly `idle`: nobody waited for company. Many that are `full` mean that the load is "
            "high and well used.",
            "ops",
            of_reason=rate("marquee_engine_batches_dispatched_total", "reason"),
            failed=rate("marquee_engine_batches_failed_total"),
        ),
        panel(
            "Jobs of a batch",
            "Near 1 in calm hours, and growing with the load, which is what makes it bearable.",
            "none",
            mean=mean("marquee_engine_batch_size"),
            p95=quantile(0.95, "marquee_engine_batch_size"),
        ),
        panel(
            "Part of a batch that is padding, and how far predicted times are off",
            "Padding below a third. Predictions off by less than half: admission is as good as they are.",
            "percentunit",
            padding=mean("marquee_engine_batch_padding_ratio"),
            prediction=mean("marquee_engine_cost_model_error_ratio"),
        ),
        panel(
            "How long batches are encoded",
            "Flat for the same load and model; a step is another model, device or kernel.",
            "s",
            **quantiles("marquee_engine_encode_duration_seconds"),
        ),
        panel(
            "How long batches are scored",
            "Flat; it grows with the movies of the model and with filters.",
            "s",
            **quantiles("marquee_engine_score_duration_seconds"),
        ),
        panel(
            "Tokens that are encoded",
            "Follows the calls that find no remembered vector.",
            "none",
            tokens=rate("marquee_engine_batch_tokens_sum"),
        ),
        panel(
            "GPU sessions without CUDA graphs",
            "None: each one is slower than it could be, and the log says why.",
            "none",
            of_instance=f"sum by (instance) (marquee_engine_cuda_graph_failures_total{ONE})",
        ),
    ),
)

STORES = Dashboard(
    "marquee-stores",
    "Marquee: stores and caches",
    (
        panel(
            "Lookups that find something, by cache and tier",
            "Profiles above 0.8 where users come back. A fall of `redis` to 0 is a Redis that is gone.",
            "percentunit",
            of_cache__tier=part("marquee_cache_lookups_total", 'outcome="hit"', "cache, tier"),
        ),
        panel(
            "The embedded store refuses writes",
            "0. 1 is a disk that is full or failed: runbook MarqueeStoreRefusesWrites.",
            "none",
            of_instance=f"max by (instance) (marquee_store_refuses_writes{ONE})",
            times=f"sum(marquee_store_write_failures_total{ONE})",
        ),
        panel(
            "How long 99 of 100 statements to the CQL store take at most",
            "Milliseconds, each statement at its usual height. All of them rising is the store, one "
            "of them its table.",
            "s",
            of_statement=quantile(0.99, "marquee_store_statement_duration_seconds", "statement"),
        ),
        panel(
            "Statements to the CQL store, by how they end",
            "All `ok`. `timeout` before `down` is a store that is overloaded.",
            "ops",
            of_outcome=rate("marquee_store_statement_duration_seconds_count", "outcome"),
        ),
        panel(
            "Sessions with the CQL store that were lost",
            "None.",
            "none",
            of_instance=f"sum by (instance) (marquee_store_session_lost_total{ONE})",
        ),
        panel(
            "How long 99 of 100 commands to Redis take at most",
            "A millisecond or two. At 25 ms a command is given up.",
            "s",
            of_purpose=quantile(0.99, "marquee_redis_command_duration_seconds", "purpose"),
        ),
        panel(
            "Commands to Redis, by how they end",
            "All `ok`. `open` is the circuit breaker: the node works without Redis.",
            "ops",
            of_outcome=rate("marquee_redis_command_duration_seconds_count", "outcome"),
            opened=rate("marquee_redis_circuit_breaker_opened_total"),
        ),
        panel(
            "Events that are stored and missing in the stream, and keys that were freed",
            "None of either. Freed keys are another program in the same Redis under the same namespace.",
            "ops",
            dropped=rate("marquee_events_dropped_total"),
            of_holds=rate("marquee_redis_keys_freed_total", "holds"),
        ),
        panel(
            "Memory for requests that have not arrived whole",
            "Near 0: requests come in one piece. Much of it is slow or hostile senders.",
            "bytes",
            of_instance=f"sum by (instance) (marquee_receive_buffer_used_bytes{ONE})",
        ),
        panel(
            "Certificates that were found anew",
            "A few a year, all `ok`. `refused` is a pair that does not fit.",
            "none",
            of_outcome=f"sum by (outcome) (marquee_tls_reloads_total{ONE})",
        ),
    ),
)

QUALITY = Dashboard(
    "marquee-quality",
    "Marquee: what is answered",
    (
        panel(
            "Recommendations by where they come from",
            "Mostly `model`. More `popularity` than new users explain is a model that does not fit "
            "the catalogue, or "
            "profiles that are not found.",
            "percentunit",
            of_source=f"{rate('marquee_recommend_answers_total', 'source')} / ignoring (source) "
            f"group_left () {rate('marquee_recommend_answers_total')}",
        ),
        panel(
            "Part of the catalogue that is answered, and of fresh movies in it",
            "Flat, of 1000 sampled lists of ten. A fall of coverage is a model that answers what everybody "
            "likes; after a start both rise until there are so many lists.",
            "percentunit",
            coverage=f"max(marquee_quality_coverage_ratio{ONE})",
            fresh=f"max(marquee_quality_freshness_ratio{ONE})",
        ),
        panel(
            "How unlike each other the movies of a list are",
            "Flat. A step is another model, another objective or a rule.",
            "percentunit",
            of_instance=f"max by (instance) (marquee_quality_diversity_ratio{ONE})",
        ),
        panel(
            "How little known the movies of lists are, in bits",
            "Flat. A fall is more of the popular: see the share of `popularity` above.",
            "none",
            of_instance=f"max by (instance) (marquee_quality_novelty{ONE})",
        ),
        panel(
            "How far what is asked is from what the users of the store do",
            "Drift near 0 and `unknown` below a tenth. A step is another kind of callers; a slow rise of "
            "`unknown` is a model that grows old: train it anew.",
            "percentunit",
            drift=f"max(marquee_quality_input_drift_ratio{ONE})",
            unknown=f"max(marquee_quality_input_unknown_ratio{ONE})",
        ),
        panel(
            "Part of the recommendations that find their user's vector",
            "Above half where users come back within the hour; a fall to 0 is another model, or a "
            "cache that is full.",
            "percentunit",
            hit=part("marquee_recommend_vector_cache_lookups_total", 'outcome="hit"'),
        ),
        panel(
            "New movies that were drawn for places of lists",
            "Steady where requests give them places, none elsewhere.",
            "ops",
            drawn=rate("marquee_recommend_explored_total"),
        ),
        panel(
            "Events with new movies, by what came of them",
            "Mostly `moved`. `lost` is a gap in the event stream, `full` more new movies than are followed.",
            "ops",
            of_outcome=rate("marquee_recommend_new_movie_events_total", "outcome"),
        ),
        panel(
            "Movies of histories that were to be tried as reasons",
            "Nearly all `tried`; `not_tried` is a deadline that was near, or an engine that was full.",
            "ops",
            of_outcome=rate("marquee_recommend_reasons_total", "outcome"),
        ),
        panel(
            "How long the stages that shape a list take",
            "Well below a millisecond each; filters and rules of many movies show here first.",
            "s",
            of_stage=mean(
                "marquee_recommend_stage_duration_seconds", "stage", 'stage=~"rerank|fill|explore|explain"'
            ),
        ),
        panel(
            "How good the model is on the newest events",
            "Flat over weeks. A slow fall is a model that grows old, a step is another model or another "
            "kind of users.",
            "none",
            **evaluated("ndcg@10", "recall@10", "recall@1"),
        ),
        panel(
            "What the newest evaluation says of lists of ten",
            "Flat. Less coverage and diversity with the same nDCG is a model that answers what everybody "
            "likes.",
            "none",
            **evaluated("genre_diversity@10", "coverage@10", "freshness@10", "long_tail@10"),
        ),
        panel(
            "Recall of the index against exact answers",
            "0.99 or more. Below it: runbook MarqueeRecallLow.",
            "percentunit",
            of_instance=f"min by (instance) ({figure('recall', 'recall@10')})",
        ),
        panel(
            "How far catalogue, statistics, store and model are apart",
            "`drift` below 1%; what the model does not know grows with new movies, until the next training.",
            "none",
            drift=f"max({figure('sync', 'drift')})",
            unknown_to_the_model=f"max({figure('sync', 'unknown_to_model')})",
        ),
        panel(
            "Records of experiments that are lost",
            "None. What is lost is missing in the results, of all arms alike.",
            "ops",
            of_where=rate("marquee_experiments_lost_total", "where"),
        ),
    ),
)


# Jobs of the last hour. A series begins with its first job, of which `increase` says nothing: such a
# series counts whole.
ENDED = (
    f"sum by (kind, state) (increase(marquee_job_ended_total{ONE}[1h])) > 0 or "
    f"sum by (kind, state) (marquee_job_ended_total{ONE} unless marquee_job_ended_total{ONE} offset 1h) > 0"
)

JOBS = Dashboard(
    "marquee-jobs",
    "Marquee: jobs",
    (
        panel(
            "Jobs that run, by kind",
            "Mostly none, and one of a kind at a time over all instances. A line that never ends is a job "
            "that hangs.",
            "none",
            of_kind=f"sum by (kind) (marquee_job_running{ONE})",
        ),
        panel(
            "Jobs that ended within the hour, by kind and how",
            "All `succeeded`. `failed` has a page: runbook MarqueeJobFailed.",
            "none",
            of_kind__state=ENDED,
        ),
        panel(
            "How long ago a job of each kind succeeded",
            "A saw that is no higher than the time between two of the kind's schedule: six hours of `sync`, "
            "a day of `backup` and `clean`. Twice that has a page: runbook MarqueeJobOverdue.",
            "s",
            of_kind=f"time() - max by (kind) (marquee_job_last_success_seconds{ONE})",
        ),
        panel(
            "How old the newest backup is",
            "Less than a day where backups are made nightly. No line is no backup.",
            "s",
            newest='time() - max(marquee_job_last_success_seconds{kind="backup", instance=~"$instance"})',
        ),
        panel(
            "How much the newest backup holds",
            "Growing with the users. A fall is data that is gone: compare before the old backups are.",
            "none",
            users=f"max({figure('backup', 'users')})",
            interactions=f"max({figure('backup', 'interactions')})",
        ),
        panel(
            "Bytes of the newest backup",
            "Growing slowly; times `keep` it must fit the target.",
            "bytes",
            bytes=f"max({figure('backup', 'bytes')})",
        ),
        panel(
            "How long jobs take on average, by kind, since the start",
            "Each kind at its usual height. One that takes longer than the time between two of its schedule "
            "leaves turns out.",
            "s",
            of_kind=f"sum by (kind) (marquee_job_duration_seconds_sum{ONE}) "
            f"/ sum by (kind) (marquee_job_duration_seconds_count{ONE})",
        ),
        panel(
            "Jobs that an instance gave up because another one had taken them",
            "None. Some are a store that hangs for seconds, or a clock that is wrong.",
            "ops",
            of_instance=rate("marquee_job_lost_total", "instance"),
        ),
    ),
)

DASHBOARDS = {"service": SERVICE, "engine": ENGINE, "stores": STORES, "quality": QUALITY, "jobs": JOBS}


def drawn(number: int, panel: Panel) -> dict[str, Any]:
    """A panel as Grafana reads it."""
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.good,
        "datasource": SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                # Durations of calls have traces beside them.
                "exemplar": f"{CALLS}_bucket" in query.expression,
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def page(dashboard: Dashboard) -> str:
    """A dashboard as the text of its file."""
    menus = [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Instance",
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": 'label_values(up{job="marquee"}, instance)', "refId": "instance"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]
    whole = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["marquee"],
        "schemaVersion": 41,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": menus},
        "links": [{"type": "dashboards", "tags": ["marquee"], "title": "Marquee", "asDropdown": True}],
        "panels": [drawn(number, panel) for number, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes all of them."""
    for name, dashboard in DASHBOARDS.items():
        (HERE / f"{name}.json").write_text(page(dashboard))


if __name__ == "__main__":
    main()
