import base64
import itertools
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.reports import report as module
from interpolants.reports import write_report
from reports.synthetic import bare, digits, metric, moons, table, write_run

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
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_QUALITIES", ((60, True),))  # drawn three times as fast; the page is the same
        return write_report(write_run(tmp_path_factory.mktemp("runs") / "demo", [digits(), _small(table())]))


@pytest.fixture
def coarse(monkeypatch):
    """Small pictures, for tests that look at words."""
    monkeypatch.setattr(module, "_QUALITIES", ((40, False),))


def test_a_page_needs_nothing_but_itself(complete):
    page = Page(complete.read_text(encoding="utf-8"))
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag in ("img", "source"):
        for attributes in page.all(tag):
            assert (attributes.get("src") or attributes["srcset"]).startswith("data:image/png;base64,")
    assert all(a["href"].startswith(("#", "https://")) for a in page.all("a"))
    assert "url(" not in complete.read_text() and "@import" not in complete.read_text()  # noqa: PT018
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)


def test_every_picture_is_a_png_with_words_a_size_and_a_dark_twin(complete):
    page = Page(complete.read_text(encoding="utf-8"))
    pictures = page.all("img")
    assert len(pictures) >= 25
    for attributes in pictures:
        assert len(attributes["alt"]) > 20
        assert int(attributes["width"]) <= 480
        assert base64.b64decode(attributes["src"].partition(",")[2])[:4] == b"\x89PNG"
    assert len(page.all("source")) == len(pictures)


