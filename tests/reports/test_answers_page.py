"""The page of a run: complete in itself, the worst first and by name, several seeds, sounds, dark variants."""

import base64
import io
import itertools
import math
import re
import wave
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from interpolants.framework.claims import Claim, Verdict
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.scores import Finding, Score
from interpolants.reports import answers_page as module
from interpolants.reports import embedded
from interpolants.reports.answers_page import write_answers
from interpolants.reports.embedded import Embedded, described, panels_of, wav
from interpolants.reports.facts import CellFacts, ModelFacts, QuestionFacts, RoleFacts, RunFacts, StageFacts
from interpolants.reports.findings import QUICK, findings_of
from interpolants.reports.front import main_score
from interpolants.reports.front import told as front_of
from interpolants.reports.losses import loss_figure
from interpolants.reports.words import times
from reports.drawn_once import drawn_once

pytest.importorskip("matplotlib")

VOID = {"img", "meta", "br", "source"}


class Page(HTMLParser):
    """Every tag with its attributes, all text, and whether tags nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Small pictures: the words are the same."""
    (
        monkeypatch.setattr(module, "_QUALITIES", ((40, True, 1.0),)),
        monkeypatch.setattr(embedded, "draw", drawn_once),
    )


def figure(caption="", panels=1):
    line = Series(mark="line", arrays={"x": [0.0, 1.0], "y": [1.0, 2.0]}, name="the method")
    panel = Panel(series=(line,), title="left", x=Axis(label="time", unit="s"), y=Axis(label="height"))
    return Figure(name="b_c", panels=(panel,) * panels, caption=caption, width=260 * panels)


def score(name="closeness.distance", value=0.2, **more):
    given = {"title": "Distance to held-out data", "better": "lower", "error": 0.01, "unit": "data units"}
    return Score(name=name, value=value, **{**given, **more})


def question(**more):
    beside = {"floor": 0.1, "floor_of": "two sets of real data", "rivals": {"gaussian_fit": 0.5}}
    given = {
        "name": "closeness",
        "title": "How close",
        "scores": (score(**beside),),
        "figures": (figure("Two."),),
    }
    return QuestionFacts(**{**given, "rivals": {"gaussian_fit": "Gaussian fit"}, **more})


def cell(**more):
    model = ModelFacts(
        title="A method", opening="It learns.", formulas=("x_t = (1 - t) x0 + t x1",), parameters=1234,
        settings={"steps": 300, "net": {"kind": "mlp", "width": 8}}, limits="small data",
        sources=(("Smith (2020), A work", "https://arxiv.org/abs/1"),),
    )  # fmt: skip
    data = RoleFacts(
        role="x1", name="digits", about="images", origin="https://example.org/digits", licence="CC BY 4.0",
        shape="1 × 8 × 8", rows={"train": 1437, "test": 360}, notes=("scaled",),
    )  # fmt: skip
    history = [{"step": 50 * k, "loss": 1 / k, "lr": 0.1} for k in range(1, 7)]
    given = {
        "task": "main", "title": "A method", "model": model, "data": (data,), "split": "Rows are parted at random",
        "stages": (StageFacts(name="match", history=history, seconds=12.0),), "questions": (question(),),
    }  # fmt: skip
    return CellFacts(**{**given, **more})


def run(*cells, **more):
    given = {"title": "A run", "cells": cells or (cell(),), "command": "interpolants run --config a --out b"}
    given |= {
        "use": "interpolants sample b",
        "versions": {"torch": "2.10"},
        "machine": "A processor, 2 cores",
        "created": "2025-03-01T12:00:00",
    }
    return RunFacts(**{**given, "seconds": 75.0, "settings": {"seed": 0}, **more})


def page_of(folder, facts):
    return Page(write_answers(folder, facts).read_text(encoding="utf-8"))


def brightness(address):
    """Mean of what is not clear in a picture."""
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    pixels = np.asarray(picture.convert("RGBA"), float)
    return pixels[pixels[..., 3] > 128][:, :3].mean()


def place(page, *words):
    found = [page.text.find(word) for word in words]
    assert -1 not in found, [word for word, at in zip(words, found, strict=True) if at < 0]
    return found


# --- the page as a page --------------------------------------------------------------------------------------


