"""What holds of every reply beside what schemathesis checks by itself, and which of its findings are none.

schemathesis loads this file by SCHEMATHESIS_HOOKS.
"""

import json
from typing import Any

import schemathesis
from jsonschema_rs import Draft202012Validator
from schemathesis import CheckContext, DeserializationContext, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

Case = schemathesis.Case[Any]

# How long the caller of a request waits at least, in milliseconds.
PATIENCE = 20_000

# INVALID_ARGUMENT and FAILED_PRECONDITION, by number in REST and by name in Connect.
REFUSALS = (3, 9, "invalid_argument", "failed_precondition")

# What needs a folder with a bundle, a second model, which no random text names, or a vector of the model's
# length.
NEEDS_MODELS = (
    *("ActivateModel", "LoadModel", "UnloadModel", "RollBackModel", "SearchVectors"),
    *("GetModelVersion", "TagModelVersion", "DeleteModelVersion"),
)
# What needs an account, which random requests have none of where nobody may sign up.
NEEDS_PEOPLE = ("AccountService",)
# What needs an experiment, which has two arms with names of their own.
NEEDS_EXPERIMENTS = ("Experiment", "GetResults")
# What needs a job or a schedule that is there, which no random text names.
NEEDS_JOBS = ("GetJob", "WatchJob", "CancelJob", "PauseSchedule", "ResumeSchedule")
OUT_OF_REACH = (*NEEDS_MODELS, *NEEDS_PEOPLE, *NEEDS_EXPERIMENTS, *NEEDS_JOBS)


def needs_keys(case: Case) -> bool:
    """Whether it needs a movie with a key, or a user with one and a history: the sample has numbers alone."""
    label = str(case.operation.label)
    return "{movie_key}" in label or label.endswith("/user-keys/{user_key}/similar")


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Changes requests that would be answered as they should, and yet spoil the run.

    One that has no time is answered by 504. And who deletes the user of the examples takes them from others.
    """
    timeout = str(case.headers.get("Connect-Timeout-Ms", ""))
    if timeout.isdecimal() and int(timeout) < PATIENCE:
        case.headers["Connect-Timeout-Ms"] = str(PATIENCE)
    if "DeleteUser" in operation_id(case):
        for part in (case.path_parameters, case.body):
            if isinstance(part, dict) and str(part.get("user_id")) == "1":
                part["user_id"] = "2"


def operation_id(case: Case) -> str:
    """The name of the operation that is called."""
    return str(case.operation.definition.raw["operationId"])


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Whether a finding is one."""
    if isinstance(failure, RejectedPositiveData):
        return not is_refusal(response) and not has_no_room(case, response)
    if isinstance(failure, AcceptedNegativeData):
        return not is_read_too(case)
    return True


def is_refusal(response: Response) -> bool:
    """Whether a request is refused for what no schema can say.

    Such as a genre that the catalogue does not have, a rating without stars, or the token of another list.
    """
    return response.status_code == 400 and error_of(response)[0] in REFUSALS


def has_no_room(case: Case, response: Response) -> bool:
    """Whether a request has more in its address than an address may have, which no schema can say either."""
    return response.status_code == 431 and case.method == "GET"


def is_read_too(case: Case) -> bool:
    """Whether a request is accepted that is none by the description, and one by the JSON of protobuf.

    A batch is accepted whatever its requests are, since each of them fails alone.
    """
    if "RecommendBatch" in operation_id(case):
        return True
    raw = case.operation.definition.raw
    sent = [(raw["requestBody"], case.body)] if "requestBody" in raw else []
    sent += [(it, case.query.get(it["name"])) for it in raw["parameters"] if "content" in it]
    components = case.operation.schema.raw_schema["components"]
    if any(is_number_of_enum(it, case, components["schemas"]) for it in raw["parameters"]):
        return True
    return any(
        isinstance(value, dict)
        and is_protobuf({**it["content"]["application/json"]["schema"], "components": components}, value)
        for it, value in sent
    )


