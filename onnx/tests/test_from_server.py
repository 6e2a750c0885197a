"""Reading a server's interactions and movies, from one that is made up and breaks off where it is told to."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from marquee_onnx import from_server
from marquee_onnx.__main__ import main
from marquee_onnx.errors import DataError
from marquee_onnx.from_server import Server, fill, milliseconds

USERS = 4
MOVIES = [
    {"movie_id": 1, "title": "Toy Story (1995)", "genres": ["Comedy"]},
    {"movie_id": 1 << 30, "title": "Serial, again", "movie_key": "pod/serial"},
]


def event(user: int, movie: int, second: int) -> dict[str, Any]:
    interaction = {
        "user_id": str(user),
        "movie_id": movie,
        "kind": "INTERACTION_KIND_VIEW",
        "time": f"2026-01-31T12:00:{second:02}.250Z",
    }
    return {
        "interaction": interaction,
        "user_key": f"u{user}",
        "movie_key": "pod/serial" if movie > 1 else "",
    }


def stream(after: int) -> list[dict[str, Any]]:
    """Two parts a user: the first ends within the user, and so has the position before."""
    found = []
    for user in range(after + 1, USERS + 1):
        before = {"position": str(user - 1)} if user > 1 else {}
        found.append({"interactions": [event(user, 1, 1)], **before})
        found.append({"interactions": [event(user, 1 << 30, 2)], "position": str(user)})
    return found


class FakeServer:
    """What is asked of it, and after how many parts of each stream it breaks off."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        self.breaks: list[int] = []
        self.ending: dict[str, Any] | None = None
        self.wanted_key = ""


@contextmanager
def serving(fake: FakeServer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            fake.asked.append(self.path)
            fake.keys.append(self.headers["x-api-key"])
            if fake.wanted_key and self.headers["x-api-key"] != fake.wanted_key:
                self.answer(401, {"code": 16, "message": "a key is needed; send one"})
            elif url.path == "/v1/movies:popular":
                page = int(query.get("page_token", "0"))
                more = {"next_page_token": str(page + 1)} if page + 1 < len(MOVIES) else {}
                self.answer(200, {"movies": [MOVIES[page]], **more})
            else:
                self.stream(int(query.get("after", "0")))

        def answer(self, status: int, message: dict[str, Any]) -> None:
            body = json.dumps(message).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def stream(self, after: int) -> None:
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            parts = stream(after)
            most = fake.breaks.pop(0) if fake.breaks else len(parts)
            for part in parts[:most]:
                self.chunk({"result": part})
            if most < len(parts):
                if fake.ending is not None:
                    self.chunk({"error": fake.ending})
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")

        def chunk(self, message: dict[str, Any]) -> None:
            line = json.dumps(message).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_server, "FIRST_WAIT", 0.0)


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def expected_rows() -> list[list[str]]:
    seconds, ms = 1769860801, 1769860801250
    found = [list(from_server.HEADER)]
    for user in range(1, USERS + 1):
        found.append([str(user), "1", "", str(seconds), "view", str(ms), f"u{user}", ""])
        later = [str(seconds + 1), "view", str(ms + 1000), f"u{user}", "pod/serial"]
        found.append([str(user), str(1 << 30), "", *later])
    return found


def test_a_folder_is_filled_as_an_export_writes_it(tmp_path: Path) -> None:
    fake = FakeServer()
    with serving(fake) as address:
        fill(tmp_path / "data", Server(address))
    assert rows(tmp_path / "data" / "ratings.csv") == expected_rows()
    movies = [["movieId", "title", "genres"], ["1", "Toy Story (1995)", "Comedy"]]
    movies.append([str(1 << 30), "Serial, again", "(no genres listed)"])
    assert rows(tmp_path / "data" / "movies.csv") == movies
    keys = [["movieId", "movieKey"], [str(1 << 30), "pod/serial"]]
    assert rows(tmp_path / "data" / "movie_keys.csv") == keys
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == ["movie_keys.csv", "movies.csv", "ratings.csv"]


@pytest.mark.parametrize("ending", [None, {"code": 14, "message": "the server is shutting down"}])
def test_a_stream_that_breaks_off_goes_on_and_holds_nothing_twice(
    tmp_path: Path, ending: dict[str, Any] | None
) -> None:
    fake = FakeServer()
    fake.breaks, fake.ending = [3, 0, 1, 4], ending
    with serving(fake) as address:
        fill(tmp_path, Server(address))
    assert rows(tmp_path / "ratings.csv") == expected_rows()
    after = [path.partition("after=")[2] for path in fake.asked if "export" in path]
    assert after == ["", "1", "1", "1", "3"]


def test_a_download_that_is_given_up_goes_on_in_the_next_call(tmp_path: Path) -> None:
    fake = FakeServer()
    fake.breaks = [3] + [0] * from_server.ATTEMPTS
    with serving(fake) as address:
        with pytest.raises(DataError, match=r"broke off after 2 interactions.*run it again"):
            fill(tmp_path, Server(address))
        assert not (tmp_path / "ratings.csv").exists()
        with pytest.raises(DataError, match="a part of what"):
            fill(tmp_path, Server("http://localhost:1"))
        fill(tmp_path, Server(address))
    assert rows(tmp_path / "ratings.csv") == expected_rows()


def test_a_whole_download_is_used_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,timestamp\n")
    fill(tmp_path, Server("http://127.0.0.1:1"))
    assert "used as it is" in capsys.readouterr().out


def test_a_refusal_is_said_in_the_servers_words_and_a_key_is_shown(tmp_path: Path) -> None:
    fake = FakeServer()
    fake.wanted_key = "mk_secret"
    with serving(fake) as address:
        with pytest.raises(DataError, match="refuses: a key is needed; send one"):
            fill(tmp_path / "one", Server(address))
        fill(tmp_path / "two", Server(address, "mk_secret"))
    assert set(fake.keys) == {None, "mk_secret"}


def test_an_error_of_the_stream_that_does_not_pass_ends_it(tmp_path: Path) -> None:
    fake = FakeServer()
    fake.breaks, fake.ending = [1], {"code": 13, "message": "the store is damaged"}
    with serving(fake) as address, pytest.raises(DataError, match="the store is damaged"):
        fill(tmp_path, Server(address))


def test_an_authority_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ftp"):
        main_arguments("ftp://example.org")
    assert main_arguments("localhost:50051").address == "http://localhost:50051"
    assert main_arguments("https://example.org/").address == "https://example.org"


def main_arguments(address: str) -> Server:
    import argparse

    parser = argparse.ArgumentParser()
    from_server.add_arguments(parser)
    server = from_server.server_of(parser.parse_args(["--from-server", address]))
    assert server is not None
    return server


def test_times_have_milliseconds_whatever_digits_they_are_written_with() -> None:
    for text, expected in [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T00:00:01.2Z", 1_200),
        ("1970-01-01T00:00:01.250Z", 1_250),
        ("1970-01-01T00:00:01.250999Z", 1_250),
        ("1969-12-31T23:59:59.500Z", -500),
    ]:
        assert milliseconds(text) == expected


def test_training_says_what_a_server_that_is_not_there_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    words = ["train", str(tmp_path / "data"), "--output", str(tmp_path / "run")]
    assert main([*words, "--from-server", "http://127.0.0.1:9"]) == 1
    assert "broke off after 0 interactions" in capsys.readouterr().err
