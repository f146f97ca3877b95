"""The server: its pages and files, answers in their packing, refusals in words, five hundred hostile requests."""

import json
import random
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from torture.hostile_requests import SMALL, hostile, wrong_with

from interpolants.foundations.errors import InvalidInputError
from interpolants.web import Question, create_app, listen, open_runs, simulate
from interpolants.web.app import PAGES, STATIC
from interpolants.web.request_guard import LARGEST_BODY
from interpolants.web.work_precision import EVALUATIONS, prices

HERE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def client(trained):
    runs = open_runs([trained / name for name in ("first", "pictures", "closed")], allowed=[trained])
    with TestClient(create_app(runs), raise_server_exceptions=False, base_url=HERE) as client:
        yield client


def unpacked(content):
    """The lines of a stream, the last of them the answer, and the bytes behind it."""
    lines = []
    while not (lines and ("answer" in lines[-1] or "error" in lines[-1])):
        line, content = content.split(b"\n", 1)
        lines.append(json.loads(line))
    return lines, content


def test_the_pages_and_their_files_are_served_and_nothing_else(client):
    files = sorted(file.name for file in STATIC.iterdir())
    for place, file in PAGES.items():
        page = client.get(place)
        assert page.text == (STATIC / file).read_text("utf-8")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
    for name in files:
        text = (STATIC / name).read_text("utf-8")
        assert client.get(f"/static/{name}").text == text
        assert "https://" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    for place in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/docs",
        "/openapi.json",
        "/etc/passwd",
        "/api/runs/../../recipe.json",
        "/api/runs/0/figures/0/blue",
        "/api/runs/0/figures/99/light",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/api/runs/99",
    ):
        reply = client.get(place)
        assert reply.status_code == 404, place
        assert set(reply.json()) == {"error"}


@pytest.mark.parametrize("wanted", ["bytes=0-9", "bytes=-", "bites", "bytes=9-0", "bytes=0-1,5-6"])
def test_files_are_sent_whole_whatever_range_is_asked_for(client, wanted):
    whole = client.get("/static/view.js")
    asked = client.get("/static/view.js", headers={"range": wanted})
    assert (asked.status_code, asked.text) == (200, whole.text)


def test_the_choices_are_those_that_questions_allow(client):
    choices = client.get("/api/choices").json()
    for key, field in (
        ("laws", "rho0"),
        ("paths", "path"),
        ("envelopes", "envelope"),
        ("shapes", "eps_shape"),
        ("methods", "method"),
    ):
        for name in choices[key]:
            Question.model_validate({field: name})


def test_an_answer_is_unpacked_to_what_was_computed(client):
    asked = {**SMALL, "eps": 1, "rho0": "moons", "seed": 3, "start": [0.0, 0.5]}
    lines, raw = unpacked(client.post("/api/simulate", content=json.dumps(asked)).content)
    expected = simulate(Question.model_validate(asked))
    count, extra = expected.particles.size, expected.flow.size
    assert lines[-1]["bytes"] == len(raw)
    particles = np.frombuffer(raw, np.float32, count).reshape(expected.particles.shape)
    np.testing.assert_array_equal(particles, expected.particles)
    np.testing.assert_array_equal(np.frombuffer(raw, np.float32, extra, 4 * count), expected.flow.ravel())
    density = np.frombuffer(raw, np.uint8, offset=4 * (count + extra))
    np.testing.assert_array_equal(density, expected.density.ravel())
    head = lines[-1]["answer"]
    assert (head["n"], head["nfe"], head["flow"]) == (100, expected.nfe, True)


@pytest.mark.slow
def test_more_evaluations_come_closer_to_the_truth_and_few_are_far(client):
    found = prices(Question(rho0="gaussian", rho1="board"))
    assert [curve["name"] for curve in found["curves"]] == [
        "ODE, euler",
        "ODE, heun",
        "ODE, midpoint",
        "ODE, rk4",
    ]
    for curve in found["curves"]:
        assert [row[0] for row in curve["rows"]] == list(EVALUATIONS)
        first, last = curve["rows"][0], curve["rows"][-1]
        assert abs(last[1]) < 4 * last[2]  # cannot be told from the truth
        assert "midpoint" in curve["name"] or first[1] > 4 * first[2]  # two midpoint steps will do here
    told, _ = unpacked(client.post("/api/prices", json={"eps": 1, "rho1": "two blobs"}).content)
    names = [curve["name"] for curve in told[-1]["answer"]["curves"]]
    assert names == ["ODE, midpoint", "SDE, euler_maruyama", "SDE, sra1", "SDE, stochastic_heun"]