def is_number_of_enum(parameter: dict[str, Any], case: Case, schemas: dict[str, Any]) -> bool:
    """Whether an enum of a query is given by its number, which is read as in JSON."""
    name = parameter.get("schema", {}).get("$ref", "").rpartition("/")[2]
    value = case.query.get(parameter.get("name", ""))
    return "enum" in schemas.get(name, {}) and str(value).isdigit()


def is_protobuf(schema: dict[str, Any], message: dict[str, Any]) -> bool:
    """Whether all that is wrong with a message are nulls, which count as absent, and numbers of enums."""
    faults = list(Draft202012Validator(schema).iter_errors(without_nulls(message)))
    numbers = [
        fault.instance_path
        for fault in faults
        if fault.kind.name == "enum" and isinstance(fault.instance, int)
    ]
    return all(fault.instance_path in numbers for fault in faults)


def without_nulls(value: Any) -> Any:
    """The value without members that are null."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(element) for element in value] if isinstance(value, list) else value


def error_of(response: Response) -> tuple[int | str, dict[str, dict[str, Any]]]:
    """The code of an error, and its details by their types, in the form of REST or of Connect."""
    error = json.loads(response.content)
    if isinstance(error["code"], int):
        return error["code"], {detail["@type"].rsplit("/")[-1]: detail for detail in error["details"]}
    return error["code"], {detail["type"]: detail["debug"] for detail in error["details"]}


LINES = "application/x-ndjson"


def lines_of(response: Response) -> list[Any]:
    """The messages of a stream of lines."""
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.deserializer(LINES)
def first_line(context: DeserializationContext, response: Response) -> Any:
    """What is held to the schema of a line by schemathesis itself, which knows one value a reply."""
    return next(iter(lines_of(response)), {})


@schemathesis.check
def every_line_is_a_reply(ctx: CheckContext, response: Response, case: Case) -> None:
    """All lines of a stream are what the description says of one."""
    if response.headers.get("content-type") != [LINES]:
        return
    raw = case.operation.schema.raw_schema
    schema = case.operation.definition.raw["responses"]["200"]["content"][LINES]["schema"]
    validator = Draft202012Validator({**schema, "components": raw["components"]})
    faults = [str(fault) for line in lines_of(response) for fault in validator.iter_errors(line)]
    assert not faults, f"a line is none: {faults[0]}"


@schemathesis.check
def errors_say_what_is_wrong(ctx: CheckContext, response: Response, case: Case) -> None:
    """A reply has the id of its request; an error has a reason for programs, and one of a field names it."""
    if response.status_code == 431:
        return  # Nothing of the request was read.
    assert "x-request-id" in response.headers, "the reply has no request id"
    is_standard = case.operation.path.startswith("/grpc.")  # Their errors have no details.
    if response.status_code < 400 or response.request.method == "HEAD" or is_standard:
        return
    _, details = error_of(response)
    information = details["google.rpc.ErrorInfo"]
    assert information["domain"] == "marquee", "the reason is somebody else's"
    assert information["reason"], "the error has no reason"
    if information["reason"] == "INVALID_FIELD":
        fields = [violation["field"] for violation in details["google.rpc.BadRequest"]["field_violations"]]
        assert fields, "no field is at fault"
        assert all(fields), "a field has no name"


@schemathesis.check
class EveryOperationSucceeds:
    """Of each operation at least one request is answered, so that not all of them are refused."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.answered: set[str] = set()

    def after_response(self, ctx: CheckContext, response: Response, case: Case) -> None:
        """Takes note of a reply."""
        if not any(part in operation_id(case) for part in OUT_OF_REACH) and not needs_keys(case):
            self.tried.add(case.operation.label)
            if response.status_code == 200:
                self.answered.add(case.operation.label)

    def after_run(self, ctx: CheckContext) -> None:
        """Compares at the end."""
        refused = sorted(self.tried - self.answered)
        assert not refused, f"no request was answered of {', '.join(refused)}"
