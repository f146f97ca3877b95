"""The documentation site: it builds without a warning, leads everywhere, and everyday questions find their page."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import snowballstemmer
from docs import cards_in_reference

import interpolants
import interpolants.methods
from interpolants.foundations.cards import load_cards

ROOT = Path(__file__).parents[1]
SOURCE = Path(interpolants.__file__).parent
# What people type, and a page that must be among the hits.
QUESTIONS = {
    "own data": "docs/howto",
    "own network": "docs/howto",
    "own path": "docs/howto",
    "log-likelihood": "docs/howto",
    "faster": "docs/howto",
    "many processes": "docs/howto",
    "export": "docs/howto",
    "DataFrame": "docs/howto",
    "noise level": "docs/choose",
    "solver": "docs/choose",
    "few evaluations": "docs/choose",
    "coupling": "docs/choose",
    "which path": "docs/which_bridge",
    "which sampler": "docs/which_bridge",
    "compare bridges": "docs/which_bridge",
    "unrelated sets": "docs/choose",
    "likelihood": "docs/choose",
    "conditional": "docs/methods/guidance",
    "guidance": "docs/methods/guidance",
    "labels": "docs/methods/guidance",
    "in-painting": "docs/methods/couplings_from_data",
    "super-resolution": "docs/methods/couplings_from_data",
    "forecast": "docs/methods/forecasting",
    "ensemble": "docs/methods/forecasting",
    "reliable": "docs/methods/forecasting",
    "barycentre": "docs/methods/multimarginal",
    "simplex": "docs/methods/multimarginal",
    "Schrodinger bridge": "docs/methods/schrodinger_bridges",
    "resample": "docs/methods/mirror",
    "ancestral": "docs/methods/score_sde",
    "flow matching": "docs/glossary",
    "diffusion": "docs/glossary",
    "score": "docs/glossary",
    "seed": "docs/design/0002-noise-belongs-to-a-sample",
    "batch size": "docs/design/0002-noise-belongs-to-a-sample",
    "pickle": "docs/design/0003-one-file-format",
    "error control": "docs/design/0004-own-solvers",
    "card": "docs/design/0005-cards",
    "add a method": "CONTRIBUTING",
    "overhead": "BENCHMARKS",
    "checkerboard": "studies/checkerboard/README",
    "resume": "docs/howto",
    "checkpoint": "docs/reference/training",
    "save": "docs/howto",
    "changelog": "CHANGELOG",
    "browser": "docs/explorer",
    "xarray": "docs/howto",
    "DataLoader": "docs/howto",
    "check": "docs/howto",
    "scientific computing": "docs/glossary",
    "DDIM": "docs/glossary",
    "prediction type": "docs/glossary",
    "latent noise": "docs/glossary",
    "getting started": "docs/learn/README",
    "eps": "docs/learn/3_ode_or_sde",
    "images": "docs/learn/5_conditions_and_images",
    "memorisation": "docs/learn/5_conditions_and_images",
    "integrate to one": "docs/learn/4_likelihoods",
}
# Where a page must be the first hit: the lessons where they are the better answer, and what names its page.
FIRST = {
    "two arrays": "docs/learn/2_two_arrays",
    "ODE or SDE": "docs/learn/3_ode_or_sde",
    "likelihoods you can trust": "docs/learn/4_likelihoods",
    "conditions and images": "docs/learn/5_conditions_and_images",
    "regression": "docs/learn/1_what_a_bridge_is",
    "is it good": "docs/learn/2_two_arrays",
    "tutorial": "docs/learn/README",
    "torchcfm": "docs/coming_from/torchcfm",
    "diffusers": "docs/coming_from/diffusers",
    "azula": "docs/coming_from/azula",
    "sbi": "docs/coming_from/sbi",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    words = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-c",
        "docs",
        ".",
        str(out),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_every_subpackage_has_a_page_of_its_names():
    pages = {page.stem for page in (ROOT / "docs" / "reference").glob("*.md")}
    public = {folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").exists()}
    assert public - pages == {"foundations", "cli", "reports", "runs", "bridges", "estimator"}, (
        "a page, or a reason why there is none"
    )


@pytest.mark.parametrize(
    "card",
    [c for c in load_cards("interpolants") if c.entry.split(".")[1] in ("methods", "sciml", "apps")],
    ids=lambda card: card.id,
)
def test_every_method_and_question_is_in_the_reference(card):
    module, _, name = card.entry.partition(":")
    page = (ROOT / "docs" / "reference" / f"{module.split('.')[1]}.md").read_text("utf-8")
    assert (
        f"automodule:: {module}\n" in cards_in_reference.expand(page) or name in interpolants.methods.__all__
    )


@pytest.mark.slow  # about 15 s
def test_links_lead_somewhere(site):
    pages = {page: Links.of(page) for page in site.rglob("*.html")}
    assert len(pages) > 40
    for page, found in pages.items():
        for target in found.targets:
            place, _, anchor = target.partition("#")
            place = place.partition("?")[0]
            if "://" in place or place.startswith(("mailto:", "data:")):
                continue
            file = (page.parent / place).resolve() if place else page
            assert file.exists(), f"{page.relative_to(site)} links to {target}"
            if anchor and file in pages:
                assert anchor in pages[file].anchors, f"{page.relative_to(site)} links to {target}"


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS)
def test_everyday_questions_find_their_page(site, question):
    assert QUESTIONS[question] in search(site, question)


@pytest.mark.slow
@pytest.mark.parametrize("question", FIRST)
def test_some_questions_find_their_page_first(site, question):
    assert search(site, question)[0] == FIRST[question]


class Links(HTMLParser):
    """Where a page leads, and where it can be entered."""

    def __init__(self):
        super().__init__()
        self.targets, self.anchors = set(), set()

    @classmethod
    def of(cls, page):
        parser = cls()
        parser.feed(page.read_text("utf-8"))
        return parser

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(given["id"])
        for key in ("href", "src"):
            if given.get(key):
                self.targets.add(given[key])


def search(site, question):
    """Pages that hold all words of a question, best first: what the site's own search weighs, titles before text."""
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    stem = snowballstemmer.stemmer("english").stemWord
    scores = []
    for word in re.findall(r"\w+", question.lower()):
        own = dict.fromkeys(as_list(index["terms"].get(stem(word), [])), 5)
        own |= dict.fromkeys(as_list(index["titleterms"].get(stem(word), [])), 15)
        if own:  # words such as "a" are not indexed
            scores.append(own)
    common = set.intersection(*map(set, scores)) if scores else set()
    ranked = sorted(common, key=lambda page: -sum(score[page] for score in scores))
    return [index["docnames"][page] for page in ranked]


def as_list(pages):
    return pages if isinstance(pages, list) else [pages]
