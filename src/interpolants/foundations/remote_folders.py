"""Stored folders at addresses: downloads into a cache, with the hash of every file checked, and uploads.

Protocols are a closed list. ``https`` is read with the standard library; ``memory``, ``s3`` and ``hf`` go through
fsspec. The manifest of a folder is read first and written last, so a partial upload does not have one and is refused.
What arrives is kept under the hash of its manifest, and :func:`interpolants.foundations.storage.read_folder` reads it
from there as any other folder: nothing at an address is unpickled, imported or run.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

from interpolants.foundations.cache_folder import cache_folder
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.extras import require
from interpolants.foundations.storage import (
    MANIFEST,
    MANIFEST_LIMIT,
    README,
    StorageError,
    disk_errors,
    foreign_names,
    not_free,
    parse_manifest,
)
from interpolants.foundations.temporaries import sweep_dead, temporary_for
from interpolants.foundations.version import __version__

# Protocol -> package that fsspec needs for it; None for those that are read without fsspec.
_PROTOCOLS = {
    "file": None,
    "https": None,
    "http": None,
    "memory": "fsspec",
    "s3": "s3fs",
    "hf": "huggingface_hub",
}
_WRITABLE = ("file", "hf", "memory", "s3")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):(//?)(.*)", re.DOTALL)
LARGEST = 1 << 32
_SECONDS, _CHUNK = 30.0, 1 << 20


def is_address(folder: str | os.PathLike[str]) -> bool:
    """Return True if a place is written as an address, ``protocol://...``, and False for a path."""
    return isinstance(folder, str) and "://" in folder


def split_protocol(folder: str | os.PathLike[str]) -> str:
    """Return the protocol that a path or an address begins with, if it is one of the known ones, else ``""``."""
    parts = _ADDRESS.fullmatch(str(folder))
    return parts[1].lower() if parts is not None and parts[1].lower() in _PROTOCOLS else ""


def check_address(caller: str, address: str | os.PathLike[str]) -> str:
    """Return the protocol of an address.

    Args:
        caller: Name of the caller, used in error messages.
        address: The address of a folder.

    Raises:
        InvalidInputError: If the protocol is not one of file, https, memory, s3 and hf (and http on this machine), or
            the address is a chain, holds a password, a query or a fragment, or is a path object, which drops a slash.
    """
    parts = _ADDRESS.fullmatch(str(address))
    if "::" in str(address).partition("://")[0]:
        raise invalid(
            caller, "an address must name one protocol", repr(address), "Chains of protocols are not read."
        )
    if parts is None or not parts[3].strip("/"):
        raise invalid(caller, "an address must be protocol://folder", repr(address))
    protocol = parts[1].lower()
    if protocol not in _PROTOCOLS:
        rule = f"the protocol of an address must be one of {', '.join(_PROTOCOLS)}"
        raise invalid(caller, rule, repr(protocol), "Download the folder, and pass its path.")
    if not is_address(address):
        raise invalid(
            caller, "an address must be a string", type(address).__name__, f"Pass '{protocol}://...'."
        )
    if "::" in parts[3] and protocol not in ("http", "https"):  # a host may be [::1]
        raise invalid(
            caller, "an address must name one protocol", repr(address), "Chains of protocols are not read."
        )
    if protocol in ("http", "https"):
        _check_url(caller, str(address))
    return protocol


def _check_url(caller: str, address: str) -> None:
    try:
        url = urlsplit(address)
        host = url.hostname
    except ValueError as error:
        raise invalid(caller, "an address must be a URL", repr(address), f"{error}.") from error
    if url.username or url.password:
        raise invalid(caller, "an address must not hold a user name or a password", f"one for {host}")
    if url.query or url.fragment:
        rule = "an address must be that of a folder, without a query and a fragment"
        raise invalid(caller, rule, repr(f"?{url.query}#{url.fragment}")[:80])
    if url.scheme.lower() == "http" and host not in _LOOPBACK:
        remedy = "Use https. Unencrypted http is read from this machine only (127.0.0.1, localhost)."
        raise invalid(caller, "an address must be encrypted", repr(address), remedy)