def test_a_page_needs_nothing_but_itself_and_has_a_dark_twin_of_each_picture(tmp_path):
    sound = Series(mark="audio", arrays={"samples": [0.0, 0.5, -0.5, 0.0], "rate": 8000.0}, name="a word")
    heard = Figure(name="heard", panels=(Panel(series=(sound,)),))
    page = page_of(tmp_path, run(cell(questions=(question(figures=(figure("Two.", 2), heard)),))))
    assert not {name for name, _ in page.tags} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
    }
    kinds = {"img": "image/png", "source": "image/png", "audio": "audio/wav"}
    for tag, kind in kinds.items():
        for attributes in page.all(tag):
            assert (attributes.get("src") or attributes["srcset"]).startswith(f"data:{kind};base64,")
    images = page.all("img")
    assert len(images) == 4  # the loss, two panels, the waveform
    assert len(page.all("source")) == 4
    assert all(base64.b64decode(i["src"].partition(",")[2])[:4] == b"\x89PNG" for i in images)
    assert all(len(i["alt"]) > 3 for i in images)
    for light, dark in zip(images, page.all("source"), strict=True):
        assert brightness(dark["srcset"]) > brightness(light["src"]) + 40  # lines and words, not the page
    assert len(page.all("audio")) == 1
    assert all(a["href"].startswith(("#", "https://")) for a in page.all("a"))
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"training.png", "training-dark.png", "closeness-b_c-1.png", "closeness-heard-dark.png"} <= names


