"""What `make test-changed` runs includes the tests that are known to see a fault of the changed file."""

import json
from types import SimpleNamespace

import pytest

import conftest
from changed import ROOT, Uses
from interpolants.foundations.cards import load_cards


@pytest.fixture(scope="module")
def uses():
    return Uses()


def test_tests_that_caught_a_fault_of_a_file_are_reached_from_it(uses):
    rows = [json.loads(line) for line in (ROOT / "mutants" / "tried.jsonl").read_text("utf-8").splitlines()]
    pairs = {
        (f"src/interpolants/{row['mutant'].partition(':')[0]}", row["by"].partition("::")[0]) for row in rows
    }
    there = [pair for pair in pairs if {*pair} <= uses.texts.keys()]  # the others were moved since
    assert len(there) > 400
    lost = [(changed, test) for changed, test in there if test not in uses.reached({changed}) | uses.ranging]
    assert not lost


def test_a_room_reaches_few_tests_and_the_ground_reaches_most(uses):
    count = {
        name: sum(test.startswith("tests/") for test in uses.reached({f"src/interpolants/{name}"}))
        for name in ("apps/weather/ensemble_emulator.py", "foundations/errors.py")
    }
    assert 1 <= count["apps/weather/ensemble_emulator.py"] < 20 < 500 < count["foundations/errors.py"]


def test_of_a_law_only_cases_of_methods_that_use_the_file_are_reached(uses):
    cards = [card for card in load_cards("interpolants") if card.kind == "method"]
    (home,) = {one for one in uses.members["ensemble_emulator"] if one.endswith(".py")}
    option = SimpleNamespace(reached=uses.reached({home}), ranging=uses.ranging)

    def case(file, **given):
        return SimpleNamespace(
            nodeid=f"{file}::test_it[x]",
            config=SimpleNamespace(option=option),
            callspec=SimpleNamespace(params=given),
        )

    law = "tests/laws/test_method_laws.py"
    assert law in option.ranging
    assert [card.id for card in cards if conftest._reached(case(law, card=card))] == ["ensemble_emulator"]
    assert conftest._reached(case(law, law="no card"))
    assert conftest._reached(case(home, card=cards[0]))  # a test file that changed itself keeps all its cases


@pytest.mark.cases(2)
@pytest.mark.parametrize("case", range(5))
def test_two_of_five_cases_run_by_default_and_the_others_are_slow(case, request):
    siblings = [item for item in request.session.items if item.name.startswith(request.function.__name__)]
    if len(siblings) == 1:
        pytest.skip("asked for by its name, it is all cases there are")
    assert (request.node.get_closest_marker("slow") is None) == (case in (0, 4))