def test_headings_step_down_one_by_one(complete):
    page = Page(complete.read_text(encoding="utf-8"))
    levels = [int(name[1]) for name, _ in page.tags if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {a["href"][1:] for a in page.all("a") if a["href"][0] == "#"} <= set(ids)


def test_the_page_tells_what_a_paper_would(complete):
    text = Page(complete.read_text(encoding="utf-8")).text
    for part in (
        "This run learnt 2 bridges in 6 min 12 s", "Within 1.3× of what two halves of real data give.", "CC BY 4.0",
        "interpolants run --config recipes/digits.toml", "torch 2.10.0", "360 held-out images", "205,313 parameters",
        "round trip (warning)", "One start point, four noise levels", "96.4 ± 1.0 %", "(1 − t)",
    ):  # fmt: skip
        assert part in text, part


def test_figures_are_kept_as_files_for_other_pages(complete):
    names = {path.name for path in (complete.parent / "figures").iterdir()}
    assert {"digits-generation-samples-real.png", "digits-generation-samples-real-dark.png"} <= names
    assert {"flowers-marginal-1.png", "flowers-trajectory-eps0.png", "flowers-metrics.png"} <= names


def test_hostile_text_stays_text(tmp_path, coarse):
    evil = "</title><script>alert('x')</script><img src=x onerror=alert(1)>\"'&$\\frac{"
    task = _small(moons()) | {"name": "../../evil", "title": evil, "warnings": [evil], "classes": [evil]}
    task["path"] = {"kind": evil}
    task["metrics"] = [metric(title=evil, note=evil, baseline_name=evil, unit=evil)]
    task["checks"] = [{"name": evil, "verdict": evil, "value": evil, "limit": None, "message": evil}]
    task["data"]["x1"] |= {"name": evil, "licence": evil, "source": "javascript:alert(1)"}
    run = write_run(tmp_path / "run", [task], title=evil, command=evil, created=evil, versions={evil: evil})
    (run / "config.json").write_text(json.dumps({evil: evil}))
    html = write_report(run).read_text(encoding="utf-8")
    page = Page(html)
    assert "<script" not in html
    assert all(set(a) == {"src", "alt", "width", "height"} for a in page.all("img"))
    assert not any("javascript" in a["href"] for a in page.all("a"))
    assert page.text.count("<script>alert('x')</script>") > 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_missing_pieces_are_left_out_with_a_sentence(tmp_path, coarse):
    text = Page(write_report(write_run(tmp_path / "run", [bare()], seconds=None)).read_text()).text
    for sentence in (
        "The run stored no arrays for this task", "The run says nothing about its data.", "No loss curve was stored.",
        "The run does not describe its model.", "No metric was measured.", "was not checked in this run",
        "does not state where its data come from",
    ):  # fmt: skip
        assert sentence in text


@pytest.mark.parametrize("make", [digits, moons, table])
@pytest.mark.parametrize(
    "kept", [["real"], ["samples/eps=0"], ["trajectory/eps=1"], ["one_start/eps=0"], ["reverse"]]
)
def test_any_array_alone_makes_a_page(tmp_path, coarse, make, kept):
    tensors = {key: value for key, value in make()["tensors"].items() if key in kept}
    page = Page(write_report(write_run(tmp_path / "run", [bare() | {"tensors": tensors}])).read_text())
    assert bool(page.all("img")) == bool(set(tensors) - {"real", "reverse"})


@pytest.mark.parametrize("shape", [(1,), (3, 8, 8), (40,), (4, 5)])
def test_data_of_any_shape_make_a_page(tmp_path, coarse, shape):
    x = torch.randn(30, *shape, generator=torch.Generator().manual_seed(0))
    arrays = {"real": x, "start": x, "samples/eps=0": x, "one_start/eps=0": x, "transport_pairs_x0": x}
    arrays |= {
        "transport_pairs_x1": x,
        "reverse": x,
        "trajectory/eps=0": torch.stack([x, x]),
        "log_prob_train": x[:, 0],
    }
    task = bare() | {"tensors": arrays}
    page = Page(write_report(write_run(tmp_path / "run", [task])).read_text())
    assert len(page.all("img")) >= 4


def test_results_that_are_not_numbers_do_not_stop_a_report(tmp_path, coarse):
    task = _small(moons())
    task["metrics"] = [metric(value=None), metric(error=None, floor=None), {}, metric(value=1.2)]
    task["table_eps"] = [{"eps": 0.0}, {"eps": 1.0, "sliced_w2": None}]
    task["history"] = [{"step": 1, "loss": None}, {"step": 2, "loss": 1.0}]
    task["tensors"]["samples/eps=2"][0] = float("nan")
    task["tensors"]["log_prob_heldout"][0] = float("inf")
    text = Page(write_report(write_run(tmp_path / "run", [task])).read_text()).text
    assert "Not measured." in text
    assert "is no better than the trivial baseline." in text


@pytest.mark.slow
def test_three_tasks_at_full_quality_stay_well_below_five_megabytes(tmp_path):  # 15 s
    assert write_report(write_run(tmp_path / "run")).stat().st_size < 3_000_000


def test_a_page_that_grows_too_large_is_drawn_coarser(tmp_path, monkeypatch):
    task = {k: v for k, v in _small(moons()).items() if k not in ("metrics", "history")}
    task["tensors"] = {"real": task["tensors"]["real"]}
    run = write_run(tmp_path / "run", [task])
    monkeypatch.setattr(module, "_QUALITIES", ((200, True), (40, False)))
    full = len(write_report(run).read_bytes())
    monkeypatch.setattr(module, "LIMIT", full - 1)
    page = Page(write_report(run).read_text())
    assert page.all("img")
    assert not page.all("source")


def test_what_is_not_a_run_folder_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="run_folder must be an existing folder"):
        write_report(tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match=r"must hold results\.json"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InvalidInputError, match="must be JSON"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text('{"format": 9}')
    with pytest.raises(InvalidInputError, match=r"must have format 1, got 9"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text('{"tasks": [{"arrays": "../../etc/passwd"}]}')
    with pytest.raises(InvalidInputError, match="must lie inside the run folder"):
        write_report(tmp_path)


def _small(task):
    """Fewer noise levels are drawn faster; the pieces stay the same."""
    dropped = ("eps=0.5", "eps=1")
    task["tensors"] = {k: v for k, v in task["tensors"].items() if not k.endswith(dropped)}
    return task
