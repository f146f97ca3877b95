"""Atomic storage folders: tensors as safetensors, the rest as JSON, nothing else.

A folder is written to a temporary sibling, flushed to the disk file by file, sealed by ``MANIFEST.json``
(size and SHA-256 of every file) and renamed into place. A reader believes only what the manifest seals, and
contains no unpickler and no import by name: a folder from a stranger can be refused, but it cannot run code.

Replacing a folder moves the old one aside to ``.old-<name>`` between two renames. Should the process die
there, `read_folder` finds the old one under that name, and the next `write_folder` puts it back first.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from interpolants.foundations.errors import InterpolantsError, InvalidInputError, invalid, nearest
from interpolants.foundations.temporaries import sweep_dead, temporary_for
from interpolants.foundations.version import __version__

FORMAT = 1
MANIFEST = "MANIFEST.json"
README = "README.md"
BLOCKS = "blocks.json"
# Least bytes of a block of a file of tensors with its own hash, so that some rows can be read and checked
# alone; and most blocks of a file.
_BLOCK_BYTES, _MOST_BLOCKS = 1 << 16, 1 << 18
_ASIDE = ".old-"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\.[A-Za-z0-9_-]{1,40}){0,4}\.(safetensors|json)")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}
MANIFEST_LIMIT = 1 << 20
_JSON_LIMIT = 1 << 26
_DECODED_LIMIT = 1 << 27
_FILES_LIMIT = 4096


# The requested rows of a tensor, by its name and shape; None for all of it. One without dimensions is a row.
Choose = Callable[[str, tuple[int, ...]], slice | None]


class StorageError(InterpolantsError, OSError):
    """Raised when the disk is full, read-only or failing. Existing files are unchanged."""


@dataclass(frozen=True)
class StoredFolder:
    """Contents of a folder, verified by hash.

    Attributes:
        tensors: File stem -> name -> tensor, on the CPU.
        documents: File name -> decoded JSON.
        library: Version of the library that wrote the folder.
    """

    tensors: dict[str, dict[str, Tensor]]
    documents: dict[str, Any]
    library: str


def write_folder(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Mapping[str, Tensor]],
    documents: Mapping[str, Any],
    *,
    readme: str | None = None,
    blocks: bool = False,
) -> Path:
    """Write a folder so that a crash at any moment leaves the old one or the new one, whole.

    Args:
        path: The folder. An older stored folder of that name is replaced; anything else is left alone.
        tensors: File stem -> name -> tensor; each stem becomes ``<stem>.safetensors``.
        documents: File name (``*.json``) -> numbers, strings, lists and dicts; NaN and infinity are refused.
        readme: Text of ``README.md``, which the manifest does not seal: it may be edited.
        blocks: Whether to keep hashes of the blocks of tensors, by which `read_folder` reads some rows alone.

    Returns:
        The path.

    Raises:
        InvalidInputError: If a name is not plain, a document is not JSON, a tensor cannot be stored, or
            ``path`` holds files that this function did not write.
        StorageError: If the disk refuses. The old folder is still in place.
    """
    target = Path(path)
    files = {f"{stem}.safetensors": values for stem, values in tensors.items()}
    hashed: dict[str, dict[str, Any]] = {BLOCKS: {}} if blocks and files else {}
    _check_names("write_folder", [*files, *documents, *hashed])
    if clash := files.keys() & documents.keys():
        raise invalid("write_folder", "documents must end in .json", sorted(clash))
    encoded = {name: _encode_document("write_folder", name, value) for name, value in documents.items()}
    temporary = temporary_for(target)
    with disk_errors(f"cannot write {target}"):
        _put_back(target)
        _check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_dead(target)
        try:
            temporary.mkdir()
            sealed = {}
            for name, values in files.items():
                encoded_tensors = _encode_tensors(name, values)
                sealed[name] = _write_file(temporary / name, encoded_tensors)
                if hashed:
                    hashed[BLOCKS][name] = _block_hashes(encoded_tensors)
            encoded |= {name: _encode_document("write_folder", name, value) for name, value in hashed.items()}
            for name, data in encoded.items():
                sealed[name] = _write_file(temporary / name, data)
            manifest = {"format": FORMAT, "library": __version__, "files": sealed}
            _write_file(temporary / MANIFEST, _encode_document("write_folder", MANIFEST, manifest))
            if readme is not None:
                _write_file(temporary / README, readme.encode())
            _sync_folder(temporary)
            _move_into_place(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return target


def read_folder(
    path: str | os.PathLike[str], *, limit: int = 1 << 36, rows: Choose | None = None
) -> StoredFolder:
    """Read a folder and check every byte that is read against its manifest.

    Only files that the manifest names are opened, each once, and what was hashed is what is parsed. The
    checks stop accidents and code; they do not prove who wrote the folder.

    Args:
        path: The folder.
        limit: Largest total size that is accepted, in bytes.
        rows: ``rows(name, shape)`` -> the requested rows of a tensor; None for all. Where the folder was
            written with ``blocks``, the blocks of bytes that hold them are read and no others.

    Raises:
        InvalidInputError: If the folder is missing, half-written, damaged, or made to deceive. The message
            names the file.
        StorageError: If the disk refuses to read.
    """
    folder = _find(Path(path))
    with disk_errors(f"cannot read {folder}"):
        manifest = _read_manifest(folder)
        files = manifest["files"]
        if (claimed := sum(entry["size"] for entry in files.values())) > limit:
            raise invalid(
                "read_folder", f"{folder} must contain at most {limit} bytes", claimed, "Raise limit=."
            )
        tensors: dict[str, dict[str, Tensor]] = {}
        documents: dict[str, Any] = {}
        for name, entry in files.items():
            if name.endswith(".json"):
                data = _read_file(folder / name, entry["size"], entry["sha256"])
                documents[name] = _decode_document(folder / name, data)
        hashes = documents.get(BLOCKS, {})
        for name in files.keys() - documents.keys():
            tensors[name.removesuffix(".safetensors")] = _read_tensors(
                folder / name, files[name], hashes.get(name), rows
            )
    return StoredFolder(tensors, documents, str(manifest["library"]))


def read_document(path: str | os.PathLike[str]) -> Any:
    """Read one JSON file that no manifest seals, under the limits of :func:`read_folder`; never through a link.

    Raises:
        InvalidInputError: If it is missing, a link, too large, or no JSON.
        StorageError: If the disk refuses to read.
    """
    with disk_errors(f"cannot read {path}"):
        return _decode_document(Path(path), _read_bytes(Path(path), _JSON_LIMIT))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write one small file whole or not at all; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write one file whole or not at all, by the same temporary file, flush and rename.

    A link of that name is replaced, and what it points to is left alone.

    Raises:
        StorageError: If the disk is full, read-only or failing. Existing files are unchanged.
    """
    target = Path(path)
    temporary = temporary_for(target)
    with disk_errors(f"cannot write {target}"):
        try:
            _write_file(temporary, data)
            os.replace(temporary, target)
            _sync_folder(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Open a temporary file next to ``path``, which replaces it at the end; folders are created.

    A link of that name is replaced, and what it points to is left alone. After an error nothing is left.

    Raises:
        StorageError: If the disk is full, read-only or failing. Existing files are unchanged.
    """
    target = Path(path)
    temporary = temporary_for(target)
    with disk_errors(f"cannot write {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_dead(target)
        try:
            _write_file(temporary, b"")
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
            _sync_folder(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def check_place(path: str | os.PathLike[str]) -> None:
    """Check that the folder of a path is writable, before any work is done.

    Raises:
        StorageError: If the folder, or the nearest above it that exists, cannot be written.
    """
    place = Path(path).absolute().parent
    while not place.exists():
        place = place.parent
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        reason = "a folder that may not be written, or a read-only disk" if place.is_dir() else "a file"
        raise StorageError(errno.EACCES, f"cannot write {path}: {place} is {reason}")


# --- names -----------------------------------------------------------------------------------------------


def _check_names(who: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        plain = isinstance(name, str) and _NAME.fullmatch(name) and name.split(".")[0].lower() not in _DEVICES
        if not plain or name == MANIFEST:
            raise invalid(who, "file names must be plain and end in .safetensors or .json", repr(name)[:120])
        if name.lower() in seen:
            raise invalid(who, "file names must differ in more than case", repr(name))
        seen.add(name.lower())


# --- writing ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Raise errors of the operating system as :class:`StorageError`, with the consequence for the user.

    Args:
        what: Failed operation, e.g. ``"cannot write FOLDER"``, which begins the message.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{what}: {reason}. Existing files are unchanged"
        # Some libraries count what was written and say no more: that has no number.
        raise StorageError(error.errno or errno.EIO, message) from error


def _encode_document(who: str, name: str, value: Any) -> bytes:
    try:
        data = (json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(who, f"{name} must be plain JSON without NaN or infinity", str(error)) from error
    _check_document(who, name, data)  # what is written must be readable
    return data


def _check_document(who: str, name: object, data: bytes) -> None:
    """Check that JSON is small, also after decoding: two bytes can become an object of seventy."""
    if len(data) > _JSON_LIMIT:
        raise invalid(who, f"{name} must be at most {_JSON_LIMIT} bytes", len(data))
    decoded = 300 * data.count(b"{") + 90 * data.count(b"[") + 40 * data.count(b",")
    if decoded > _DECODED_LIMIT:
        rule = f"{name} must take at most {_DECODED_LIMIT} bytes of memory"
        raise invalid(who, rule, f"about {decoded}", "Keep long lists of numbers as tensors.")


def _encode_tensors(name: str, values: Mapping[str, Tensor]) -> bytes:
    # A copy when memory is shared: safetensors refuses two names for one storage, and we store both.
    stored: dict[str, Tensor] = {}
    taken: set[int] = set()
    for key, value in values.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise invalid("write_folder", f"{name}: {key} must be a dense tensor", type(value).__name__)
        plain = value.detach().to("cpu").contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != plain.nbytes:
            plain = plain.clone()
        taken.add(plain.untyped_storage().data_ptr())
        stored[key] = plain
    try:
        data: bytes = safetensors.torch.save(stored)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise invalid(
            "write_folder", f"{name} must contain tensors that safetensors can store", str(error)
        ) from error
    return data


def _write_file(path: Path, data: bytes) -> dict[str, Any]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _sync_folder(folder: Path) -> None:
    if os.name != "nt":  # Windows cannot open a folder; its renames are journalled
        _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _aside(target: Path) -> Path:
    return target.parent / f"{_ASIDE}{target.name}"


def _put_back(target: Path) -> None:
    """Finish what a killed replacement left: put the old folder back, or delete it when the new one is in."""
    old = _aside(target)
    if not old.exists():
        return
    if target.exists():
        shutil.rmtree(old)
    else:
        os.rename(old, target)


def _check_replaceable(target: Path) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if target.is_symlink() or not target.is_dir():
        raise invalid("write_folder", f"{target} must be free or a stored folder", "a file or a link")
    entries = sorted(os.listdir(target))
    foreign = foreign_names(entries)
    if entries and (foreign or MANIFEST not in entries):
        raise not_free("write_folder", target, foreign or entries)


def foreign_names(names: Iterable[str]) -> list[str]:
    """Return the names that no file of a stored folder has."""
    return [name for name in names if name not in (MANIFEST, README) and not _NAME.fullmatch(name)]


def not_free(caller: str, folder: str | os.PathLike[str], names: Sequence[str]) -> InvalidInputError:
    """Compose the error for a folder that contains other files, so that a stored folder must not replace it."""
    rule = f"{folder} must be free or a stored folder"
    return invalid(caller, rule, f"one with {', '.join(names[:3])}", "Choose another name.")


def _move_into_place(temporary: Path, target: Path) -> None:
    old = _aside(target)
    replacing = target.exists()
    if replacing:
        os.rename(target, old)
    try:
        os.rename(temporary, target)
    except BaseException:
        if replacing:
            os.rename(old, target)
        raise
    _sync_folder(target.parent)
    if replacing:
        shutil.rmtree(old, ignore_errors=True)


# --- reading ---------------------------------------------------------------------------------------------


def _find(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.exists():
        remedy = "Only folders of safetensors and JSON are read; pickles never are."
        raise invalid("read_folder", "path must be a folder", f"the file {path}", remedy)
    if _aside(path).is_dir():
        return _aside(path)
    siblings = []
    if path.parent.is_dir():
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir() and entry.name[0] != "."]
    remedy = nearest(path.name, siblings) if siblings else f"There is no folder in {path.parent}."
    raise invalid("read_folder", "path must be an existing folder", str(path), remedy)


def _read_manifest(folder: Path) -> dict[str, Any]:
    who = "read_folder"
    links = [entry.name for entry in folder.iterdir() if entry.is_symlink()]
    if links:
        raise invalid(who, f"{folder} must contain no symbolic link", repr(links[0]))
    if not (folder / MANIFEST).exists():
        remedy = "The folder is incomplete, or another program wrote it."
        raise invalid(
            who, f"{folder} must contain {MANIFEST}", f"only {sorted(os.listdir(folder))[:5]}", remedy
        )
    return parse_manifest(folder, _read_bytes(folder / MANIFEST, MANIFEST_LIMIT))


def parse_manifest(folder: str | os.PathLike[str], data: bytes) -> dict[str, Any]:
    """Parse a manifest: its format version, its file names, and size and hash of each file.

    Args:
        folder: Path or address of the folder, for messages.
        data: Contents of ``MANIFEST.json``.

    Raises:
        InvalidInputError: If the manifest is damaged, of a newer format, or names a file that is not plain.
    """
    file = f"{folder}/{MANIFEST}"
    manifest = _decode_document(file, data)
    if not isinstance(manifest, dict):
        raise invalid("read_folder", f"{file} must be a JSON object", type(manifest).__name__)
    _check_version(folder, manifest)
    files = manifest.get("files")
    if (
        not isinstance(files, dict)
        or len(files) > _FILES_LIMIT
        or not isinstance(manifest.get("library"), str)
    ):
        rule = f"{file} must name the library and list the files"
        raise invalid("read_folder", rule, str(manifest)[:200])
    _check_names("read_folder", list(files))
    for name, entry in files.items():
        _check_entry(name, entry)
    return manifest


def _check_version(folder: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
    version = manifest.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        writer = str(manifest.get("library"))[:40]
        raise invalid(
            "read_folder",
            f"{folder} must have format version {FORMAT} (this is interpolants {__version__})",
            f"{str(version)[:40]} (written by interpolants {writer})",
            "Install that version to read it.",
        )


def _check_entry(name: str, entry: Any) -> None:
    size = entry.get("size") if isinstance(entry, dict) else None
    digest = entry.get("sha256") if isinstance(entry, dict) else None
    if type(size) is not int or size < 0 or not isinstance(digest, str) or len(digest) != 64:
        raise invalid("read_folder", f"{MANIFEST} must give size and sha256 of {name}", str(entry)[:120])
    if name.endswith(".json") and size > _JSON_LIMIT:
        raise invalid("read_folder", f"{name} must be at most {_JSON_LIMIT} bytes", size)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """Handle and size of a regular file, which is never opened through a link."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise invalid("read_folder", f"{path} must exist", "nothing", "The folder is damaged.") from error
    except OSError as error:
        if path.is_symlink():
            raise invalid("read_folder", f"{path} must be no symbolic link", "a link") from error
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise invalid("read_folder", f"{path} must be a regular file", stat.filemode(status.st_mode))
        yield handle, status.st_size
    finally:
        os.close(handle)


def _read_bytes(path: Path, most: int) -> bytes:
    """Read a regular file once, never through a link, and refuse one of more than ``most`` bytes."""
    with _opened(path) as (handle, size):
        if size > most:
            raise invalid("read_folder", f"{path} must have at most {most} bytes", size)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(min(most, size) + 1)  # no buffer for what is only claimed


def _read_file(path: Path, size: int, digest: str) -> bytes:
    data = _read_bytes(path, size)
    remedy = "The file is damaged; use another copy."
    if len(data) != size:
        raise invalid("read_folder", f"{path} must have {size} bytes", len(data), remedy)
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise invalid("read_folder", f"{path} must have SHA-256 {digest[:12]}...", f"{found[:12]}...", remedy)
    return data


def _decode_document(path: str | os.PathLike[str], data: bytes) -> Any:
    _check_document("read_folder", path, data)
    try:
        return parse_json(data)
    except (ValueError, RecursionError) as error:
        raise invalid("read_folder", f"{path} must be plain JSON", str(error)[:200]) from error


def parse_json(data: bytes) -> Any:
    """Parse JSON by the standard, in UTF-8.

    Raises:
        ValueError: If the text is not JSON, has NaN or Infinity, a number beyond float64, or a key twice.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(
        data.decode(), parse_float=_finite, parse_constant=_refuse_constant, object_pairs_hook=_unique
    )


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for float64")
    return value


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise ValueError("a key is given twice")
    return decoded


def _decode_tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError, TypeError) as error:
        remedy = "Only safetensors are read; pickles never are."
        raise invalid(
            "read_folder", f"{path} must be a safetensors file", str(error)[:200], remedy
        ) from error


# --- some rows alone ---------------------------------------------------------------------------------------


def _block_hashes(data: bytes) -> dict[str, Any]:
    view, size = memoryview(data), max(_BLOCK_BYTES, -(-len(data) // _MOST_BLOCKS))
    hashes = [hashlib.sha256(view[at : at + size]).hexdigest() for at in range(0, len(data), size)]
    return {"bytes": size, "sha256": hashes}


def _read_tensors(
    path: Path, entry: Mapping[str, Any], hashes: Any, rows: Choose | None
) -> dict[str, Tensor]:
    """Tensors of a file: by blocks if only some rows are requested and the blocks have hashes."""
    if hashes is not None and rows is not None:
        return _read_rows(_Blocks(path, entry["size"], hashes), rows)
    return _chosen(_decode_tensors(path, _read_file(path, entry["size"], entry["sha256"])), rows)


def _chosen(tensors: dict[str, Tensor], rows: Choose | None) -> dict[str, Tensor]:
    """Requested rows of tensors that were read in full."""
    if rows is None:
        return tensors
    requested = {name: rows(name, tuple(value.shape)) for name, value in tensors.items()}
    return {
        name: value if requested[name] is None else value.reshape(value.shape or (1,))[requested[name]]
        for name, value in tensors.items()
    }


class _Blocks:
    """A file of which some bytes are read: block by block, each checked against its hash.

    Args:
        path: The file.
        size: Its size, by the manifest.
        hashes: Bytes of a block, and the SHA-256 of each; the last one may be shorter.
    """

    def __init__(self, path: Path, size: int, hashes: Any) -> None:
        fields: Mapping[str, Any] = hashes if isinstance(hashes, dict) else {}
        self._bytes: Any = fields.get("bytes", 0)
        self._hashes: list[Any] = fields.get("sha256", [])
        valid = type(self._bytes) is int and self._bytes > 0 and isinstance(self._hashes, list)
        if not valid or len(self._hashes) != -(-size // self._bytes):
            raise invalid("read_folder", f"{BLOCKS} must give hashes of {path.name}", str(hashes)[:120])
        self.path, self.size = path, size
        self._last: tuple[int, bytes] = (-1, b"")

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``."""
        if not 0 <= start <= end <= self.size:
            raise invalid("read_folder", f"{self.path} must contain its tensors", f"bytes {start} to {end}")
        if start == end:
            return b""
        first, last = start // self._bytes, (end - 1) // self._bytes
        with _opened(self.path) as (handle, size):
            if size != self.size:
                raise invalid("read_folder", f"{self.path} must have {self.size} bytes", size)
            data = b"".join(self._block(handle, k) for k in range(first, last + 1))
        return data[start - first * self._bytes : end - first * self._bytes]

    def _block(self, handle: int, number: int) -> bytes:
        if self._last[0] == number:
            return self._last[1]
        os.lseek(handle, number * self._bytes, os.SEEK_SET)
        n_missing, parts = min(self._bytes, self.size - number * self._bytes), []
        while n_missing and (part := os.read(handle, n_missing)):
            parts.append(part)
            n_missing -= len(part)
        data = b"".join(parts)
        if hashlib.sha256(data).hexdigest() != self._hashes[number]:
            rule = f"block {number} of {self.path} must have its SHA-256"
            raise invalid("read_folder", rule, "other bytes", "The folder is damaged; use another copy.")
        self._last = number, data
        return data


def _read_rows(file: _Blocks, rows: Choose) -> dict[str, Tensor]:
    """Requested rows of the tensors of a safetensors file: its header tells where each of them lies."""
    offset = 8 + int.from_bytes(file.read(0, 8), "little")
    header = _decode_document(file.path, file.read(8, offset))
    try:
        return {
            name: _rows_of(file, offset, entry, rows(name, tuple(entry["shape"])))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise invalid("read_folder", f"{file.path} must be a safetensors file", repr(error)[:200]) from error


def _rows_of(file: _Blocks, offset: int, entry: Mapping[str, Any], rows: slice | None) -> Tensor:
    """Rows of a tensor, parsed by safetensors as a file of that tensor alone."""
    shape, (first_byte, last_byte) = list(entry["shape"]), entry["data_offsets"]
    if rows is not None and not shape:
        shape = [1]
    if rows is not None:
        first, last, _ = rows.indices(shape[0])
        last = max(first, last)
        width = (last_byte - first_byte) // shape[0] if shape[0] else 0
        first_byte, last_byte, shape = (
            first_byte + first * width,
            first_byte + last * width,
            [last - first, *shape[1:]],
        )
    data = file.read(offset + first_byte, offset + last_byte)
    header = json.dumps({"x": {"dtype": entry["dtype"], "shape": shape, "data_offsets": [0, len(data)]}})
    header += " " * (-len(header) % 8)
    content = len(header).to_bytes(8, "little") + header.encode() + data
    return _decode_tensors(file.path, content)["x"]
