"""A served study and many raters at once -> how long votes take, and which are lost by kill -9."""

import asyncio
import io
import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir

import vqe.cli
from vqe.subjective.links import new_rater, sign_rater
from vqe.subjective.plan import plan
from vqe.subjective.reading import read_study_votes
from vqe.subjective.study import Study, load_study, read_key
from vqe.video.encoder import encode_stream

THINK = (0.5, 1.5)  # pauses between votes; people take twenty times as long
CLIP = {"width": 64, "height": 48, "fps": "30", "pix_fmt": "yuv420p", "options": {"crf": "18"}}


@dataclass
class Heard:
    """What raters saw: seconds of each answer, and the votes that were acknowledged."""

    seconds: list[float] = field(default_factory=list)
    kept: list[tuple[str, int, int, int]] = field(default_factory=list)
    refused: int = 0


def make_study(root: Path, *, raters: int) -> Path:
    """Plan a study of two-frame clips."""
    vqe.cli.register_resolvers()
    for method, level in {"input": 60, "a": 120, "b": 180}.items():
        (root / method).mkdir()
        for c in range(12):
            raw = io.BytesIO(bytes([level + c]) * (2 * 64 * 48 * 3))
            encode_stream(raw, str(root / method / f"video_{c:04d}.mp4"), **CLIP)
    overrides = [
        f"methods=['{root}/a','{root}/b']",
        f"reference='{root}/input'",
        f"output='{root}/study'",
        f"votes={max(120, raters * 4)}",
        "trap_seconds=0.1",
        "settings.sessions_per_rater=1000",
        "paths.run=.",
    ]
    with initialize_config_dir(str(vqe.cli.CONF_DIR), version_base="1.3"):
        plan(compose("ratings_plan", overrides=overrides))
    return root / "study"