def test_runs_are_listed_shown_and_carried_by_number(client, trained):
    lines = client.get("/api/runs").json()["runs"]
    assert [line["name"] for line in lines] == ["first", "pictures", "closed"]
    assert str(trained) not in client.get("/api/runs").text
    assert client.get("/api/runs/0").json()["stages"]
    body = {"runs": [0], "n": 20, "n_steps": 5}
    told, raw = unpacked(client.post("/api/carry", json=body).content)
    assert told[-1]["bytes"] == len(raw) == 4 * 2 * (6 * 20 + sum(told[-1]["answer"]["context"]))
    told, _ = unpacked(client.post("/api/judge", json={"run": 0, "what": "errors"}).content)
    assert told[-1]["answer"]["what"] == "errors"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_are_sent_as_pictures(client, theme):
    pytest.importorskip("matplotlib")
    reply = client.get(f"/api/runs/2/figures/0/{theme}")
    assert reply.content.startswith(b"\x89PNG")
    assert reply.headers["content-type"] == "image/png"


def test_a_page_has_no_number_that_json_lacks(client):
    for k in range(3):
        json.loads(client.get(f"/api/runs/{k}").text, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("place", "body", "status", "told"),
    [
        ("simulate", "no json", 422, "must be a JSON object"),
        ("simulate", "[1]", 422, "question: input should be"),
        ("simulate", '{"rho2": 1}', 422, "Did you mean 'rho1'?"),
        ("simulate", '{"n": 99999}', 422, "n: input should be less than or equal to 10000, got 99999"),
        ("simulate", '{"eps": NaN}', 422, "eps: input should be"),
        ("simulate", '{"eps": 1, "envelope": "zero"}', 422, "Use another envelope, or eps = 0."),
        (
            "simulate",
            '{"path": "linaer"}',
            422,
            "path: name must be that of a path (Did you mean 'linear'?), got",
        ),
        ("prices", '{"eps": 1, "envelope": "zero"}', 422, "Use another envelope, or eps = 0."),
        ("simulate", "[" * 50_000, 422, "must be a JSON object"),
        ("simulate", '"' + "x" * LARGEST_BODY + '"', 413, "bytes at most"),
        ("carry", '{"runs": [0], "folder": "/etc"}', 422, "folder: there is no such setting."),
        ("judge", '{"rn": 0, "what": "check"}', 422, "rn: there is no such setting. Did you mean 'run'?"),
        ("carry", '{"runs": [5]}', 422, "there are runs 0 to 2, got 5"),
        ("carry", '{"runs": [2]}', 422, "only a bridge shows samples on their way"),
        (
            "judge",
            '{"run": 0, "what": "all"}',
            422,
            "what: input should be 'errors', 'likelihood' or 'check'",
        ),
    ],
)
def test_a_bad_question_is_answered_in_words(client, place, body, status, told):
    reply = client.post(f"/api/{place}", content=body)
    assert reply.status_code == status
    assert told in reply.json()["error"]
    assert "Traceback" not in reply.text


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": ""},
        {"host": "127.0.0.1.evil.example"},
        {"host": "[::1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"origin": "https://127.0.0.1:8000"},
    ],
)
def test_requests_that_were_meant_for_others_are_refused_for_every_method(client, method, headers):
    reply = client.request(method, "/api/simulate", headers=headers)
    assert reply.status_code == 403
    assert set(reply.json()) == {"error"}


def test_the_page_itself_may_ask(client):
    assert client.post("/api/simulate", json=SMALL, headers={"origin": HERE}).status_code == 200


# --- hostile requests ---------------------------------------------------------------------------------------------


