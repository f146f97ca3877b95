"""Hostile folders, made from a good one by changes of its files; each must load or be refused, small and quickly.

Run as a program on good folders, it makes the changed ones, reads each, and prints what went wrong as JSON. Memory and
time are counted after the library is imported and a good folder was read.
"""

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

MANIFEST = "MANIFEST.json"
DEEP: list = []
for _ in range(400):
    DEEP = [DEEP]
ODD = [None, [], {}, "", "x", -1, 0, True, 1e308, 2**70, 10**12, 100_000, ["x"] * 3, {"$": "net"}, {"$": []},
       {"$": "tensor"}, {"$": "float", "value": "inf"}, {"kind": "linear"}, {"kind": []}, "torch.load",
       {"$": "code", "name": 3}, "../../x", "os:system", DEEP]  # fmt: skip


def places(node, at=()):
    """Ways to all parts of a document."""
    yield at
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in pairs:
        yield from places(part, (*at, key))


def parent_of(document, at):
    for key in at[:-1]:
        document = document[key]
    return document


def changed(document, rng):
    """A copy with one part replaced, removed, renamed, doubled, or made a thousand times as large."""
    document = json.loads(json.dumps(document))
    at = rng.choice([place for place in places(document) if place])
    parent, key = parent_of(document, at), at[-1]
    how = rng.choice(["replace", "replace", "replace", "remove", "rename", "large", "swap"])
    if how == "remove":
        del parent[key]
    elif how == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif how == "large" and type(parent[key]) in (int, float):
        parent[key] = parent[key] * rng.choice([1000, 10**6, -1])
    elif how == "swap":
        other = rng.choice([place for place in places(document) if place])
        twin = json.loads(json.dumps(parent_of(document, other)[other[-1]]))
        parent[key] = twin
    else:
        parent[key] = rng.choice(ODD)
    return document


def seal(folder):
    """Make the manifest fit the files."""
    files = {}
    for file in sorted(folder.glob("*")):
        if file.name != MANIFEST and file.is_file():
            data = file.read_bytes()
            files[file.name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "library": "0", "files": files}))


def spoil_document(folder, rng):
    file = folder / "tree.json"
    document = json.loads(file.read_text())
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        document = changed(document, rng)
    file.write_text(json.dumps(document))
    seal(folder)


def spoil_manifest(folder, rng):
    file = folder / MANIFEST
    file.write_text(json.dumps(changed(json.loads(file.read_text()), rng)))


def claim_much(folder, rng):
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["files"].values():
        entry["size"] = rng.choice([2**35, 2**62, entry["size"] + 1])
    (folder / MANIFEST).write_text(json.dumps(manifest))


def spoil_bytes(folder, rng):
    file = rng.choice(sorted(folder.glob("*")))
    data = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    file.write_bytes(bytes(data[: rng.choice([len(data), len(data) // 2])]))
    if file.name != MANIFEST and rng.random() < 0.7:
        seal(folder)


def spoil_header(folder, rng):
    """Another header of the tensors: shapes, types, offsets."""
    file = folder / "tensors.safetensors"
    if not file.exists():
        return spoil_document(folder, rng)
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(changed(json.loads(data[8 : 8 + size]), rng)).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    return seal(folder)


def many_brackets(folder, rng):
    (folder / "tree.json").write_text("[" + ",".join([rng.choice(["[]", "{}"])] * 5_000_000) + "]")
    seal(folder)


def wide_nets(folder, rng):
    """Every number of a network's settings is large."""
    text = (folder / "tree.json").read_text()
    for name in ("width", "depth", "features", "hidden", "levels", "channels"):
        for number in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512):
            text = text.replace(f'"{name}": {number},', f'"{name}": {rng.choice([16_000, 10**5, 10**9])},')
    (folder / "tree.json").write_text(text)
    seal(folder)


def not_a_file(folder, rng):
    file = rng.choice(sorted(folder.glob("*")))
    file.unlink()
    kind = rng.choice(["link", "fifo", "folder", "gone"])
    if kind == "link":
        file.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()


WAYS = [spoil_document] * 12 + [
    spoil_manifest,
    claim_much,
    spoil_bytes,
    spoil_header,
    spoil_header,
    not_a_file,
]
WAYS += [wide_nets]


def peak():
    """Most memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forbidden(event, args):
    """Audit hook: nothing may start a program, connect, or write."""
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if event in ("os.system", "subprocess.Popen", "os.exec", "socket.connect", "pickle.find_class") or writes:
        WATCHED.append(f"{event} {args[:2]}")


WATCHED: list = []


def main(good, count, seed, work):
    import interpolants
    from interpolants.foundations.errors import InterpolantsError

    for folder in good:
        interpolants.load(folder)
    heavy = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
    watching, wrong, loaded = [False], [], 0
    sys.addaudithook(lambda event, args: forbidden(event, args) if watching[0] else None)
    for number in range(count):
        rng = random.Random(seed * 100_003 + number)
        place = Path(work) / str(number)
        shutil.copytree(rng.choice(good), place)
        # The slow one comes once a hundred.
        way = many_brackets if number % 100 == 7 else rng.choice(WAYS)
        way(place, rng)
        before, begun, watching[0] = peak(), time.process_time(), True
        fault = ""
        try:
            interpolants.load(place)
            loaded += 1
        except InterpolantsError:
            pass
        except BaseException as error:  # whatever it is, it is the finding
            fault = f"{type(error).__name__}: {str(error)[:200]}"
        watching[0] = False
        seconds, more = time.process_time() - begun, peak() - before
        if fault or seconds > 2 or more > 200 or WATCHED:
            wrong.append([number, way.__name__, fault, round(seconds, 2), round(more), [*WATCHED]])
            WATCHED.clear()
        else:
            shutil.rmtree(place)
    print(json.dumps({"wrong": wrong, "loaded": loaded, "heavy": heavy}))


def attack(scale, work):
    """500 folders; also those through a link, with an audit hook."""
    from interpolants import Bridge
    from interpolants.methods.rivals.gaussian_fit import GaussianFit
    from torture.rows import Row

    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 16, "depth": 2}
    good = [work / "bridge", work / "gaussian"]
    Bridge(net=net, steps=2, batch_size=8, held_out=0).fit(x, x + 1, progress=False).save(good[0])
    GaussianFit().fit(x).save(good[1])
    count = max(20, round(500 * scale))
    words = [sys.executable, __file__, str(count), "3", str(work / "changed"), *map(str, good)]
    (work / "changed").mkdir()
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    row = Row("hostile folders (200 MB, 2 s, audit hook, links)")
    if told.returncode:
        return row.count(harm=told.stderr[-300:])
    found = json.loads(told.stdout)
    for wrong in found["wrong"]:
        row.count(harm=str(wrong)[:300])
    for number in range(count - len(found["wrong"])):
        row.count(refused=number >= found["loaded"])
    return row


if __name__ == "__main__":
    main(sys.argv[4:], int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
