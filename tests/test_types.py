"""Types for users: names from stubs, answers of verbs, and the code of pages as mypy reads it."""

import importlib
import json
import os
import subprocess
import sys
import typing

import pytest
from docs.stubs import stubs

from interpolants.foundations.cards import load_cards
from interpolants.framework.capabilities import capabilities_of
from test_docs import ROOT, blocks, is_session, pages

# How users run mypy who have set nothing: what pages leave without a type is not read.
SETTINGS = "[mypy]\npython_version = 3.11\nignore_missing_imports = True\nallow_redefinition = True\n"
ANSWERS = """
import numpy as np
import torch
from interpolants import Bridge, FlowMap, FunctionalTucker
from interpolants.methods import Bridge as Same, Forecaster
import interpolants as itp

rows, other = torch.zeros(3, 2), np.zeros((3, 2))
reveal_type(Same(seed=0).fit(x1=rows))
reveal_type(itp.paths.get_path("linear"))
reveal_type(Bridge().sample(3, details=True))
reveal_type(Bridge().sample(3, log_prob=True))
reveal_type(Bridge().sample(3))
reveal_type(Bridge().transport(rows))
reveal_type(Bridge().transport(rows, details=True))
reveal_type(Bridge().log_prob(rows, details=True))
reveal_type(FlowMap().transport(rows))
reveal_type(FlowMap().transport(other))
reveal_type(FunctionalTucker().predict(other))
reveal_type(Forecaster().forecast(other))
reveal_type(Bridge().check())
"""
REVEALED = [
    "Bridge", "Path", "Samples", "Scored", "Any", "Tensor", "Samples", "LogProb", "Tensor", "Any", "Predictive",
    "Ensemble", "CheckReport",
]  # fmt: skip


def mypy(folder, *files):
    environment = os.environ | {"MYPYPATH": str(ROOT / "src")}
    (folder / "mypy.ini").write_text(SETTINGS, "utf-8")
    cache = ["--cache-dir", str(folder.parent / "mypy_cache")]
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(folder / "mypy.ini"),
        *cache,
        *map(str, files),
    ]
    return subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", stubs(), ids=lambda file: file.parent.name)
def test_every_name_of_a_stub_is_there(file):
    parts = file.parent.relative_to(ROOT / "src").parts
    package = importlib.import_module(".".join(parts))
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("from ") and " as " in line:
            name = line.rpartition(" as ")[2]
            home, _, own = line.removeprefix("from ").partition(" as ")[0].partition(" import ")
            assert getattr(package, name) is getattr(importlib.import_module(home), own), line


@pytest.mark.parametrize("card", [c for c in load_cards() if c.kind == "method"], ids=lambda card: card.id)
def test_rows_in_the_container_of_the_fit_are_typed_as_any(card):
    """A number of rows says nothing of their container, so a tensor would be the wrong type for users of NumPy."""
    for verb in capabilities_of(card.load_entry()).values():
        if verb.like and next(iter(verb.parameters), "") == "n":
            answer = typing.get_type_hints(verb.call)["return"]
            assert getattr(answer, "__name__", "Any") != "Tensor", f"{card.id}.{verb.verb}"


@pytest.mark.slow  # reads the whole package once, about 40 s without a cache
def test_answers_have_the_types_that_they_come_in(tmp_path):
    (tmp_path / "answers.py").write_text(ANSWERS, "utf-8")
    done = mypy(tmp_path, tmp_path / "answers.py")
    found = [
        line.partition('type is "')[2].rstrip('"') for line in done.stdout.splitlines() if "type is" in line
    ]
    assert [name.rpartition(".")[2] for name in found] == REVEALED, done.stdout


@pytest.fixture(scope="module")
def code_of_pages(tmp_path_factory):
    folder, files = tmp_path_factory.mktemp("pages"), []
    for page in pages():
        if page not in ("README.md", "docs/index.md", "docs/howto.md") and "docs/methods/" not in page:
            continue
        if code := [block for block in blocks(page) if not is_session(block)]:
            files.append(folder / f"{page.replace('/', '_').removesuffix('.md')}.py")
            files[-1].write_text("\n".join(code), "utf-8")
    assert len(files) > 50
    return folder, files


@pytest.mark.slow  # as above
def test_code_of_pages_has_no_wrong_type(code_of_pages):
    folder, files = code_of_pages
    done = mypy(folder, *files)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_code_of_pages_has_no_wrong_type_by_pyright(code_of_pages):
    pytest.importorskip(
        "basedpyright", reason="basedpyright is 280 MB with its Node.js; pip install basedpyright"
    )
    folder, _ = code_of_pages
    # What pages leave without a type is not read, nor a name that one block gives another type than the block before.
    lenient = dict.fromkeys(("reportRedeclaration", "reportMissingImports"), False)
    rules = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "extraPaths": [str(ROOT / "src")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(rules | lenient), "utf-8")
    words = [
        sys.executable,
        "-m",
        "basedpyright",
        "--pythonpath",
        sys.executable,
        "--level",
        "error",
        "-p",
        ".",
    ]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
