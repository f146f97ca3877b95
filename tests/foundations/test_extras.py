"""Optional packages: imported when asked, named with the right command when missing, faults not hidden."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from interpolants.foundations import extras
from interpolants.foundations.errors import MissingExtraError
from interpolants.foundations.extras import require

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_a_module_that_is_there_is_returned():
    assert require("json", by="Test") is json
    assert require("json.decoder", by="Test") is sys.modules["json.decoder"]


def test_a_missing_package_of_an_extra_is_answered_with_the_command(monkeypatch):
    monkeypatch.setitem(extras._PACKAGES, "nobody_has_this", ("Nobody", "ot"))
    with pytest.raises(
        MissingExtraError, match=re.escape("MinibatchOT needs Nobody. Install it with: pip")
    ) as caught:
        require("nobody_has_this.part", by="MinibatchOT")
    assert str(caught.value).endswith("pip install 'interpolants[ot]'")


def test_a_missing_package_outside_our_extras_is_named_itself():
    with pytest.raises(MissingExtraError, match=r"Install it with: pip install nobody_has_this$"):
        require("nobody_has_this", by="Test")


def test_a_fault_inside_an_installed_package_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import its_own_missing_need\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="its_own_missing_need") as caught:
        require("broken_inside", by="Test")
    assert not isinstance(caught.value, MissingExtraError)


def test_every_known_package_is_brought_by_the_extra_it_names():
    groups = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    names = {group: {re.split(r"[<>=\[]", need)[0] for need in needs} for group, needs in groups.items()}
    wrong = {
        top: (package, extra)
        for top, (package, extra) in extras._PACKAGES.items()
        if extra and package not in names[extra]
    }
    assert not wrong
