"""Reads what a running server holds into a data folder: its interactions as a stream, then its movies.

The folder is as `marquee-server export` writes one. A stream that breaks off goes on after its last position,
in this call a few times and in the next one: what is whole so far lies beside a note that says up to where.
The server is asked over its HTTP gateway, for which the standard library is enough.
"""

from __future__ import annotations

import argparse
import calendar
import csv
import http.client
import json
import os
import ssl
import time as clock
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from marquee_onnx.errors import DataError
from marquee_onnx.text import read_object

RATINGS, MOVIES, MOVIE_KEYS = "ratings.csv", "movies.csv", "movie_keys.csv"
PART, NOTE = "ratings.csv.part", "download.json"
HEADER = ("userId", "movieId", "rating", "timestamp", "kind", "timeMs", "userKey", "movieKey")
MOVIES_A_PAGE = 500
READ_AT_ONCE = 1 << 16  # bytes
SILENCE = 60.0  # seconds after which a server that says nothing is given up
ATTEMPTS = 5  # without anything new between them
FIRST_WAIT = 1.0  # seconds, doubled with each attempt


@dataclass(frozen=True)
class Server:
    """Where a server is, and what it wants to be shown."""

    address: str
    key: str = ""
    authority: Path | None = None

    def get(self, path: str, **query: str | int) -> http.client.HTTPResponse:
        """The reply to a GET; a refusal is an error with the server's own words."""
        query = {name: value for name, value in query.items() if value != ""}
        url = f"{self.address}{path}?{urllib.parse.urlencode(query)}"
        headers = {"accept": "application/json"} | ({"x-api-key": self.key} if self.key else {})
        context = ssl.create_default_context(cafile=self.authority) if url.startswith("https:") else None
        try:
            reply = urllib.request.urlopen(
                urllib.request.Request(url, headers=headers), timeout=SILENCE, context=context
            )
        except urllib.error.HTTPError as error:
            if error.code in RETRIED:
                raise BrokenOffError(said_by(error)) from error
            raise DataError(f"{self.address} refuses: {said_by(error)}") from error
        except ssl.SSLCertVerificationError as error:
            raise DataError(f"{self.address}: {error}; name its authority by --server-ca") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):
                reason = f"{error.reason}; name its authority by --server-ca"
                raise DataError(f"{self.address}: {reason}") from error
            raise BrokenOffError(str(error.reason)) from error
        except (http.client.HTTPException, OSError) as error:
            raise BrokenOffError(str(error) or type(error).__name__) from error
        return cast(http.client.HTTPResponse, reply)


RETRIED = (429, 502, 503, 504)  # too often, or a server that ends, begins or waits for its store
RETRIED_CODES = (8, 10, 14)  # of gRPC: RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE


class BrokenOffError(Exception):
    """The server, or what is between, gave up for now."""