def download(address: str, caller: str = "load") -> Path:
    """Download a stored folder into the cache, or find it there, and return the local folder.

    The manifest is read each time. Files are downloaded if the cache does not hold a folder with the same manifest and
    the same bytes. A line on the standard error stream names the address, the size and the folder of a download.

    Args:
        address: Address of the folder that ``save`` wrote.
        caller: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If the address is refused (see :func:`check_address`) or does not hold a stored folder, a
            file differs from its manifest in size or hash, or the folder is larger than 4 GiB.
        MissingExtraError: If the protocol needs a package that is not installed.
        StorageError: If the address cannot be reached, or the cache cannot be written.
    """
    protocol = check_address(caller, address)
    if protocol == "file":
        return _local(address)
    source = _Source(address.rstrip("/"), protocol, caller)
    data = source.read(MANIFEST, MANIFEST_LIMIT)
    if data is None:
        remedy = "Pass the folder of one model; of a run that is RUN/work/TASK/model."
        raise invalid(caller, f"{address} must contain {MANIFEST}", "none, or a partial upload", remedy)
    files: Mapping[str, Any] = parse_manifest(address, data)["files"]
    size = sum(entry["size"] for entry in files.values())
    if size > LARGEST:
        remedy = "Download the folder yourself, and pass its path."
        raise invalid(caller, f"{address} must have at most {LARGEST} bytes", size, remedy)
    target = cache_folder() / "models" / hashlib.sha256(data).hexdigest()
    with disk_errors(f"cannot write the cache {target}"):
        if not _is_complete(target, data, files):
            sys.stderr.write(f"interpolants: {size / 1e6:.1f} MB from {address}, kept in {target}\n")
            _fill(target, source, data, files)
    return target


def upload(folder: Path, address: str, caller: str = "save") -> None:
    """Upload a stored folder: its manifest last, so that a reader finds the complete folder or none.

    Args:
        folder: Local folder, from :func:`interpolants.foundations.storage.write_folder`.
        address: Address; an older stored folder there is replaced, anything else is left alone.
        caller: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If nothing can be written to the protocol, or the address holds other files.
        MissingExtraError: If the protocol needs a package that is not installed.
        StorageError: If the upload fails. The address then holds no manifest, and readers refuse it.
    """
    system, path = _file_system(address, writable_protocol(caller, address), caller)
    names = sorted(file.name for file in folder.iterdir())
    with _remote_errors(f"cannot write {address}"):
        old = _names_at(system, path)
        # An interrupted upload left some of these files, and no manifest.
        if (foreign := foreign_names(old)) or (MANIFEST not in old and set(old) - {*names, README}):
            raise not_free(caller, address, foreign or old)
        if MANIFEST in old:
            system.rm(f"{path}/{MANIFEST}")
        system.makedirs(path, exist_ok=True)
        for name in [*(name for name in names if name != MANIFEST), MANIFEST]:
            system.put_file(str(folder / name), f"{path}/{name}")
        for name in sorted(set(old) - set(names)):
            system.rm(f"{path}/{name}")


def _names_at(system: Any, path: str) -> list[str]:
    """Return the names in a folder of a file system; a repository of the hub has ``.gitattributes``, which is kept."""
    system.invalidate_cache()
    if not system.exists(path):
        return []
    names = sorted(entry.rstrip("/").rpartition("/")[2] for entry in system.ls(path, detail=False))
    return [name for name in names if name != ".gitattributes"]


def writable_protocol(caller: str, address: str | os.PathLike[str]) -> str:
    """Return the protocol of an address to write to.

    Raises:
        InvalidInputError: If the address is refused, or nothing can be written to its protocol.
    """
    protocol = check_address(caller, address)
    if protocol not in _WRITABLE:
        rule = f"the protocol must be one that can be written to: {', '.join(_WRITABLE)}"
        raise invalid(caller, rule, repr(protocol), "Save to a folder, and upload that.")
    return protocol


def local_path(address: str) -> Path | None:
    """Return the path of an address of this machine's file system, ``file://...``, and None for any other."""
    return _local(address) if check_address("save", address) == "file" else None


def read_readme(address: str, caller: str = "save") -> bytes | None:
    """Return the ``README.md`` of a folder at an address, of at most 1 MiB, or None if it is missing."""
    return _Source(address.rstrip("/"), check_address(caller, address), caller).read(README, MANIFEST_LIMIT)


# --- reading -------------------------------------------------------------------------------------------------


class _Source:
    """Reader of the files of one folder at an address."""

    def __init__(self, address: str, protocol: str, caller: str) -> None:
        self.address, self.protocol, self.who = address, protocol, caller

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a small file, or None if it is missing; one of more than ``limit`` bytes is an error."""
        try:
            with self.open(name) as stream:
                data: bytes = stream.read(limit + 1)
        except FileNotFoundError:
            return None
        if len(data) > limit:
            raise invalid(self.who, f"{self.address}/{name} must have at most {limit} bytes", "more")
        return data

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file; raises FileNotFoundError if it is missing, and StorageError if the address cannot be reached."""
        with _remote_errors(f"cannot read {self.address}/{name}"):
            if self.protocol in ("http", "https"):
                with _opened_url(f"{self.address}/{name}", self.who) as reply:
                    yield reply
                return
            system, path = _file_system(self.address, self.protocol, self.who)
            with system.open(f"{path}/{name}", "rb") as stream:
                yield stream


