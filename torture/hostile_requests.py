"""Hostile requests at the explorer: no fault of the server, no word of its insides, a reason for each refusal."""

import json
import random
import string
from pathlib import Path
from typing import Any

from interpolants.web import Question, create_app, open_runs
from interpolants.web.bridge_motion import Journey
from interpolants.web.measurements import Judgement
from torture.children import forked, interpolants, small_run
from torture.rows import Row

SMALL = {"n": 100, "n_steps": 5}
VALUES = [
    None,
    True,
    -1,
    0,
    1,
    1e308,
    -0.0,
    "NaN",
    "",
    "x" * 999,
    [],
    {},
    [[0, 0]] * 600,
    {"a": [1]},
    "../../etc/passwd",
    2**70,
    [2**70],
    "\x00",
    "\ud800",
    "${7*7}",
    [float("nan")],
    [-1e9],
    [0.1] * 5,
    10**400,
]
PLACES = [
    "/",
    "/run",
    "/compare",
    "/static/view.js",
    "/static/%2e%2e/%2e%2e/app.py",
    "/static/..%5capp.py",
    "/static/con",
    "/static/a%00b",
    "/api/runs/0",
    "/api/runs/-1",
    "/api/runs/99999999999999999999",
    "/api/runs/NaN",
    "/api/runs/..%2f..%2frecipe.json",
    "/api/runs/0/figures/0/dark",
    "/api/runs/0/figures/99/light",
    "/api/runs/0/figures/0/..%2f..%2frecipe.json",
    "/api/runs/2/figures/-1/light",
    "/api/runs/0x0",
    "/api/runs/1e3",
    "//evil.example/",
    "/api/carry?runs=/etc/passwd",
    "/" + "a" * 5000,
    "/api/simulate",
    "/api/carry",
    "/api/judge",
    "/api/prices",
    "/%ff%fe",
    "/api/runs/0/../../..",
    "/.git/config",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"]


def hostile(rng):
    """One request: method, place, body, headers."""
    headers = {}
    if rng.random() < 0.15:
        name = rng.choice(
            ["origin", "host", "content-type", "x-forwarded-for", "content-length", "cookie", "range"]
        )
        text = "".join(rng.choices(string.printable[:94], k=rng.randint(0, 60)))
        headers[name] = str(rng.randint(0, 9)) if name == "content-length" else text
        headers.pop("content-length", None)
    if rng.random() < 0.35:
        body = bytes(rng.randrange(256) for _ in range(rng.randint(0, 300)))
        return rng.choice(METHODS), rng.choice(PLACES), body, headers
    kind, usual, place = rng.choice(
        [
            (Question, SMALL, "/api/simulate"),
            (Journey, {"runs": [0], "n": 5, "n_steps": 3}, "/api/carry"),
            (Judgement, {"run": 2, "what": "check"}, "/api/judge"),
            (Question, {"n": 10**9}, "/api/prices"),
        ]
    )
    keys = [*kind.model_fields, "__proto__", "", "constructor", "path\x00"]
    asked = {**usual, **{rng.choice(keys): rng.choice(VALUES) for _ in range(rng.randint(0, 4))}}
    body = json.dumps(asked).encode()
    if rng.random() < 0.2:
        body = body[: rng.randint(0, len(body))]
    return "POST", place, body, headers


def wrong_with(method: str, reply: Any) -> str:
    """What is wrong with a reply; empty if nothing."""
    if reply.status_code >= 500:
        return f"status {reply.status_code}"
    if "Traceback" in reply.text or "site-packages" in reply.text:
        return "it shows the insides"
    if reply.status_code < 400 or method == "HEAD":
        return ""
    try:
        told = reply.json()
    except ValueError:
        return f"status {reply.status_code} with {reply.text[:40]!r} for a reason"
    return "" if set(told) == {"error"} and 0 < len(told["error"]) < 300 else "it is refused without a reason"


def attack(scale: float, work: Path) -> Row:
    """1,000 requests at an explorer with three runs of one kind."""
    from fastapi.testclient import TestClient

    (work / "run.toml").write_text(small_run())
    forked(
        interpolants("run", "--config", str(work / "run.toml"), "--out", str(work / "run"), "--quiet"), work
    )
    runs = open_runs([work / "run"] * 3)
    row, rng = Row("hostile requests at the explorer"), random.Random(1)
    home = "http://127.0.0.1:8000"
    with TestClient(create_app(runs), raise_server_exceptions=False, base_url=home) as client:
        for _ in range(max(10, round(1000 * scale))):
            method, place, body, headers = hostile(rng)
            reply = client.request(method, place, content=body, headers=headers)
            fault = wrong_with(method, reply)
            row.count(
                refused=reply.status_code >= 400, harm=f"{method} {place[:60]}: {fault}" if fault else ""
            )
    return row
