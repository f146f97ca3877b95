"""A model over HTTP: Python's bits by any number of clients, and refusals of what would be wrong and look right."""

import http.client
import io
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from fastapi.testclient import TestClient

import interpolants as itp
from interpolants.framework.capabilities import capabilities_of
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.web import create_model_app
from interpolants.web.model_answers import JSON, NPY, NPZ, SEED, WARNINGS
from interpolants.web.model_requests import Limits

HERE = "http://127.0.0.1:8000"
NET = {"kind": "mlp", "width": 16, "depth": 2}
SMALL = {"net": NET, "steps": 3, "batch_size": 32, "held_out": 0, "seed": 0}


def source():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def labelled():
    """Points of two columns with three labels, float32."""
    x = torch.randn(90, 2, generator=source())
    return itp.Bridge("one_sided_linear", **SMALL).fit(x1=x, cond=torch.arange(90) % 3, progress=False)


@pytest.fixture(scope="module")
def tabled():
    """A table with the columns u and v, float64, of different units."""
    x = torch.randn(90, 2, generator=source(), dtype=torch.float64).numpy() * [1, 100] + [0, 5000]
    return itp.Bridge("one_sided_linear", **SMALL).fit(x1=pd.DataFrame(x, columns=["u", "v"]), progress=False)


def client_of(method, **limits):
    app = create_model_app(method, "a <b>model</b>", limits=Limits(**limits))
    return TestClient(app, raise_server_exceptions=False, base_url=HERE)


@pytest.fixture(scope="module")
def client(labelled):
    with client_of(labelled) as client:
        yield client


@pytest.fixture(scope="module")
def table_client(tabled):
    with client_of(tabled) as client:
        yield client


def array_of(reply, name="x"):
    """An array of a JSON reply, in the precision that it names."""
    assert reply.status_code == 200, reply.text
    told = reply.json()["arrays"][name]
    array = np.array(told["values"], dtype=told["dtype"])
    assert list(array.shape) == told["shape"]
    return array


def same_bits(left, right):
    left, right = np.asarray(left), np.asarray(right)
    assert left.dtype == right.dtype
    assert left.shape == right.shape
    assert left.tobytes() == right.tobytes()


# --- the bits of Python -------------------------------------------------------------------------------------------


@pytest.mark.cases(2)
@pytest.mark.parametrize("options", [{}, {"eps": 0.5}, {"cond": 1, "n_steps": 5}, {"first_index": 64}])
def test_samples_are_pythons_by_json_and_by_npy(client, labelled, options):
    asked = {"n": 7, "cond": [0, 1, 2, 0, 1, 2, 0], "seed": 11, **options}
    expected = labelled.sample(**asked).numpy()
    same_bits(array_of(client.post("/sample", json=asked)), expected)
    reply = client.post("/sample", json=asked, headers={"accept": NPY})
    same_bits(np.load(io.BytesIO(reply.content)), expected)
    assert reply.headers[SEED] == "11"


def test_rows_go_in_and_come_out_exactly(client, labelled, table_client, tabled):
    x = torch.randn(5, 2, generator=source()).numpy()
    labels = [0, 1, 2, 1, 0]
    expected = labelled.log_prob(x, cond=labels, n_steps=8)
    same_bits(
        array_of(client.post("/log-prob", json={"x": x.tolist(), "cond": labels, "n_steps": 8}), "log_prob"),
        expected,
    )
    body, cond = io.BytesIO(), "[0,1,2,1,0]"
    np.save(body, x)
    query = {"cond": cond, "n_steps": "8"}
    reply = client.post("/log-prob", content=body.getvalue(), params=query, headers={"content-type": NPY})
    same_bits(array_of(reply, "log_prob"), expected)
    rows = pd.DataFrame({"u": [0.1, 1 / 3], "v": [5000 + 1e-9, 4999.7]})
    same_bits(
        array_of(table_client.post("/transport", json={"x": rows.to_dict("list"), "n_steps": 4})),
        tabled.transport(rows, n_steps=4),
    )


def test_both_byte_orders_and_layouts_of_npy_are_read(client, labelled):
    x = torch.randn(6, 2, generator=source()).numpy()
    expected = labelled.transport(x, cond=0, n_steps=4)
    for other in (x.astype(">f4"), np.asfortranarray(x)):
        body = io.BytesIO()
        np.save(body, other)
        reply = client.post(
            "/transport",
            content=body.getvalue(),
            params={"cond": 0, "n_steps": 4},
            headers={"content-type": NPY},
        )
        same_bits(array_of(reply), expected)