class Server:
    """The served study; started by the command itself."""

    def __init__(self, study: Path, database: str | None) -> None:
        self.study = study
        self.database = database
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            self.port = place.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = ["ratings.py", "serve", f"study='{self.study}'", f"port={self.port}"]
        command += [f"database='{self.database}'"] if self.database else []
        runs = f"hydra.run.dir='{self.study.parent}/runs'"
        self.process = subprocess.Popen(
            [sys.executable, *command, runs],
            cwd=vqe.cli.REPOSITORY / "vqe",
            stdout=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/"):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError(f"expected a server for {self.study}, got none")

    def end(self, how: signal.Signals) -> None:
        """End it by a signal."""
        self.process.send_signal(how)
        self.process.wait()


class Rater:
    """One rater's connection."""

    def __init__(self, study: Study, key: bytes, port: int, heard: Heard) -> None:
        self.study = study
        self.id = new_rater()
        self.token = sign_rater(self.id, key)
        self.port = port
        self.heard = heard
        self.streams: tuple | None = None
        self.state: dict = {}

    async def ask(self, what: str, told: dict) -> dict | None:
        """Post and return the answer; None where the server is gone or refuses."""
        body = json.dumps(told).encode()
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.streams
            head = (
                f"POST /api/{self.token}/{what} HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(re.search(r"content-length: (\d+)", answer)[1])
            told_back = json.loads(await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            self.streams = None
            return None
        if " 200 " not in answer.splitlines()[0]:
            self.heard.refused += 1
            return None
        return told_back

    async def arrive(self) -> None:
        """Pass the checks and begin."""
        told = {
            "consent": True,
            "screen": {"width": 1920, "height": 1080, "ratio": 1},
            "refresh_hz": 60,
            "plates": self.study.plates,
            "matrices": self.study.matrices,
        }
        await self.ask("enter", told)
        self.state = await self.ask("begin", {}) or {}

    async def vote(self) -> None:
        """Vote on the pair that is shown, and note how long the answer took."""
        if self.state.get("stage") != "pair":
            self.state = await self.ask("begin", {}) or {}
            return
        place = (self.state["assignment"], self.state["position"])
        vote = random.randint(-3, 3)
        start = time.perf_counter()
        told = {"vote": vote, "played": 0.2, "dropped": 0}
        answer = await self.ask("vote", dict(assignment=place[0], position=place[1], **told))
        if answer is not None:
            self.heard.seconds.append(time.perf_counter() - start)
            self.heard.kept.append((self.id, *place, vote))
            self.state = answer


async def vote_for(raters: list[Rater], seconds: float, pause: float) -> None:
    """Let all vote in their own time."""
    end = time.monotonic() + seconds

    async def go_on(rater: Rater) -> None:
        await asyncio.sleep(pause * random.uniform(0, THINK[1]))
        while time.monotonic() < end:
            await rater.vote()
            await asyncio.sleep(pause * random.uniform(*THINK))

    await asyncio.gather(*map(go_on, raters))


async def vote_at_once(raters: list[Rater], times: int, pause: float) -> None:
    """Let all vote in the same moment."""
    for _ in range(times):
        await asyncio.sleep(pause)
        await asyncio.gather(*(rater.vote() for rater in raters))


def measure_load(
    *, raters: int = 200, seconds: float = 20, pause: float = 1, database: str | None = None
) -> dict:
    """Return percentiles of the time of a vote, and how many acknowledged ones a kill -9 lost.

    Args:
        raters: how many vote.
        seconds: in which each votes in its own time.
        pause: seconds between two votes of one, on average; longer than the clips.
        database: URL; None: SQLite.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = make_study(Path(folder), raters=raters)
        study, key = load_study(path), read_key(path)
        server = Server(path, database)
        heard, burst = Heard(), Heard()
        people = [Rater(study, key, server.port, heard) for _ in range(raters)]

        async def run() -> None:
            for start in range(0, raters, 20):  # people do not arrive in one instant
                await asyncio.gather(*(p.arrive() for p in people[start : start + 20]))
            await vote_for(people, seconds, pause)
            for person in people:
                person.heard = burst
            await vote_at_once(people, 5, pause)
            # kill the server while votes are on their way
            loop = asyncio.get_running_loop()
            loop.call_later(1.5 * pause, server.process.kill)
            await asyncio.gather(*(_hurry(person, pause) for person in people))

        try:
            asyncio.run(run())
            server.process.wait()
            server.start()  # what it finds is what counts
            server.end(signal.SIGTERM)
            lost = count_lost([*heard.kept, *burst.kept], read_study_votes(path, database))
        finally:
            if server.process.poll() is None:
                server.end(signal.SIGKILL)
    milliseconds = 1000 * np.array(heard.seconds)
    return {
        "vote_raters": raters,
        "vote_count": len(heard.seconds),
        "votes_per_second": len(heard.seconds) / seconds,
        "vote_p50_ms": float(np.percentile(milliseconds, 50)),
        "vote_p95_ms": float(np.percentile(milliseconds, 95)),
        "vote_p99_ms": float(np.percentile(milliseconds, 99)),
        "burst_p95_ms": float(np.percentile(1000 * np.array(burst.seconds[: raters * 5]), 95)),
        "votes_refused": heard.refused,
        "votes_acknowledged": len(heard.kept) + len(burst.kept),
        "votes_lost": lost,
    }


def count_lost(kept: list[tuple], votes: pd.DataFrame) -> int:
    """Return how many acknowledged votes are not in the database as they were given."""
    session = votes["session"].str.rpartition("-")[2].astype(int)
    there = set(
        zip(
            votes["rater"],
            session,
            votes["position"].astype(int),
            votes["vote"].astype(int),
            strict=True,
        )
    )
    return sum(vote not in there for vote in kept)


async def _hurry(rater: Rater, pause: float) -> None:
    """Vote as fast as clips allow until the server is gone."""
    end = time.monotonic() + 3 * pause
    while time.monotonic() < end:
        await rater.vote()
        await asyncio.sleep(0.25 * pause)
