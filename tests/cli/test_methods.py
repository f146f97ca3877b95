"""`interpolants methods`: the short list, its filters, and one member in full."""

import json

import pytest
from typer.testing import CliRunner

from everyday_questions import FIFTY
from interpolants.cli.app import app
from interpolants.foundations.cards import load_cards
from interpolants.methods import FlowMap
from plugins import card
from rings import ABSENT


def ask(*words, columns=80):
    result = CliRunner().invoke(app, ["methods", *words], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result


def ids(*words):
    return [found["id"] for found in json.loads(ask(*words, "--json").stdout)]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_names_every_member_once_and_keeps_to_the_width(columns):
    lines = ask(columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    firsts = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(firsts) == sorted(card.id for card in load_cards())
    headings = [line for line in lines if line and line[0] != " "]
    assert headings == sorted({card.kind for card in load_cards()})
    assert sum(line.startswith("   ") for line in lines) < len(lines) / 5  # few go on in a second line


def test_in_a_pipe_every_member_has_one_line(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    result = CliRunner().invoke(app, ["methods"], env={"COLUMNS": None})
    lines = [line for line in result.stdout.splitlines() if line.startswith(" ")]
    assert len(lines) == len(load_cards())


def test_filters_choose_by_kind_family_and_words():
    assert set(ids("--kind", "envelope")) == {card.id for card in load_cards() if card.kind == "envelope"}
    assert set(ids("--family", "schrodinger")) == {
        card.id for card in load_cards() if card.family == "Schrödinger bridges"
    }


def test_words_must_all_occur():
    both = ids("entropic", "coupling")
    assert "sinkhorn" in both
    assert "light_sb" not in both
    assert set(both) < set(ids("entropic"))


@pytest.mark.skipif(bool(ABSENT), reason="answers lie in all rings")
def test_words_rank_as_in_find_with_data_sets_last():
    missed = {}
    for words, answers in FIFTY.items():
        wanted = {answer for answer in answers if answer.startswith("method/")}
        if wanted and wanted == answers:
            first = json.loads(ask(*words.split(), "--json").stdout)[0]
            missed |= {} if f"{first['kind']}/{first['id']}" in wanted else {words: first["id"]}
    assert missed == {}
    kinds = [found["kind"] for found in json.loads(ask("rain", "--json").stdout)]
    assert kinds[0] == "method"
    assert kinds[-1] == "data"
    assert kinds == sorted(kinds, key=kinds.index)  # each kind has one part of the list


def test_a_synonym_finds_what_find_finds():
    assert "prior_restoration" in ids("deblur")


def test_other_names_are_words_too_and_may_be_quoted_together():
    assert "few_step" in ids("mmd-ddm")
    assert ids("fine-tuning mmd-ddm") == ids("fine-tuning", "mmd-ddm") == ["few_step"]
    assert "also      MMD-DDM, fine-tuning" in ask("show", "few_step").stdout


@pytest.mark.parametrize(
    "paper",
    [
        "song2021score",
        "2011.13456",
        "arXiv:2011.13456v2",
        "https://arxiv.org/abs/2011.13456",
        "sohl-dickstein",
    ],
)
def test_a_paper_is_known_by_key_number_and_author(paper):
    expected = {card.id for card in load_cards() if "song2021score" in card.sources}
    assert expected <= set(ids("--paper", paper))
    if paper != "sohl-dickstein":
        assert expected == set(ids("--paper", paper))
    assert "linear" not in ids("--paper", paper)


@pytest.mark.parametrize("word", ["2211.01095", "arXiv:2211.01095v2", "https://arxiv.org/abs/2211.01095"])
def test_the_number_of_a_paper_is_a_word_like_any_other(word):
    assert {"dpmpp_2m", "dpmpp_3m"} <= set(ids(word))
    assert "linear" not in ids(word)


def test_show_prints_the_whole_card():
    told = " ".join(ask("show", "flow_map").stdout.split())
    (known,) = [card for card in load_cards() if card.id == "flow_map"]
    for text in (known.title, known.family, known.shapes, known.cost, known.limits, known.proof.answer):
        assert text in told
    for text in (
        "method/flow_map, trial",
        "Boffi, Albergo & Vanden-Eijnden (2024), Flow Map Matching [boffi2024flow]",
        "https://arxiv.org/abs/2406.07507",
        "batch_size = 256",
        (FlowMap.__doc__ or "").splitlines()[0].replace("`", ""),
        "interpolants run --config flow_map --out DIR",
    ):
        assert text in told
    assert max(map(len, ask("show", "flow_map").stdout.splitlines())) <= 80


def test_show_as_json_adds_settings_and_works():
    found = json.loads(ask("show", "linear", "--json").stdout)
    assert found["settings"] == {"envelope": "BrownianEnvelope(scale=1.0)"}
    assert [work["arxiv"] for work in found["works"]] == ["2303.08797"]
    required = json.loads(ask("show", "gaussian_mixture", "--json").stdout)["settings"]
    assert "(required)" in required.values()


def test_an_id_of_two_kinds_asks_for_the_kind_and_broken_cards_are_named(install):
    files = {
        "thing.py": "class Thing:\n    formula = 'x + 1'\n",
        "linear.card.toml": card("toy", "linear", "others_cli.thing:Thing", title="The other linear"),
        "broken.card.toml": "id = ",
    }
    install("others_cli", files)
    result = CliRunner().invoke(app, ["methods", "show", "linear"])
    assert result.exit_code == 2
    assert "Write 'path/linear' or 'toy/linear'." in result.stderr
    for words in (["show", "linear", "--kind", "toy"], ["show", "toy/linear"]):
        assert "The other linear" in ask(*words).stdout
        assert "formula  x + 1" in ask(*words).stdout
    assert "note: cards skipped, entry point mine = 'others_cli'" in ask().stderr
    doctor = CliRunner().invoke(app, ["doctor"])
    assert "cards skipped: entry point mine = 'others_cli'" in doctor.stderr