class _SameProtocol(HTTPRedirectHandler):
    """Redirects that keep the protocol: https does not lead to http, nor to anything on this machine's disk."""

    def __init__(self, caller: str) -> None:
        self.who = caller

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """Follow a redirect or refuse it."""
        target = urlsplit(newurl)
        if target.scheme.lower() != urlsplit(req.full_url).scheme.lower():
            rule = f"{req.full_url} must not be redirected to another protocol"
            raise invalid(self.who, rule, repr(newurl)[:200])
        if target.scheme.lower() == "http":
            _check_url(self.who, target._replace(query="", fragment="").geturl())
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opened_url(url: str, caller: str) -> Any:
    headers = {"User-Agent": f"interpolants/{__version__}", "Accept-Encoding": "identity"}
    try:
        return build_opener(_SameProtocol(caller)).open(Request(url, headers=headers), timeout=_SECONDS)
    except HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise FileNotFoundError(errno.ENOENT, url) from error
        raise StorageError(
            errno.EIO, f"cannot read {url}: HTTP status {error.code} {error.reason}"
        ) from error


def _file_system(address: str, protocol: str, caller: str) -> tuple[Any, str]:
    """Return the file system of fsspec and the path of the folder in it."""
    fsspec = require("fsspec.core", by=f"{caller} of {protocol}:// addresses")
    require(_PROTOCOLS[protocol] or "fsspec", by=f"{caller} of {protocol}:// addresses")
    system, path = fsspec.url_to_fs(address.rstrip("/"))
    return system, path


@contextlib.contextmanager
def _remote_errors(operation: str) -> Iterator[None]:
    """Raise what a remote file system raises as StorageError; missing files and our own errors pass."""
    try:
        yield
    except (InterpolantsError, FileNotFoundError):
        raise
    except Exception as error:  # of the network, or of the library of a service, which has its own classes
        raise StorageError(errno.EIO, f"{operation}: {type(error).__name__}: {str(error)[:300]}") from error


def _local(address: str) -> Path:
    url = urlsplit(address)
    if url.netloc not in ("", "localhost"):
        remedy = f"Write file:///{url.netloc}{url.path} for an absolute path."
        raise invalid("load", "a file address must have three slashes", repr(address), remedy)
    return Path(url2pathname(url.path) if os.name == "nt" else unquote(url.path))


# --- the cache -----------------------------------------------------------------------------------------------


def _is_complete(target: Path, manifest: bytes, files: Mapping[str, Any]) -> bool:
    """Return True if the cache has this manifest, and every file has the hash in the manifest."""
    if not target.is_dir() or target.is_symlink():
        return False
    expected = {MANIFEST: hashlib.sha256(manifest).hexdigest()}
    expected |= {name: entry["sha256"] for name, entry in files.items()}
    return all(_hash_of(target / name) == digest for name, digest in expected.items())


def _hash_of(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fill(target: Path, source: _Source, manifest: bytes, files: Mapping[str, Any]) -> None:
    """Download all files to a temporary folder, check them, and move it into place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_dead(target)
    temporary = temporary_for(target)
    temporary.mkdir()
    try:
        for name, entry in files.items():
            _download_file(source, name, temporary / name, entry["size"], entry["sha256"])
        (temporary / MANIFEST).write_bytes(manifest)
        if target.exists():  # damaged
            shutil.rmtree(target, ignore_errors=True)
        try:
            os.rename(temporary, target)
        except OSError:
            if not _is_complete(target, manifest, files):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download_file(source: _Source, name: str, path: Path, size: int, digest: str) -> None:
    """Copy one file, and stop at its first byte beyond the size in the manifest."""
    file, remedy = f"{source.address}/{name}", "The upload is damaged or incomplete."
    received, hashed = 0, hashlib.sha256()
    try:
        with source.open(name) as stream, path.open("xb") as local:
            while received <= size and (data := stream.read(min(_CHUNK, size + 1 - received))):
                received += len(data)
                hashed.update(data)
                with disk_errors(f"cannot write {path}"):
                    local.write(data)
    except FileNotFoundError as error:
        raise invalid(source.who, f"{file} must exist", "nothing", remedy) from error
    if received != size:
        received_text = f"more than {size}" if received > size else received
        raise invalid(source.who, f"{file} must have {size} bytes", received_text, remedy)
    if (actual := hashed.hexdigest()) != digest:
        rule = f"{file} must have SHA-256 {digest[:12]}..."
        raise invalid(source.who, rule, f"{actual[:12]}...", remedy)