def test_without_a_seed_the_answer_names_one_that_gives_it_again(client, labelled):
    asked = {"n": 3, "cond": 0, "n_steps": 3}
    first, second = (client.post("/sample", json=asked) for _ in range(2))
    assert first.json()["seed"] != second.json()["seed"]
    same_bits(array_of(first), labelled.sample(**asked, seed=first.json()["seed"]).numpy())


def test_several_arrays_come_as_npz_and_not_as_npy(labelled):
    model = GaussianFit().fit(torch.randn(50, 2, generator=source()))
    with client_of(labelled) as client:
        asked = {"n": 4, "cond": 0, "seed": 0, "log_prob": True, "n_steps": 4}
        reply = client.post("/sample", json=asked, headers={"accept": NPZ})
        found = np.load(io.BytesIO(reply.content))
        for name, value in labelled.sample(**asked).columns().items():
            same_bits(found[name], value)
        assert client.post("/sample", json=asked, headers={"accept": NPY}).status_code == 422
    with client_of(model) as client:
        same_bits(array_of(client.post("/sample", json={"n": 4, "seed": 3})), model.sample(4, seed=3))


def test_a_check_comes_as_verdicts(client, labelled):
    told = client.post("/check", json={"n": 50}).json()
    assert {check["name"] for check in told["checks"]} == {
        check.name for check in labelled.check(n=50).checks
    }


# --- tables -------------------------------------------------------------------------------------------------------


def test_columns_are_matched_by_name_whatever_their_order(table_client, tabled):
    rows = pd.DataFrame({"u": [0.5, -1.0], "v": [5000.0, 5100.0]})
    expected = tabled.transport(rows, n_steps=4)
    swapped = {"v": [5000.0, 5100.0], "u": [0.5, -1.0]}
    records = [{"v": 5000.0, "u": 0.5}, {"u": -1.0, "v": 5100.0}]
    for x in (swapped, records):
        reply = table_client.post("/transport", json={"x": x, "n_steps": 4})
        same_bits(array_of(reply), expected)
        assert reply.json()["columns"] == ["u", "v"]
    body = io.BytesIO()
    np.save(body, rows[["v", "u"]].to_numpy())
    query = {"columns": "v,u", "n_steps": 4}
    reply = table_client.post(
        "/transport", content=body.getvalue(), params=query, headers={"content-type": NPY}
    )
    same_bits(array_of(reply), expected)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[0.5, 5000.0]], "the columns must be named, as those of the fit: u, v"),
        ({"u": [0.5]}, "v"),
        ({"u": [0.5], "v": [1.0, 2.0]}, "all columns must have the same length, got u 1, v 2"),
        ([{"u": 1.0, "v": 2.0}, {"u": 1.0}], "the same keys"),
        ({"u": [True], "v": [1.0]}, "a column must contain numbers, or texts, got bool"),
        ({"u": [None], "v": [1.0]}, "NaN"),
        ({"u": 1.0, "v": 2.0}, "a column must be a list"),
    ],
)
def test_tables_with_other_columns_are_refused(table_client, x, words):
    reply = table_client.post("/transport", json={"x": x})
    assert reply.status_code == 422
    assert words in reply.json()["error"]


