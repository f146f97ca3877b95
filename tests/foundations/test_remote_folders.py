"""Folders at addresses: what arrives is what was stored, and all else is refused; by local servers and in memory."""

import json
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from interpolants.foundations import remote_folders
from interpolants.foundations.cache_folder import cache_folder
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.foundations.model_addresses import local_folder
from interpolants.foundations.remote_folders import check_address, download, upload
from interpolants.foundations.storage import MANIFEST, StorageError, read_folder, write_folder

WEIGHTS = {"tensors": {"w": torch.arange(1000.0)}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPOLANTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "stored", WEIGHTS, {"tree.json": {"a": [1, 2]}}, readme="# A card\n")


class Handler(BaseHTTPRequestHandler):
    """Files of ``root``, redirects of ``redirects``, and a count of what was asked for."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        if (target := server.redirects.get(self.path)) is not None:
            self.send_response(302)
            self.send_header("location", target)
            self.end_headers()
            return
        file = server.root / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(server.missing)
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def server(tmp_path, folder):
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.root, made.redirects, made.asked, made.missing = tmp_path, {}, [], 404
    made.address = f"http://127.0.0.1:{made.server_port}/stored"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def sealed_anew(folder, **changes):
    """Change entries of the manifest."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.update(changes)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_folder_arrives_as_it_was_stored_and_only_once(server, cache, capsys):
    place = download(server.address)
    assert place.parent == cache
    assert torch.equal(read_folder(place).tensors["tensors"]["w"], WEIGHTS["tensors"]["w"])
    assert f"0.0 MB from {server.address}, kept in {place}" in capsys.readouterr().err
    first = len(server.asked)
    assert download(server.address + "/") == place
    assert server.asked[first:] == [f"/stored/{MANIFEST}"]
    assert capsys.readouterr().err == ""


def test_a_changed_folder_is_downloaded_anew_and_a_damaged_copy_is_replaced(server, folder):
    before = download(server.address)
    (before / "tree.json").write_text("{}")
    assert read_folder(download(server.address)).documents["tree.json"] == {"a": [1, 2]}
    write_folder(folder, WEIGHTS, {"tree.json": {"a": [3]}})
    after = download(server.address)
    assert after != before
    assert read_folder(after).documents["tree.json"] == {"a": [3]}


def test_nothing_is_left_in_the_cache_after_a_refusal(server, folder, cache):
    data = bytearray((folder / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "tensors.safetensors").write_bytes(data)
    with pytest.raises(
        InvalidInputError, match=r"tensors\.safetensors must have SHA-256 .*damaged or incomplete"
    ):
        download(server.address)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda folder: (folder / MANIFEST).unlink(),
            "must contain MANIFEST.json, got none, or a partial upload",
        ),
        (lambda folder: (folder / "tree.json").unlink(), "tree.json must exist"),
        (lambda folder: (folder / "tree.json").write_text("{}"), "tree.json must have 24 bytes, got 2"),
        (
            lambda folder: (folder / "tree.json").write_bytes(b" " * 10**6),
            "must have 24 bytes, got more than 24",
        ),
        (lambda folder: (folder / MANIFEST).write_text("<html>"), "must be plain JSON"),
        (lambda folder: (folder / MANIFEST).write_bytes(b" " * (1 << 21)), "at most 1048576 bytes"),
        (lambda folder: sealed_anew(folder, format=2), "must have format version 1"),
        (
            lambda folder: sealed_anew(folder, files={"../x.json": {"size": 1, "sha256": "0" * 64}}),
            "must be plain",
        ),
        (
            lambda folder: sealed_anew(folder, files={"/etc/x.json": {"size": 1, "sha256": "0" * 64}}),
            "must be plain",
        ),
        (
            lambda folder: sealed_anew(folder, files={"x.pkl": {"size": 1, "sha256": "0" * 64}}),
            "must be plain",
        ),
        (
            lambda folder: sealed_anew(
                folder, files={"x.safetensors": {"size": 1 << 40, "sha256": "0" * 64}}
            ),
            "must have at most 4294967296 bytes, got 1099511627776",
        ),
    ],
)
def test_what_is_damaged_incomplete_too_large_or_leads_out_is_refused(server, folder, cache, spoil, words):
    spoil(folder)
    with pytest.raises(InvalidInputError) as caught:
        download(server.address)
    assert words in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_redirect_on_this_machine_is_followed_and_others_are_refused(server, folder):
    for name in (MANIFEST, "tree.json", "tensors.safetensors"):
        server.redirects[f"/moved/{name}"] = f"/stored/{name}"
    there = server.address.replace("/stored", "/moved")
    assert read_folder(download(there)).documents["tree.json"] == {"a": [1, 2]}
    secret = folder / "tree.json"
    for target, error in (
        ("http://example.com/x", InvalidInputError),
        (f"https://127.0.0.1:{server.server_port}/stored/{MANIFEST}", InvalidInputError),
        (f"file://{secret}", StorageError),
        ("ftp://127.0.0.1/x", InvalidInputError),
    ):
        server.redirects[f"/moved/{MANIFEST}"] = target
        with pytest.raises(error, match=r"redirected to another protocol|must be encrypted|HTTP status 302"):
            download(there)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_is_read_and_does_not_lead_to_http(server, tmp_path, folder, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secure = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    secure.root, secure.redirects, secure.asked, secure.missing = tmp_path, {}, [], 404
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    thread = threading.Thread(target=secure.serve_forever)
    thread.start()
    address = f"https://localhost:{secure.server_port}/stored"
    try:
        with pytest.raises(StorageError, match="CERTIFICATE_VERIFY_FAILED"):
            download(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert read_folder(download(address)).documents["tree.json"] == {"a": [1, 2]}
        secure.redirects[f"/stored/{MANIFEST}"] = f"{server.address}/{MANIFEST}"
        with pytest.raises(InvalidInputError, match="must not be redirected to another protocol"):
            download(address)
    finally:
        secure.shutdown()
        thread.join()
        secure.server_close()


def test_an_address_that_cannot_be_reached_is_an_error_of_storage(server):
    server.missing = 503
    with pytest.raises(StorageError, match="HTTP status 503"):
        download(server.address.replace("stored", "other"))
    with pytest.raises(StorageError, match="refused"):
        download("http://127.0.0.1:9/x")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gs://bucket/x", "must be one of file, https, http, memory, s3, hf, got 'gs'"),
        ("ftp://host/x", "got 'ftp'"),
        ("http://example.com/x", "must be encrypted"),
        ("http://127.0.0.1.example.com/x", "must be encrypted"),
        ("https://user:word@host/x", "must not hold a user name or a password, got one for host"),
        ("https://host/x?token=1", "without a query and a fragment"),
        ("https://host/x#y", "without a query and a fragment"),
        ("https://[host/x", "must be a URL"),
        ("https://", "must be protocol://folder"),
        ("simplecache::s3://bucket/x", "must name one protocol"),
        ("memory://a::file://b", "must name one protocol"),
        (Path("https://host/x"), "must be a string"),
        ("file://host/x", "must have three slashes"),
        ("pretrained:x", "must be that of a model that ships trained"),
    ],
)
def test_other_addresses_are_refused(address, words):
    with pytest.raises(InvalidInputError) as caught:
        local_folder(address)
    assert words in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