@dataclass
class Place:
    """Up to where a download is whole: the server's position, and the bytes of the part file."""

    server: str
    position: str = ""
    bytes: int = 0
    interactions: int = 0

    def write(self, folder: Path) -> None:
        """Keep it beside the part file, whole or not at all."""
        new = folder / (NOTE + ".new")
        new.write_text(json.dumps(asdict(self)) + "\n")
        new.replace(folder / NOTE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a command's data folder may be filled from a server."""
    parser.add_argument(
        "--from-server",
        metavar="ADDRESS",
        help="fill the data folder with the interactions and movies of this server first, such as "
        "http://127.0.0.1:50051; one that broke off goes on, one that is whole is used as it is",
    )
    parser.add_argument(
        "--server-key",
        default=os.environ.get("MARQUEE_API_KEY", ""),
        metavar="KEY",
        help="the key of an operator that the server wants, if it wants one (default $MARQUEE_API_KEY)",
    )
    parser.add_argument(
        "--server-ca",
        type=Path,
        default=os.environ.get("MARQUEE_TLS_CA") or None,
        metavar="FILE",
        help="authorities as PEM that sign its certificate (default $MARQUEE_TLS_CA, else the system's)",
    )


def server_of(args: argparse.Namespace) -> Server | None:
    """The server that the command line names."""
    if not args.from_server:
        return None
    address = args.from_server.rstrip("/")
    if "://" not in address:
        address = f"http://{address}"
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise DataError(f"--from-server is {args.from_server!r}; write http://HOST:PORT, or https for TLS")
    return Server(address, args.server_key, args.server_ca)


def fill(folder: Path, server: Server) -> None:
    """Bring the server's interactions and movies into the folder, unless it holds a whole download."""
    if (folder / RATINGS).exists():
        print(
            f"{folder} holds {RATINGS} already and is used as it is; name a new folder for newer ones",
            flush=True,
        )
        return
    folder.mkdir(parents=True, exist_ok=True)
    place = begun(folder, server)
    download(folder, server, place)
    movies = write_movies(folder, server)
    (folder / PART).replace(folder / RATINGS)
    (folder / NOTE).unlink(missing_ok=True)
    print(f"{place.interactions:,} interactions with {movies:,} movies of {server.address}", flush=True)


def begun(folder: Path, server: Server) -> Place:
    """Where an earlier call stopped, its part file cut to what is whole; else a new beginning."""
    if (folder / NOTE).exists() and (folder / PART).exists():
        place = Place(**read_object(folder / NOTE))
        if place.server != server.address:
            raise DataError(
                f"{folder} holds a part of what {place.server} has; name another folder, or that server"
            )
        print(f"goes on after {place.interactions:,} interactions", flush=True)
        return place
    with (folder / PART).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(HEADER)
    place = Place(server.address, bytes=(folder / PART).stat().st_size)
    place.write(folder)
    return place


def download(folder: Path, server: Server, place: Place) -> None:
    """Take the stream to its end, going on where it broke off."""
    failed, before = 0, place.position
    while True:
        try:
            take(folder, server, place)
            return
        except BrokenOffError as error:
            failed = 0 if place.position != before else failed + 1
            before = place.position
            if failed >= ATTEMPTS:
                raise DataError(
                    f"{server.address} broke off after {place.interactions:,} interactions: {error}; "
                    "run it again, and it goes on"
                ) from error
            clock.sleep(FIRST_WAIT * 2**failed)


def take(folder: Path, server: Server, place: Place) -> None:
    """Take one stream to its end; `place` says up to where what was taken is whole."""
    with (folder / PART).open("r+", newline="", encoding="utf-8") as file:
        file.truncate(place.bytes)
        file.seek(place.bytes)
        rows, taken = csv.writer(file, lineterminator="\n"), 0
        for part in parts(server, place.position):
            events = part.get("interactions", [])
            rows.writerows(map(row, events))
            taken += len(events)
            position = part.get("position", "")
            # Parts within a user have the position before that user.
            if position != place.position:
                file.flush()
                place.position, place.bytes = position, os.fstat(file.fileno()).st_size
                place.interactions += taken
                taken = 0
                place.write(folder)


def parts(server: Server, after: str) -> Iterator[dict[str, Any]]:
    """The parts of the stream after a position."""
    with closing(server.get("/v1/interactions:export", after=after)) as reply:
        for line in lines(reply):
            message = json.loads(line)
            if "error" in message:
                error = message["error"]
                words = f"{error.get('message', error)}"
                raise BrokenOffError(words) if error.get("code") in RETRIED_CODES else DataError(words)
            yield message["result"]


def lines(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """The lines of a stream; one that is cut off, or never comes, breaks it off.

    `readline` would take a stream that is cut between chunks for one that ended.
    """
    rest = b""
    while True:
        try:
            read = reply.read1(READ_AT_ONCE)
        except (http.client.HTTPException, OSError) as error:
            raise BrokenOffError(str(error) or type(error).__name__) from error
        if not read:
            break
        *whole, rest = (rest + read).split(b"\n")
        yield from whole
    if rest:
        raise BrokenOffError("the connection ended within a line")


def row(event: dict[str, Any]) -> tuple[Any, ...]:
    """A row of `ratings.csv`, as the server's own export writes it."""
    it = event["interaction"]
    time_ms = milliseconds(it["time"])
    kind = it.get("kind", "").removeprefix("INTERACTION_KIND_").lower()
    keys = event.get("user_key", ""), event.get("movie_key", "")
    return (it["user_id"], it["movie_id"], it.get("rating", ""), time_ms // 1000, kind, time_ms, *keys)


def milliseconds(time: str) -> int:
    """A time such as 2026-01-31T12:00:00.250Z as milliseconds since 1970."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = calendar.timegm(datetime.fromisoformat(whole).timetuple())
    return seconds * 1000 + int((fraction + "000")[:3])


def write_movies(folder: Path, server: Server) -> int:
    """Write what the catalogue says of its movies, and their keys if any has one; how many there are."""
    count, token, keys = 0, "", []
    with (folder / MOVIES).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("movieId", "title", "genres"))
        while True:
            page = page_of_movies(server, token)
            for movie in page.get("movies", []):
                genres = "|".join(movie.get("genres", [])) or "(no genres listed)"
                rows.writerow((movie["movie_id"], movie.get("title", ""), genres))
                count += 1
                if movie.get("movie_key"):
                    keys.append((movie["movie_id"], movie["movie_key"]))
            token = page.get("next_page_token", "")
            if not token:
                break
    if keys:
        with (folder / MOVIE_KEYS).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("movieId", "movieKey"), *keys])
    return count


def page_of_movies(server: Server, token: str) -> dict[str, Any]:
    """A page of the catalogue, asked for again where it breaks off."""
    for failed in range(ATTEMPTS):
        try:
            with closing(
                server.get("/v1/movies:popular", page_size=MOVIES_A_PAGE, page_token=token)
            ) as reply:
                return cast(dict[str, Any], json.load(reply))
        except BrokenOffError as error:
            if failed + 1 == ATTEMPTS:
                raise DataError(
                    f"{server.address} does not list its movies: {error}; run it again"
                ) from error
            clock.sleep(FIRST_WAIT * 2**failed)
    raise AssertionError("the last attempt returns or raises")


def said_by(error: urllib.error.HTTPError) -> str:
    """What a refusal says, in one line."""
    text = error.read(10_000).decode(errors="replace")
    try:
        said = json.loads(text)
        return str(said.get("message") or said["error"]["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"HTTP {error.code} {error.reason}"