def test_values_in_other_units_are_answered_with_the_warning_of_python(table_client):
    x = {"u": [0.5] * 8, "v": [5.0] * 8}  # thousands for ones
    reply = table_client.post("/transport", json={"x": x, "n_steps": 2})
    assert any("v" in text for text in reply.json()["warnings"])
    reply = table_client.post("/transport", json={"x": x, "n_steps": 2}, headers={"accept": NPY})
    assert json.loads(reply.headers[WARNINGS])
    fine = table_client.post("/transport", json={"x": {"u": [0.5] * 8, "v": [5000.0] * 8}, "n_steps": 2})
    assert fine.json()["warnings"] == []


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "body", "status", "words"),
    [
        ("sample", '{"n": 2, "n": 3, "cond": 0}', 422, "a key is given twice"),
        ("sample", '{"n": 2, "cond": 0, "eps": NaN}', 422, "NaN is not JSON"),
        ("sample", '{"n": 2, "cond": 0, "eps": 1e999}', 422, "too large for float64"),
        ("sample", '{"cond": 0}', 422, "sample: n is required"),
        ("sample", '{"n": true, "cond": 0}', 422, "must be an integer, got True"),
        ("sample", '{"n": "2", "cond": 0}', 422, "must be an integer, got '2'"),
        ("sample", '{"n": 0, "cond": 0}', 422, "n must be"),
        ("sample", '{"n": 2}', 422, "needs it in every call"),
        ("sample", '{"n": 2, "cond": 7}', 422, "labels of the fit"),
        ("sample", '{"n": 2, "cond": true}', 422, "a condition must be numbers, or texts"),
        ("sample", '{"n": 2, "cond": [0, 1, 2]}', 422, "cond"),
        ("sample", '{"n": 2, "cond": 0, "nsteps": 5}', 422, "Did you mean 'n_steps'?"),
        ("sample", '{"n": 2, "cond": 0, "n_steps": 1000000}', 422, "at most 10000 over HTTP"),
        ("sample", '{"n": 1000000, "cond": 0}', 422, "at most 100000 rows, got 1000000"),
        ("sample", '{"n": 2, "cond": 0, "modifiers": {"kind": "x"}}', 422, "must be a number, a text"),
        ("sample", '{"n": 2, "cond": 0, "differentiable": true}', 422, "each argument must be one of this verb"),
        ("sample", "[1]", 422, "the body must be a JSON object, got list"),
        ("sample", "[" * 50_000, 422, "the body must be a JSON object"),
        ("log-prob", '{"x": "rows.npy", "cond": 0}', 422, "the rows must be nested lists"),
        ("log-prob", '{"x": [["1", 2]], "cond": 0}', 422, "every entry must be a number, got '1'"),
        ("log-prob", '{"x": [[true, 2]], "cond": 0}', 422, "every entry must be a number, got True"),
        ("log-prob", '{"x": [[null, 2]], "cond": 0}', 422, "every entry must be a number, got null"),
        ("log-prob", '{"x": [[1, 2], [3]], "cond": 0}', 422, "nested lists must be regular"),
        ("log-prob", '{"x": [[1e39, 2]], "cond": 0}', 422, "within the range of float32"),
        ("log-prob", '{"x": [[1, 2, 3]], "cond": 0}', 422, "event shape"),
        ("log-prob", '{"x": {"u": [1], "v": [2]}, "cond": 0}', 422, "the fit had no names of columns"),
        ("smaple", "{}", 404, "Did you mean 'sample'?"),
        ("fit", "{}", 404, "there is no such verb"),
    ],
)  # fmt: skip
def test_a_bad_request_is_answered_with_the_rule_and_the_value(client, place, body, status, words):
    reply = client.post(f"/{place}", content=body, headers={"content-type": JSON})
    assert reply.status_code == status
    assert set(reply.json()) == {"error"}
    assert words in reply.json()["error"]


def npy(header, data=b""):
    text = repr(header).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no file", "must be a .npy file"),
        (
            npy({"descr": "<f4", "fortran_order": False, "shape": (10**12, 2)}),
            "bytes of its header, got 0",
        ),
        (
            npy({"descr": "<f4", "fortran_order": False, "shape": (1, 2)}, b"\0" * 12),
            "must contain the 8 bytes",
        ),
        (
            npy({"descr": "|O", "fortran_order": False, "shape": (1,)}, b"\0" * 8),
            "numbers of at most 64 bits",
        ),
        (
            npy({"descr": "<U4", "fortran_order": False, "shape": (1,)}, b"\0" * 16),
            "numbers of at most 64 bits",
        ),
        (npy({"descr": "<f4", "fortran_order": False, "shape": (-1, -2)}, b"\0" * 8), "shape (-1, -2)"),
    ],
)
def test_a_bad_npy_is_refused_before_memory_is_taken(client, body, words):
    reply = client.post("/transport", content=body, params={"cond": 0}, headers={"content-type": NPY})
    assert reply.status_code == 422
    assert words in reply.json()["error"]