def test_headings_step_down_one_by_one_and_anchors_exist(tmp_path):
    page = page_of(tmp_path, run(cell(), cell(task="b", title="Second", seed=0)))
    levels = [int(name[1]) for name, _ in page.tags if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {a["href"][1:] for a in page.all("a") if a["href"][0] == "#"} <= set(ids)


def test_the_parts_stand_in_the_order_of_a_reader(tmp_path):
    page = page_of(tmp_path, run(verdicts=(verdict("holds"),)))
    order = [
        "A method, fitted to digits (1,437 training rows) in 12 s of training.",
        "Distance to held-out data is 0.200 ± 0.010 data units (two sets of real data 0.100; gaussian fit 0.500): "
        "2.5× smaller than gaussian fit.", "It is worse than no rival.", "Use it: interpolants sample b",
        "Results", "2.0× that of two sets of real data. 2.5× smaller than gaussian fit.",
        "What went wrong", "no rival is better.", "closeness.distance < ",
        "Appendix", "Data", "Held out", "Model", "It learns.", "1,234",
        "Training took 300 steps and 12 s (40 ms a step).", "How close",
        "interpolants run --config a", "torch 2.10", "CC BY 4.0", "Gaussian fit", "One standard error.",
    ]  # fmt: skip
    cut = page.text[page.text.index("A method, fitted") :]
    assert page.text.index("A processor") < page.text.index("Two.") < page.text.index("What was learnt")
    at = -1
    for word in order:
        found = cut.find(word, at + 1)
        assert found > at, word
        at = found


def test_tables_and_figures_are_numbered_in_the_order_in_which_they_stand(tmp_path):
    text = {"Costs": ("| level | cost |", "| --- | ---: |", "| ODE | 7 |", "", "Because <so>.")}
    page = page_of(tmp_path, run(cell(questions=(question(texts=text), question(name="other", texts=text)))))
    for kind, most in (("Table", 6), ("Figure", 3)):
        assert re.findall(rf"{kind} (\d+)\. ", page.text) == [str(k) for k in range(1, most + 1)]


def test_hostile_text_stays_text(tmp_path):
    evil = "</title><script>alert('x')</script><img src=x onerror=alert(1)>\"'&$\\frac{"
    asked = question(
        title=evil, opening=evil, rivals={"gaussian_fit": evil}, settings={evil: evil}, texts={evil: (evil,)}
    )
    bad = cell(title=evil, questions=(asked,), findings=(Finding(evil),), missing=(evil,), split=evil)
    bad = replace(bad, data=(RoleFacts(role=evil, name=evil, origin="javascript:alert(1)", licence=evil),))
    bad = replace(bad, model=ModelFacts(title=evil, opening=evil, sources=((evil, "javascript:x"),)))
    page = page_of(
        tmp_path, run(bad, title=evil, command=evil, versions={evil: evil}, machine=evil, settings={evil: 1})
    )
    assert not page.all("script")
    assert all(set(a) == {"src", "alt", "width", "height"} for a in page.all("img"))
    assert not any("javascript" in a["href"] for a in page.all("a"))
    assert page.text.count("<script>alert('x')</script>") > 8


def test_a_page_that_grows_too_large_is_drawn_coarser(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_QUALITIES", ((200, True, 1.0), (40, False, 1.0)))
    full = len(write_answers(tmp_path, run()).read_bytes())
    monkeypatch.setattr(module, "LIMIT", full - 1)
    page = page_of(tmp_path, run())
    assert page.all("img")
    assert not page.all("source")


# --- what went wrong -----------------------------------------------------------------------------------------


def verdict(outcome, expected="holds"):
    return Verdict(Claim(says="closeness.distance < gaussian_fit", expected=expected), outcome, 0.3, 0.1, 1)


def told(*cells, **more):
    return [(one.text, one.grave) for one in findings_of(run(*cells, **more))]


def test_nothing_wrong_is_said_so(tmp_path):
    assert told() == []
    assert "No check failed and no rival is better." in page_of(tmp_path, run()).text
    judged = page_of(tmp_path, run(verdicts=(verdict("holds"),))).text
    assert "No check failed, no claim came out otherwise than expected and no rival is better." in judged
    nothing = page_of(tmp_path, run(cell(questions=()))).text
    assert "no question was asked" in nothing
    assert "Rival" not in nothing  # no term either


def test_a_rival_that_equals_an_ideal_score_is_nothing_wrong():
    def beside(value, rival):
        return told(
            cell(questions=(question(scores=(score(value=value, floor=0.0, rivals={"twin": rival}),)),))
        )

    assert beside(0.0, 0.0) == []
    assert "within two standard errors of twin" in beside(0.001, 0.001)[0][0]


def test_failed_checks_claims_and_rivals_that_win_are_named_before_the_numbers(tmp_path):
    lost = score(value=0.9, rivals={"gaussian_fit": 0.5, "twin": 0.905})
    bad = cell(
        questions=(question(scores=(lost,)),), findings=(Finding("Check 'there and back': off by 3."),)
    )
    facts = run(bad, verdicts=(verdict("fails"), verdict("fails", "fails"), verdict("undecided")))
    found = [(one.text, one.grave) for one in findings_of(facts)]
    assert found == [
        (
            "Claim “closeness.distance < gaussian_fit” fails, against expectation (left less right side 0.30 ± 0.10).",
            True,
        ),
        ("Check 'there and back': off by 3.", True),
        (
            "How close: gaussian fit is better in the one measure: "
            "Distance to held-out data (0.500 against our 0.900).",
            True,
        ),
        (
            "Claim “closeness.distance < gaussian_fit” is undecided: the error is too large "
            "(left less right side 0.30 ± 0.10).",
            False,
        ),
        (
            "How close: within two standard errors of twin in the one measure: "
            "Distance to held-out data (0.905 against our 0.900).",
            False,
        ),
    ]
    page = page_of(tmp_path, facts)
    place(
        page,
        f"What failed{found[1][0]}",
        "Its worst lossDistance to held-out data is 0.900 ± 0.010 data units, and",
    )
    first = max(place(page, *[text for text, grave in found if grave]))
    assert first < page.text.index("Distance to held-out data (data units)")
    assert len([a for a in page.all("li") if a.get("class") == "fail"]) == 3


def test_a_rival_that_should_win_is_no_finding_and_a_number_that_is_none_is_one():
    lost = score(value=0.9, rivals={"gaussian_fit": 0.5})
    assert told(cell(questions=(question(scores=(lost,), expected=("gaussian_fit",)),))) == []
    ((text, grave),) = told(cell(questions=(question(scores=(score(value=math.nan),)),)))
    assert (text, grave) == ("How close: not a finite number for Distance to held-out data.", True)


def test_larger_is_better_where_it_is_said_and_the_paired_error_decides():
    higher = score(better="higher", value=0.5, error=0.2, rivals={"r": 0.6}, gaps={"r": 0.01}, unit="")
    assert [grave for _, grave in told(cell(questions=(question(scores=(higher,)),)))] == [True]
    assert [g for _, g in told(cell(questions=(question(scores=(replace(higher, gaps={}),)),)))] == [False]
    assert told(cell(questions=(question(scores=(replace(higher, better="neither"),)),))) == []


def test_what_cells_share_is_told_once_with_their_names():
    same = Finding("Check 'a': off.")
    cells = (
        cell(task="a", title="First", findings=(same,)),
        cell(task="b", title="Second", findings=(same,)),
    )
    assert told(*cells) == [("First and Second: Check 'a': off.", True)]
    seeds = (cell(seed=3, findings=(same,)), cell(seed=4))
    assert told(*seeds) == [("seed 3: Check 'a': off.", True)]


def test_the_worst_five_are_shown_and_the_others_folded(tmp_path):
    many = [Finding(f"Broken {k}.", grave=k > 2) for k in range(12)]
    page = page_of(tmp_path, run(cell(findings=many)))
    place(page, "Broken 3.", "Broken 7.", "7 more", "Broken 11.", "Broken 0.")
    assert page.text.index("Broken 7.") < page.text.index("7 more") < page.text.index("Broken 8.")


def test_the_first_screen_tells_what_failed_the_worst_loss_by_name_and_a_remedy(tmp_path):
    grave = Finding("Copies: many.", remedy="Learn from more rows.")
    facts = run(cell(findings=(Finding("A slight thing.", grave=False, remedy="Wait."), grave)))
    assert [text for _, text in front_of(facts)[2:]] == [
        "It is worse than no rival. Also found: Copies: many.",
        "Learn from more rows.",
    ]
    checked = run(cell(findings=(Finding("Check 'a': off."), grave)))
    assert [text for _, text in front_of(checked)[2:3]] == ["Check 'a': off."]
    even = question(scores=(score(value=0.5, floor=0.49, floor_error=0.1, rivals={"gaussian_fit": 0.51}),))
    good, worst, then = (text for _, text in front_of(run(cell(questions=(even,))))[1:])
    assert good.endswith("no better than gaussian fit, though as good as the best that is possible.")
    assert worst == "It is worse than no rival, and no better in 1 of 1 comparisons."
    assert (
        then
        == "Compare with gaussian fit on more held-out rows: here it is as good, as far as these can tell."
    )
    assert [text for _, text in front_of(run(budget="quick"))[2:]] == [
        QUICK,
        "Run the recipe without --quick.",
    ]


def test_the_worst_loss_is_the_one_of_most_standard_errors_wherever_it_stands():
    slight = score(
        name="a.x", title="First", value=0.5, error=0.01, rivals={"gaussian_fit": 0.2}
    )  # 30 errors
    heavy = score(name="b.y", title="Second", value=7.9, error=0.1, rivals={"unchanged": 3.0, "r": 2.0})  # 59
    cells = [
        cell(task="a", title="A", questions=(question(scores=(slight,)),)),
        cell(task="b", title="B", questions=(question(scores=(heavy,)),)),
    ]
    told = dict(front_of(run(*cells)))
    assert told["Its worst loss"].startswith("B: Second is 7.90 ± 0.10 data units, and r has 2 data units.")
    assert told["Its worst loss"].endswith("So are 2 more of the comparisons.")
    assert told["What to do next"].startswith("Use r, or learn from more rows")


def test_the_score_that_is_told_has_the_most_room_wherever_the_method_lies():
    narrow = score(name="a.x", title="Narrow", floor=0.1, floor_error=0.0, rivals={"r": 0.3})  # 20 errors
    wide = score(name="a.y", title="Wide", floor=0.1, floor_error=0.0, rivals={"r": 0.9, "s": 0.6})  # 50
    for value in (0.1, 0.5, 3.0):
        asked = question(scores=(replace(narrow, value=0.1), replace(wide, value=value)))
        assert main_score([asked]).title == "Wide"
    asked = question(scores=(narrow, replace(wide, floor="unknown: nobody said")), expected=())
    assert main_score([asked]).title == "Narrow"
    assert (
        main_score([question(scores=(narrow, wide), expected=("s", "r"))]).title == "Narrow"
    )  # none has room
    higher = replace(wide, better="higher", floor=0.98, rivals={"r": 0.1})
    assert main_score([question(scores=(narrow, higher))]).title == "Wide"
    assert main_score([question(scores=())]) is None


def test_what_went_wrong_stands_after_the_results_unless_a_check_failed(tmp_path):
    lost = score(value=0.9, rivals={"gaussian_fit": 0.5})
    cells = {
        "after": cell(questions=(question(scores=(lost,)),)),
        "before": cell(findings=(Finding("Check 'there and back': off by 3."),)),
        "not finite": cell(questions=(question(scores=(score(value=math.nan),)),)),
    }
    for name, one in cells.items():
        headings = [a.get("id") for a in page_of(tmp_path, run(one)).all("h2")]
        assert (headings.index("results") < headings.index("findings")) == (name == "after"), name


def test_a_run_that_goes_on_says_what_is_missing(tmp_path):
    page = page_of(tmp_path, run(waiting=("Any digit from noise",)))
    place(
        page,
        "The run is not finished: Any digit from noise is missing. This page is rewritten after each of them.",
    )
    assert "not finished" not in page_of(tmp_path, run()).text


def test_what_questions_put_first_stands_before_the_appendix_and_once(tmp_path):
    wide, text = figure("Wide.", panels=5), ("| column | KS |", "| --- | ---: |", "| age | 0.2 |")
    asked = question(
        figures=(figure("Two."), replace(wide, name="d")), texts={"Columns": text}, front=("d", "Columns")
    )
    page = page_of(tmp_path, run(cell(questions=(asked,)))).text
    assert (
        page.index("Wide. The appendix shows all 5.")
        < page.index("age")
        < page.index("Data, model and training")
    )
    assert page.index("Data, model and training") < page.index("Two.") < page.rindex("Wide.")
    assert page.count("Columns.") == 1


def test_no_run_has_a_long_front(tmp_path):
    many = [
        cell(task=f"t{k}", title=f"Task {k}", questions=(question(), question(name="b"))) for k in range(9)
    ]
    front = page_of(tmp_path, run(*many)).text.partition("Data, model and training")[0]
    assert front.count("2.5× smaller than gaussian fit. ") <= 12 + 4
    assert len(re.findall(r"Figure \d+\.", front)) == 2
    assert "So were 5 more." in front


def test_a_quick_run_says_that_its_numbers_mean_nothing(tmp_path):
    assert "Its numbers say nothing about the method." in page_of(tmp_path, run(budget="quick")).text


# --- what there may be ---------------------------------------------------------------------------------------


def test_a_method_without_questions_without_training_and_without_data_still_has_a_page(tmp_path):
    bare = CellFacts(task="main", title="Bare", model=ModelFacts(title="Bare"))
    text = page_of(tmp_path, RunFacts(title="T", cells=(bare,))).text
    for sentence in (
        "The recipe asks no question", "The run says nothing about its data.", "Nothing was learnt step by step",
        "The run did not store its command.", "does not state where its data come from", "Bare, fitted to its data.",
    ):  # fmt: skip
        assert sentence in text
    assert "No cell of this run is finished." in page_of(tmp_path, RunFacts(title="T")).text


def test_scores_without_floor_rival_error_or_figure_make_a_table(tmp_path):
    plain = question(
        scores=(Score(name="q.some_number", value=1.5, note="Said once."),), figures=(), rivals={}
    )
    page = page_of(tmp_path, run(cell(questions=(plain,))))
    assert "some number" in page.text
    assert "Said once." in page.text
    assert "nobody said" not in page.text
    assert "Two sets of real data" not in page.text


def test_texts_stay_lines_and_tables_in_markdown_become_tables_with_verdicts_marked(tmp_path):
    texts = {
        "Checks": (
            "| verdict | check | n |",
            "| --- | --- | ---: |",
            "| fail | there | 7 |",
            "",
            "Because <so>.",
        ),
        "Words": ("one", "two"),
    }
    html = write_answers(tmp_path, run(cell(questions=(question(texts=texts),)))).read_text()
    assert (
        '<span class="verdict fail">fail</span>' in html
        or '<th scope="row"><span class="verdict fail">' in html
    )
    assert '<td class="num" data-label="n"><div>7</div></td>' in html
    assert "<p>Because &lt;so&gt;.</p>" in html
    assert "<pre>one\ntwo</pre>" in html


def test_several_seeds_are_a_mean_with_their_spread_and_each_is_folded_below(tmp_path):
    floor = {"floor_of": "two sets of real data", "rivals": {"gaussian_fit": 0.5}}
    cells = [
        cell(seed=k, questions=(question(scores=(score(value=v, floor=0.1 + 0.01 * k, **floor),)),))
        for k, v in enumerate((0.2, 0.3, 0.4))
    ]
    facts = run(*cells)
    page = page_of(tmp_path, facts)
    place(
        page,
        "with 3 seeds",
        "Over 3 seeds",
        "Spread of the seeds",
        "Seed 2",
        "seeds 0, 1 and 2",
    )
    assert "0.300 ± 0.058" in page.text  # 0.1 / sqrt 3
    assert re.search(r"0\.300 ± 0\.058 ↓\s*0\.10", page.text)
    assert "0.1100 ± 0.0058" in page.text
    assert page.text.count("1,437") == 2  # the data are told once, and in the summary
    assert len([a for a in page.all("details") if "open" in a]) == 1
    assert (tmp_path / "figures" / "seed1-closeness-b_c.png").is_file()
    assert dict(front_of(facts))["How good it is"].count("is 0.300 ± 0.058 data units") == 1


def test_terms_are_only_those_that_occur(tmp_path):
    terms = page_of(tmp_path, run()).text.rpartition("Terms")[2]
    assert "Gaussian fit" in terms
    assert "CRPS" not in terms
    asked = question(scores=(score(title="CRPS", rivals={"gaussian_fit": 0.5}),))
    assert "CRPS" in page_of(tmp_path, run(cell(questions=(asked,)))).text.rpartition("Terms")[2]


# --- figures and sounds --------------------------------------------------------------------------------------


def test_a_figure_is_told_in_words():
    assert described(figure()) == "left, height against time (s), the method."


def test_panels_stand_for_themselves_unless_they_share_a_legend():
    parts = list(panels_of(figure(panels=4)))
    assert [len(part.panels) for part in parts] == [1, 1, 1, 1]
    assert all(200 <= part.width <= 260 for part in parts)
    assert [len(part.panels) for part in panels_of(replace(figure(panels=4), legend_columns=2))] == [4]


@pytest.mark.parametrize(("panels", "across"), [(2, 2), (3, 3), (4, 4), (5, 3), (6, 3), (8, 4)])
def test_panels_stand_in_rows_that_are_as_equal_as_may_be(tmp_path, panels, across):
    shown = Embedded(tmp_path, dpi=20, dark=False).show(figure(panels=panels))
    most, whole = (int(found) for found in re.search(r"--most: (\d+)px; max-width: (\d+)px", shown).groups())
    assert whole == across * (most + 20)
    assert across * (most + 20) <= 940


def test_sound_is_a_wav_file_of_its_rate_that_is_never_clipped_and_is_cut_where_it_is_long(tmp_path):
    with wave.open(io.BytesIO(wav(np.array([0.0, 2.0, -1.0]), 8000))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [0, 32767, -16384]
    long = Series(mark="audio", arrays={"samples": np.zeros(9000), "rate": 1000.0}, name="noise")
    shown = Embedded(tmp_path, dpi=40, dark=False, seconds=2.0).show(
        Figure(name="a", panels=(Panel(series=(long,)),))
    )
    data = re.search(r'data:audio/wav;base64,([^"]+)"', shown)[1]
    with wave.open(io.BytesIO(base64.b64decode(data))) as file:
        assert file.getnframes() == 2000
    assert "noise, the first 2 s" in shown


def test_a_huge_ratio_is_only_said_to_be_huge():
    assert [times(ratio) for ratio in (1.31, 12.0, 9999.0, 1e53)] == [
        "1.3×",
        "12×",
        "9999×",
        "more than 10 000×",
    ]


def test_weights_and_settings_are_no_curves_of_a_loss():
    rows = [{"step": k, "loss": 1 / k, "eps": 10.0, "w_min": 0.5 / k} for k in range(1, 5)]
    figure = loss_figure([StageFacts(name="window", history=rows, seconds=1.0)])
    assert {series.name for series in figure.panels[0].series} == {"", "loss"}
