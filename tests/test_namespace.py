"""What ``import interpolants as itp`` shows: every method by its class, every subpackage."""

import subprocess
import sys

import pytest

import interpolants as itp
from interpolants.foundations.cards import load_cards

METHODS = {card.entry.rpartition(":")[2]: card for card in load_cards() if card.kind == "method"}


def test_dir_shows_all_methods_subpackages_and_no_internals():
    shown = dir(itp)
    assert {*METHODS, "Bridge", "load", "paths", "metrics", "methods", "data"} <= {*shown}
    assert not {"Any", "TYPE_CHECKING", "sys", "pkgutil", "import_module"} & {*shown}


def test_every_method_is_there_by_the_name_of_its_class():
    assert len(METHODS) == sum(card.kind == "method" for card in load_cards())  # no two have one name
    for name, card in METHODS.items():
        assert getattr(itp, name) is card.load_entry()


def test_a_name_that_is_missing_is_refused_with_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'Brige'\. Did you mean 'Bridge'\?$"):
        itp.Brige  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'Quetzalcoatlus'$"):
        itp.Quetzalcoatlus  # noqa: B018
    assert not hasattr(itp, "_private")
    with pytest.raises(ImportError, match="cannot import name 'Brige'"):
        from interpolants import Brige  # noqa: F401


def test_names_are_shown_without_importing_torch():
    code = "import sys, interpolants as itp; dir(itp); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