def test_five_hundred_hostile_requests_do_no_harm(client):
    rng, seen = random.Random(0), {}
    for _ in range(500):
        method, place, body, headers = hostile(rng)
        reply = client.request(method, place, content=body, headers=headers)
        seen[reply.status_code] = seen.get(reply.status_code, 0) + 1
        assert not wrong_with(method, reply), (method, place[:60], body[:200], headers, reply.text[:200])
    print(dict(sorted(seen.items())))
    assert {200, 403, 404, 405, 414, 422} <= set(seen)
    assert client.post("/api/simulate", content=json.dumps(SMALL)).status_code == 200


@pytest.fixture
def server():
    """A server of its own process on loopback; its port, and how to end it."""
    code = (
        "from interpolants.web import listen, serve; own = listen(0); "
        "print(own.getsockname()[1], flush=True); serve(own)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield int(process.stdout.readline()), process
    process.kill()
    process.communicate()


def spoken(port, raw, *, ends=True):
    """What a server says to some bytes, after which nothing comes if they end."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        link.sendall(raw)
        if ends:
            link.shutdown(socket.SHUT_WR)
        said = b""
        while part := link.recv(65536):
            said += part
        return said


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n"
)


def test_bytes_that_are_no_http_upgrades_and_readers_who_leave_do_no_harm(server):
    port, process = server
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    for raw in (
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /api/simulate HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /api/simulate HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        assert not spoken(port, raw).startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), raw[:40]
    for place in (b"/", b"/api/simulate", b"/nope"):
        said = spoken(port, b"GET " + place + b" HTTP/1.1\r\n" + host + UPGRADE + b"\r\n")
        assert said.startswith(b"HTTP/1.1 400"), said[:200]
    # A body that lies about its length, sent for ever in chunks: counted while it comes in.
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    said = spoken(
        port,
        b"POST /api/simulate HTTP/1.1\r\n"
        + host
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + 5 * chunk
        + b"0\r\n\r\n",
    )
    assert said.startswith(b"HTTP/1.1 413")
    # Readers who leave in the middle of work; the next one is served all the same.
    body = json.dumps({"n": 4000, "n_steps": 100, "rho0": "ring", "rho1": "ring", "method": "euler"}).encode()
    asked = b"POST /api/simulate HTTP/1.1\r\n" + host + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(asked)
            link.recv(100)
    body = json.dumps(SMALL).encode()
    begun = time.monotonic()
    head = b"POST /api/simulate HTTP/1.1\r\nConnection: close\r\n" + host
    said = spoken(port, head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body, ends=False)
    print(f"served {time.monotonic() - begun:.1f} s after five readers left")
    assert said.startswith(b"HTTP/1.1 200")
    process.terminate()
    _, told = process.communicate(timeout=20)
    assert "Traceback" not in told


def test_a_websocket_is_closed_before_it_is_accepted(client):
    with pytest.raises(WebSocketDisconnect) as told, client.websocket_connect("/api/simulate"):
        pass
    assert told.value.code == 1008


@pytest.mark.slow
def test_slow_clients_are_dropped(monkeypatch):
    """Headers, bodies and further requests that do not come; the server keeps its patience for half a second here."""
    code = (
        "import interpolants.web.request_guard as g, interpolants.web.app as a; "
        "g.PATIENCE = a.PATIENCE = 0.5; g.Guard.__init__.__defaults__ = (0.5, g.LARGEST_BODY); "
        "from interpolants.web import listen, serve; own = listen(0); "
        "print(own.getsockname()[1], flush=True); serve(own)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        try:
            host = f"Host: 127.0.0.1:{port}\r\n".encode()
            assert spoken(port, host, ends=False) == b""
            assert spoken(port, b"GET / HTTP/1.1\r\nX: ", ends=False) == b""
            post = b"POST /api/simulate HTTP/1.1\r\n" + host + b"Content-Length: 100\r\n\r\n{"
            assert spoken(port, post, ends=False).startswith(b"HTTP/1.1 408")
            page = b"GET /api/runs HTTP/1.1\r\n" + host + b"\r\n"
            assert spoken(port, page + b"GET / HT", ends=False).startswith(b"HTTP/1.1 200")
        finally:
            process.kill()


def test_a_port_in_use_is_refused_with_another():
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=rf"port must be free .* got {port}. Choose another"):
            listen(port)