def test_a_path_stays_a_path(tmp_path):
    assert local_folder(tmp_path) == tmp_path
    assert local_folder(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert check_address("load", "HTTPS://host/x") == "https"


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(remote_folders._PROTOCOLS, "s3", "nobody_has_this")
    with pytest.raises(MissingExtraError, match="load of s3:// addresses needs"):
        download("s3://bucket/x")


def test_the_cache_is_where_the_system_has_it(monkeypatch):
    monkeypatch.delenv("INTERPOLANTS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == Path("/x/interpolants")
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "interpolants"


# --- uploads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def names(memory, path="/m"):
    return sorted(entry.rpartition("/")[2] for entry in memory.ls(path, detail=False))


def test_an_upload_ends_with_its_manifest(memory, folder, monkeypatch):
    written = []
    put = type(memory).put_file
    monkeypatch.setattr(type(memory), "put_file", lambda self, a, b: (written.append(b), put(self, a, b)))
    upload(folder, "memory://m")
    assert written[-1] == f"/m/{MANIFEST}"
    assert read_folder(download("memory://m")).documents["tree.json"] == {"a": [1, 2]}
    assert memory.cat_file("/m/README.md") == b"# A card\n"


def test_an_interrupted_upload_is_refused_and_can_be_repeated(memory, folder, monkeypatch):
    upload(folder, "memory://m")
    put = type(memory).put_file

    def broken(self, source, target):
        if target.endswith(".safetensors"):
            raise OSError("the line is down")
        put(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put_file", broken)
        with pytest.raises(StorageError, match="the line is down"):
            upload(folder, "memory://m")
    with pytest.raises(InvalidInputError, match="or a partial upload"):
        download("memory://m")
    upload(folder, "memory://m")
    read_folder(download("memory://m"))


def test_an_older_folder_is_replaced_and_anything_else_is_left_alone(memory, folder, tmp_path):
    older = write_folder(tmp_path / "older", {"old": {"w": torch.ones(2)}}, {})
    upload(older, "memory://m")
    upload(folder, "memory://m")
    assert names(memory) == [MANIFEST, "README.md", "tensors.safetensors", "tree.json"]
    for other in ("/m/notes.txt", "/n/data.json"):
        memory.pipe_file(other, b"mine")
        before = {name: bytes(file.getbuffer()) for name, file in memory.store.items()}
        with pytest.raises(InvalidInputError, match="must be free or a stored folder"):
            upload(folder, f"memory:/{other.rpartition('/')[0]}")
        assert {name: bytes(file.getbuffer()) for name, file in memory.store.items()} == before
    with pytest.raises(
        InvalidInputError, match="one that can be written to: file, hf, memory, s3, got 'https'"
    ):
        upload(folder, "https://host/x")
