"""The server: the page and its files, answers in their packing, refusals in words, five hundred hostile requests."""

import json
import random
import struct

import numpy as np
import pytest
from fastapi.testclient import TestClient

from interpolants.foundations.errors import InvalidInputError
from interpolants.web import Question, create_app, listen, simulate
from interpolants.web.app import LARGEST_BODY, STATIC

SMALL = {"n": 100, "n_steps": 5}


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


def test_the_page_and_its_files_are_served_and_nothing_else(client):
    page = client.get("/")
    assert "<canvas" in page.text
    for name in ("style.css", "explore.js"):
        assert client.get(f"/static/{name}").text == (STATIC / name).read_text("utf-8")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for place in ("/static/../app.py", "/static/%2e%2e/app.py", "/docs", "/openapi.json", "/etc/passwd"):
        assert client.get(place).status_code == 404
    for text in (page.text, *((STATIC / name).read_text("utf-8") for name in ("style.css", "explore.js"))):
        assert "http://" not in text
        assert "https://" not in text


def test_the_choices_are_those_that_questions_allow(client):
    choices = client.get("/api/choices").json()
    for key, field in (
        ("laws", "rho0"),
        ("paths", "path"),
        ("envelopes", "envelope"),
        ("shapes", "eps_shape"),
    ):
        for name in choices[key]:
            Question.model_validate({field: name})


def test_an_answer_is_unpacked_to_what_was_computed(client):
    asked = {**SMALL, "eps": 1, "rho0": "moons", "seed": 3}
    raw = client.post("/api/simulate", content=json.dumps(asked)).content
    (length,) = struct.unpack_from("<I", raw)
    head = json.loads(raw[4 : 4 + length])
    expected = simulate(Question.model_validate(asked))
    count = expected.particles.size
    assert (4 + length) % 4 == 0
    particles = np.frombuffer(raw, np.float32, count, 4 + length).reshape(expected.particles.shape)
    np.testing.assert_array_equal(particles, expected.particles)
    np.testing.assert_array_equal(
        np.frombuffer(raw, np.uint8, offset=4 + length + 4 * count), expected.density.ravel()
    )
    assert head["n"] == 100
    assert head["nfe"] == expected.nfe


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ('{"epz": 1}', 422, "epz: there is no such setting. Did you mean 'eps'?"),
        ('{"eps": -1}', 422, "eps: input should be greater than or equal to 0, got -1"),
        ('{"rho0": "sun"}', 422, "rho0"),
        ("[]", 422, "question"),
        ("not json", 422, "must be a JSON object"),
        ("[" * 20_000, 422, ""),
        ('{"eps": 1, "envelope": "none"}', 422, "Take another envelope"),
        ('"' + "x" * LARGEST_BODY + '"', 413, "bytes at most"),
    ],
)
def test_a_bad_question_is_answered_in_words(client, body, status, told):
    reply = client.post("/api/simulate", content=body)
    assert reply.status_code == status
    assert told in reply.json()["error"]
    assert "Traceback" not in reply.text


def test_five_hundred_hostile_requests_do_no_harm(client):
    rng = random.Random(0)
    values = [
        None,
        True,
        -1,
        0,
        1e308,
        "NaN",
        "",
        "x" * 999,
        [],
        {},
        [[0, 0]] * 600,
        {"a": [1]},
        "../../etc/passwd",
        2**70,
    ]
    keys = [*Question.model_fields, "__proto__", "", "rho2"]
    for _ in range(500):
        asked = {rng.choice(keys): rng.choice(values) for _ in range(rng.randint(0, 4))}
        body = json.dumps({**SMALL, **asked})
        if rng.random() < 0.2:
            body = body[: rng.randint(0, len(body))]
        reply = client.post("/api/simulate", content=body)
        assert reply.status_code in (200, 413, 422), body
    assert client.post("/api/simulate", content=json.dumps(SMALL)).status_code == 200


def test_a_port_in_use_is_refused_with_another():
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=rf"port must be free .* got {port}. Choose another"):
            listen(port)
