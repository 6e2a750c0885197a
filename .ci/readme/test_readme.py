# ruff: noqa: D103
"""Tests of the documents' test."""

import os
import runpy
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import blocks
import cargo_shim
import commands
import pytest
import shell
import stage

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES: dict[str, cargo_shim.Package] = {
    "marquee-server": {"folder": "server", "default": None, "bin": ["marquee-server"], "example": ["make"]},
    "marquee-client": {"folder": "client", "default": "marquee", "bin": ["marquee", "b"], "example": []},
    "marquee-benches": {"folder": "benches", "default": None, "bin": ["bare", "planner"], "example": []},
}


def read(text):
    return blocks.blocks_of("a.md", text)


def texts(text):
    return [command.text for block in read(text) for command in block.commands]


def as_run(text, token=None):
    return commands.as_run(text, {"copy": "/copy", "own": "/own"}, token)


def test_commands_of_a_console_stand_behind_the_dollar_and_the_rest_is_output():
    one, two = read("```console\n$ one 1\nout\nmore\n$ two\n```\n")[0].commands
    assert (one.line, one.text, one.output) == (2, "one 1", "out")
    assert (two.line, two.text, two.output) == (5, "two", "")


def test_every_line_of_a_script_is_a_command_but_comments():
    assert texts("```sh\n# why\none\n\ntwo # here\n```") == ["one", "two # here"]


@pytest.mark.parametrize("command", ["one \\\n    --two", "for i in 1 2; do\n  one\ndone", "one <<X\na\nX"])
def test_a_command_goes_on_as_long_as_the_shell_would_wait(command):
    assert texts(f"```console\n$ {command}\nout\n```") == [command]
    assert texts(f"```sh\n{command}\n```") == [command]


def test_other_languages_hold_no_commands():
    assert read("```toml\na = 1\n```\n```text\n$ no\n```\n") == []


def test_a_block_without_a_language_is_refused():
    with pytest.raises(blocks.DocumentError, match="line 2: the block has no language"):
        read("words\n```\none\n```\n")


def test_a_mark_belongs_to_the_block_behind_it_alone():
    marked, plain = read("<!-- not run: needs a GPU -->\n\n```sh\none\n```\n```sh\ntwo\n```\n")
    assert marked.not_run() == "needs a GPU"
    assert plain.not_run() is None


def test_words_between_a_mark_and_a_block_part_them():
    assert read("<!-- not run: old -->\nwords\n```sh\none\n```\n")[0].not_run() is None


def test_a_mark_on_what_is_not_run_anyway_is_refused():
    with pytest.raises(blocks.DocumentError, match="no commands, but is marked"):
        read("<!-- not run: why -->\n```text\none\n```\n")


def test_a_command_or_block_that_does_not_end_is_refused():
    with pytest.raises(blocks.DocumentError, match="line 2: the command does not end"):
        read("```sh\none \\\n```\n")
    with pytest.raises(blocks.DocumentError, match="line 1: the block does not end"):
        read("```sh\none\n")


def test_a_command_that_shows_an_error_shall_fail():
    failing, other = read("```console\n$ one\nerror: no\n$ two\nno error: all is well\n```")[0].commands
    assert failing.shall_fail()
    assert not other.shall_fail()


def test_words_of_the_reader_have_values():
    assert as_run("export RUN --output BUNDLE") == "export /own/run --output /own/bundle"
    assert as_run("--store scylla://db1,db2/marquee") == "--store $MARQUEE_TEST_CQL/marquee"


@pytest.mark.parametrize(
    "text", ["echo $PATH", "cat a/FILE", "echo MARQUEE_FILE", "echo FILES", "DATA=1 one"]
)
def test_parts_of_other_words_are_left_alone(text):
    assert as_run(text) == text


def test_a_token_is_the_last_that_was_answered():
    assert as_run("recommend --consistency-token TOKEN", "1-2") == "recommend --consistency-token 1-2"


def test_times_are_short():
    assert as_run("run --duration 8h --warmup 500ms") == "run --duration 1s --warmup 1s"
    assert as_run("run --profile 10-20:60s,20:5m") == "run --profile 10-20:1s,20:1s"


def test_training_takes_one_epoch():
    assert as_run("python -m marquee_onnx train A") == "python -m marquee_onnx train --epochs 1 A"
    written = "python -m marquee_onnx train A \\\n  --epochs 80"
    assert as_run(written) == "python -m marquee_onnx train A \\\n  --epochs 1"


def test_addresses_are_no_times():
    assert as_run("--listen 127.0.0.1:50051") == "--listen 127.0.0.1:50051"


@pytest.mark.parametrize(
    "text",
    [
        "cargo run --release          # builds",
        "cargo run -p marquee-server -- --listen :1",
        "marquee-server",
        "marquee-server serve --bundle B",
        "taskset -c 0 marquee-server --bundle B   # or another",
    ],
)
def test_a_server_is_known_by_its_command(text):
    assert commands.serves(text)


@pytest.mark.parametrize(
    "text",
    [
        "cargo run --release -p marquee-client -- recommend 1",
        "cargo run -p marquee-loadgen --example still_server",
        "cargo run -- import PATH",
        "marquee-server import PATH",
        "marquee-server --print-config",
        "marquee-server --listen :1 &",
        "marquee recommend 1",
    ],
)
def test_what_ends_by_itself_is_no_server(text):
    assert not commands.serves(text)