def test_requests_for_other_hosts_from_other_pages_and_of_other_types_are_refused(client):
    body = {"n": 1, "cond": 0}
    assert client.post("/sample", json=body, headers={"host": "evil.example"}).status_code == 403
    assert client.post("/sample", json=body, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/sample", json=body, headers={"accept": "text/html"}).status_code == 406
    assert client.post("/sample", content=json.dumps(body)).status_code == 415
    assert client.post("/sample", json=body, params={"seed": 1}).status_code == 422
    assert client.get("/sample").status_code == 405
    for place in ("/static/../model_server.py", "/docs", "/etc/passwd"):
        assert client.get(place).status_code in (404, 405)


def test_limits_of_size_and_time_are_kept(labelled):
    with client_of(labelled, body=100, seconds=0.05, numbers=1000) as client:
        reply = client.post("/log-prob", json={"x": [[0.0, 0.0]] * 50, "cond": 0})
        assert reply.status_code == 413
        reply = client.post("/sample", json={"n": 501, "cond": 0})
        assert (reply.status_code, "at most 1000 numbers" in reply.text) == (422, True)
        begun = time.monotonic()
        reply = client.post("/sample", json={"n": 64, "cond": 0, "n_steps": 10000})
        assert (reply.status_code, "must end within 0.05 s" in reply.text) == (503, True)
        assert time.monotonic() - begun < 5
        assert client.post("/sample", json={"n": 1, "cond": 0, "n_steps": 1}).status_code == 200


@pytest.mark.slow
def test_a_full_queue_says_so(labelled):
    with client_of(labelled, waiting=0, seconds=5) as client:
        found = []

        def ask():
            found.append(client.post("/sample", json={"n": 500, "cond": 0, "n_steps": 2000}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 429 in found
        assert set(found) <= {200, 429, 503}


# --- descriptions -------------------------------------------------------------------------------------------------


def test_the_descriptions_name_all_verbs_and_arguments(client, labelled):
    facts, document = client.get("/model").json(), client.get("/openapi.json").json()
    able = {verb.replace("_", "-") for verb in capabilities_of(type(labelled)) if labelled.can(verb)}
    assert set(facts["verbs"]) == able
    assert {place.strip("/") for place in document["paths"]} == {*able, "health", "model"}
    assert facts["data"]["x1"] == {"shape": [2], "dtype": "float32", "columns": None, "labels": None}
    assert facts["data"]["cond"]["labels"] == [0, 1, 2]
    schema = document["paths"]["/sample"]["post"]["requestBody"]["content"][JSON]["schema"]
    assert schema["required"] == ["n"]
    assert {"n", "cond", "seed", "eps"} <= set(schema["properties"])
    assert client.get("/health").json() == {"status": "ok", "open": 0}


def test_the_page_shows_the_name_as_text_and_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert "a &lt;b&gt;model&lt;/b&gt;" in page.text
    assert "http" not in page.text.replace(HERE, "")
    assert "POST /log-prob" in page.text
    assert client.get("/static/model.css").status_code == 200


# --- a server of its own process ----------------------------------------------------------------------------------


@pytest.fixture
def served(labelled, tmp_path):
    """The command on a free port: its port and its process."""
    labelled.save(tmp_path / "model")
    words = [sys.executable, "-m", "interpolants", "serve", str(tmp_path / "model"), "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    line = process.stdout.readline()
    yield int(line.partition("http://127.0.0.1:")[2].partition("/")[0]), process
    process.kill()
    process.communicate()


@contextmanager
def linked(port):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    yield link
    link.close()


def asked(link, body):
    link.request("POST", "/sample", json.dumps(body), {"content-type": JSON, "accept": NPY})
    reply = link.getresponse()
    return reply.status, reply.read()


def answered_by(served, labelled, requests, clients=8):
    """All answers to requests from several clients at once, each compared with Python's bits at its seed."""
    port, _ = served
    bodies = [
        {"n": 1 + k % 5, "cond": k % 3, "seed": k, "n_steps": 4, "eps": 0.3 * (k % 2)}
        for k in range(requests)
    ]
    replies = {}

    def ask(first):
        with linked(port) as link:
            for k in range(first, requests, clients):
                replies[k] = asked(link, bodies[k])

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, body in enumerate(bodies):
        status, content = replies[k]
        assert status == 200, content
        same_bits(np.load(io.BytesIO(content)), labelled.sample(**body).numpy())


def test_eight_clients_at_once_get_the_bits_of_python(served, labelled):
    answered_by(served, labelled, 64)


@pytest.mark.slow
def test_a_thousand_requests_of_eight_clients_get_the_bits_of_python(served, labelled):
    answered_by(served, labelled, 1000)


@pytest.mark.slow
def test_a_signal_ends_the_server_after_the_open_request(served):
    port, process = served
    found = []

    def ask():
        with linked(port) as link:
            found.append(asked(link, {"n": 2000, "cond": 0, "seed": 0, "n_steps": 3000})[0])

    thread = threading.Thread(target=ask)
    thread.start()
    with linked(port) as link:
        while not found:
            link.request("GET", "/health")
            if json.loads(link.getresponse().read())["open"]:
                break
            time.sleep(0.01)
    assert not found, "the request ended before the signal"
    process.send_signal(signal.SIGTERM)
    thread.join()
    assert found == [200]
    assert process.wait(30) == 0
    assert process.stdout.read().strip() == "stopped"
