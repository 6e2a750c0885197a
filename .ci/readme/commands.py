"""What is run for a written command, and what kind of command it is."""

import re
import shlex

import cargo_shim

SERVER = "marquee-server"
# What it says when its model answers.
WELCOME = "Try next:"
DEFAULT_ADDRESS = "127.0.0.1:50051"

# Words of the documents, and what stands for them; {own} is a folder of files made for the test.
WORDS = {
    "PATH": "{own}/data",
    "DATA": "{own}/data",
    "RUN": "{own}/run",
    "BUNDLE": "{own}/bundle",
    "FOLDER": "{own}/folder",
    "FILE": "{own}/file",
    "DIR": "{copy}/onnx/fixtures/tiny",
    "INPUT": "{own}/input.txt",
    "OUTPUT": "{own}/output.txt",
}
# Longer texts that the reader replaces by its own.
TEXTS = {
    "scylla://db1,db2/": "$MARQUEE_TEST_CQL/",
    "redis://cache1:6379": "$MARQUEE_TEST_REDIS",
}
# What would take long, or ask of a debug build what only a release build can do.
SHORTER = [
    (r"(--duration|--warmup|--window) \S+", r"\1 1s"),
    (r"(?<=\d):\d+[smh]\b(?=[,\s]|$)", ":1s"),
    (r"--rounds \d+", "--rounds 1"),
    (r"--epochs \d+", "--epochs 1"),
    (r"(marquee_onnx train)(?!.*--epochs)", r"\1 --epochs 1"),
    (r"(--bin end-to-end\b.*)--quick", r"\1--quick --rounds 1 --seconds 1 --only-ratios"),
    (r"p99<\d+ms,errors<[\d.]+%", "p99<9s,errors<50%"),
    (r"^(marquee .*watch-interactions)", r"timeout 2 \1"),
    (r"(loadgen search\b.*)--min \d+", r"\1--min 50 --max 60 --tolerance 9"),
]


def as_run(text: str, values: dict[str, str], token: str | None = None) -> str:
    """What is run for a command: words have values, times are short."""
    for written, value in TEXTS.items():
        text = text.replace(written, value)
    words = {word: value.format(**values) for word, value in WORDS.items()} | (
        {"TOKEN": token} if token else {}
    )
    known = "|".join(words)
    text = re.sub(rf"(?<![\w$./-])({known})(?![\w/(.=])", lambda found: words[found[1]], text)
    for pattern, short in SHORTER:
        text = re.sub(pattern, short, text, flags=re.DOTALL)
    return text


def server_arguments(text: str) -> list[str] | None:
    """What the command tells marquee-server, if that is what it runs."""
    words = shlex.split(text, comments=True)
    if words[:1] == ["taskset"]:
        words = words[3:]
    if words[:2] == ["cargo", "run"]:
        options, words = cargo_shim.parse(words[2:])
        server = options.get("-p", SERVER) == SERVER and "--example" not in options
        return words if server else None
    return words[1:] if words[:1] == [SERVER] else None


def serves(text: str) -> bool:
    """Whether the command stays in the foreground until somebody ends it."""
    words = server_arguments(text)
    if words is None or in_background(text) or {"--help", "--version", "--print-config"} & set(words):
        return False
    return not words or words[0] == "serve" or words[0].startswith("-")


def in_background(text: str) -> bool:
    """Whether the command goes to the background as it is written."""
    return bool(re.search(r"(?<!&)&\s*(#.*)?$", text))


def addresses(text: str) -> list[str]:
    """Where the server of a command is to be found."""
    named = re.findall(r"--listen[ =](\S+)", text) or re.findall(
        r"(?<![\w/=])(127\.0\.0\.1:\d+)\b(?!/)", text
    )
    if named:
        return named
    return [DEFAULT_ADDRESS] if server_arguments(text) is not None else []