def test_a_command_goes_to_the_background_by_its_ampersand():
    assert commands.in_background("marquee-server --listen :1 &   # the first")
    assert not commands.in_background("one && two")


def test_a_server_is_looked_for_where_its_command_says():
    shared = "marquee-server --cache redis://127.0.0.1:6379 --listen 127.0.0.1:5 &"
    assert commands.addresses(shared) == ["127.0.0.1:5"]
    assert commands.addresses("python http_server.py 127.0.0.1:8001 &") == ["127.0.0.1:8001"]
    assert commands.addresses("cargo run --release") == [commands.DEFAULT_ADDRESS]
    assert commands.addresses("sleep 5 &") == []


@pytest.fixture
def bash(tmp_path):
    bash = shell.Shell(tmp_path, tmp_path, dict(os.environ))
    yield bash
    bash.end()


def test_folder_and_variables_hold_from_command_to_command(bash):
    bash.run("mkdir below && cd below\nexport THING=5")
    assert bash.run('echo "$THING $(basename "$PWD")"') == (0, "5 below\n")


def test_the_status_is_that_of_the_command(bash):
    assert bash.run("false")[0] == 1
    assert bash.run("false | true")[0] == 1
    assert bash.run("cat")[0] == 0


def test_a_command_beyond_the_limit_is_ended(bash, monkeypatch):
    monkeypatch.setattr(shell, "LIMIT", 0.2)
    with pytest.raises(blocks.DocumentError, match=r"after 0\.2 s"):
        bash.run("sleep 600")


def test_a_server_is_waited_for_and_ended_with_all_that_it_started(bash):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    script = REPOSITORY / "loadgen/examples/http_server.py"
    server = bash.start(f"sleep 600 | {sys.executable} {script} {address}", [address], foreground=True)
    assert shell.answers(address)
    server.end()
    assert not shell.answers(address)
    assert not server.lives()


def test_a_server_is_waited_for_until_it_says_that_it_is_ready(bash):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        begins = "echo listening; sleep 0.3; echo ready; sleep 600"
        server = bash.start(begins, [address], foreground=True, ready="ready")
        server.end()
    assert "ready" in (bash.scratch / f"{bash.count}.log").read_text()


def test_a_server_that_ends_instead_says_why(bash):
    with pytest.raises(blocks.DocumentError, match=r"(?s)did not answer.*no such bundle"):
        bash.start("echo no such bundle; exit 3", ["127.0.0.1:1"], foreground=True)


def test_a_server_that_a_block_needs_does_not_meet_those_of_other_addresses(tmp_path):
    reader_class = runpy.run_path(str(REPOSITORY / ".ci/readme/__main__.py"))["Reader"]
    copy = SimpleNamespace(values={"copy": tmp_path, "own": tmp_path}, environment=dict(os.environ))
    reader = reader_class("a.md", copy)
    ended = []
    elsewhere = SimpleNamespace(addresses=["127.0.0.1:1"], end=lambda: ended.append("elsewhere"))
    reader.do = lambda command: ended.append(command.text)
    reader.servers.append(elsewhere)
    reader.follow(read("<!-- needs a server -->\n```sh\nmarquee stats\n```"))
    assert ended == ["elsewhere", "marquee-server", "marquee stats"]


def plan(text):
    return cargo_shim.plan(text.split(), PACKAGES)


def test_cargo_run_becomes_the_program():
    assert plan("run --release") == ("marquee-server", [])
    assert plan("run --release -p marquee-client -- rate 1 -- 5") == ("marquee", ["rate", "1", "--", "5"])
    assert plan("run --package=marquee-benches --bin bare -- --quick") == ("bare", ["--quick"])
    assert plan("run -p marquee-server --example make") == ("examples/make", [])


def test_what_cargo_has_built_and_tested_already_is_said():
    assert plan("build --release -p marquee-client")[0] == ""
    assert plan("test --workspace") == ("", ["the gate runs the tests itself"])
    assert plan("install --path client")[0] == ""


@pytest.mark.parametrize(
    "text",
    [
        "run -p marquee-loud",
        "run -p marquee-benches",
        "run -p marquee-benches --bin brae",
        "run --example nothing",
        "install --path clinet",
        "build -p marquee-loud",
        "publish",
    ],
)
def test_what_the_workspace_does_not_have_is_refused(text):
    with pytest.raises(cargo_shim.UsageError):
        plan(text)


def test_ones_own_data_are_the_sample_of_a_few_users(tmp_path):
    stage.own_data(REPOSITORY / "onnx/data/ml-latest-small", tmp_path)
    header, *rows = (tmp_path / "data/ratings.csv").read_text().splitlines()
    assert header == "userId,movieId,rating,timestamp"
    assert {int(row.split(",")[0]) for row in rows} == set(range(1, stage.OWN_USERS + 1))


EXAMPLES = {
    "rust": "recommend.rs",
    "python": "python/recommend.py",
    "typescript": "typescript/recommend.ts",
    "go": "go/recommend.go",
}


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_snippets_of_the_readme_are_parts_of_the_examples(language):
    def bare(text):
        return "\n".join(line.strip() for line in text.splitlines())

    readme = (REPOSITORY / "README.md").read_text()
    example = (REPOSITORY / "client" / "examples" / EXAMPLES[language]).read_text()
    snippet = readme.split(f"```{language}\n")[1].split("```")[0]
    assert bare(snippet) in bare(example)
