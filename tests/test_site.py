"""The documentation site: it builds without a warning, leads everywhere, and everyday questions find their page."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from docs import cards_in_reference, method_pages, site_search

import interpolants
import interpolants.methods
from everyday_questions import FIFTY
from interpolants.foundations.cards import load_cards
from interpolants.foundations.rings import RINGS
from interpolants.runs.search import find
from rings import ABSENT

ROOT = Path(__file__).parents[1]
SOURCE = Path(interpolants.__file__).parent
MENU = 50  # 46 on a full page: own data, questions, comparison, growth and trained models are new
# What people type, and a page that must be among the first twenty results.
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
    "conditional": "docs/families/conditions",
    "guidance": "docs/methods/guidance",
    "labels": "docs/learn/5_conditions_and_images",
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
    "seed": "docs/glossary",
    "batch size": "docs/glossary",
    "pickle": "docs/design/0003-one-file-format",
    "error control": "docs/design/0004-own-solvers",
    "card": "docs/design/0005-cards",
    "add a method": "CONTRIBUTING",
    "overhead": "BENCHMARKS",
    "checkerboard": "studies/checkerboard/README",
    "resume": "docs/howto",
    "checkpoint": "docs/scale",
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

# Whole questions of newcomers, and the page that must be among the first three results.
NEWCOMERS = {
    "how do I install it": "docs/index",
    "how do I train on my own data": "docs/howto",
    "can I use a pandas DataFrame": "docs/howto",
    "my data do not fit into memory": "docs/howto",
    "which path should I choose": "docs/choose",
    "which solver should I use": "docs/choose",
    "how many steps do I need": "docs/choose",
    "how do I sample faster": "docs/howto",
    "generate images by class label": "docs/learn/5_conditions_and_images",
    "how to use a GPU": "docs/howto",
    "resume an interrupted training": "docs/howto",
    "train longer": "docs/howto",
    "save and load a model": "docs/howto",
    "is my model any good": "docs/learn/2_two_arrays",
    "log-likelihood of a new point": "docs/howto",
    "overfitting with few rows": "docs/howto",
    "what is eps": "docs/learn/3_ode_or_sde",
    "how do I choose the noise level": "docs/howto",
    "fill in missing values": "docs/questions",  # its row leads to docs/methods/completion
    "impute gaps in a time series": "docs/methods/self_guided_diffusion",
    "forecast the next state": "docs/methods/forecasting",
    "forecast trajectories of particles": "docs/methods/geometric_diffusion",
    "inpainting": "docs/methods/couplings_from_data",
    "deblur an image": "docs/methods/inverse_problems",
    "optimal transport between two samples": "docs/families/two_distributions",
    "schrödinger bridge": "docs/methods/schrodinger_bridges",
    "classifier-free guidance": "docs/methods/guidance",
    "use my own neural network": "docs/howto",
    "what does the report mean": "docs/reports",
    "I come from flow matching": "docs/coming_from/flow_matching",
    "generate text": "docs/methods/masked_diffusion",
    "single-cell trajectories over several time points": "docs/methods/multimarginal",
    "export to ONNX": "docs/howto",
    "solve a differential equation with a neural network": "docs/families/scientific",
    "command line": "docs/howto",
    "images 28x28": "docs/methods/images",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: the one in the folder that INTERPOLANTS_SITE names, or one made here in some minutes."""
    if built := os.environ.get("INTERPOLANTS_SITE"):
        return Path(built)
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
    [c for c in load_cards("interpolants") if c.entry.split(".")[1] in ("methods", *RINGS)],
    ids=lambda card: card.id,
)
def test_every_method_and_question_is_in_the_reference(card):
    module = card.entry.partition(":")[0]
    if card.id in method_pages.methods():
        page = f"classes/{card.id}"
        assert f"{{{{ class {card.id} }}}}" in (ROOT / "docs" / "reference" / f"{page}.md").read_text("utf-8")
        return
    page = "rivals" if ".rivals." in module else module.split(".")[1]
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text("utf-8")
    assert f"automodule:: {module}\n" in cards_in_reference.expand(text)


def test_pages_made_from_cards_are_up_to_date():
    spec = importlib.util.spec_from_file_location("methods", ROOT / "docs" / "methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.stale() == [], "run python docs/methods.py"


@pytest.mark.parametrize("id", method_pages.methods())
def test_the_page_of_a_class_has_an_example_from_a_page_that_is_run(id):
    name = method_pages.methods()[id].entry.partition(":")[2]
    assert method_pages.example(name) is not None, f"a block of Python on a page that makes a {name}"
    assert "## Example" in method_pages.expand(f"{{{{ class {id} }}}}")


def test_a_page_and_a_class_that_no_family_names_are_in_the_menu(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "images"))
    monkeypatch.setattr(method_pages, "DOCS", tmp_path / "docs")
    before = method_pages.unnamed()
    (tmp_path / "docs" / "methods" / "brand_new.md").write_text("# New\n", "utf-8")
    family = tmp_path / "docs" / "families" / "few_evaluations.md"
    family.write_text(family.read_text("utf-8").replace("flow_map, rectification,", "flow_map,"), "utf-8")
    expected = [*sorted([*before, "brand_new"]), "../reference/classes/rectification"]
    assert method_pages.unnamed() == expected


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
def test_the_menu_shows_fewer_than_fifty_entries_on_every_page(site):
    for page in site.rglob("*.html"):
        assert Menu.of(page).visible < MENU, page.relative_to(site)


@pytest.mark.slow
def test_the_first_page_says_how_to_install(site):
    text = re.sub(r"<[^>]*>", "", (site / "docs" / "index.html").read_text("utf-8"))
    assert "pip install" in text


@pytest.fixture(scope="module")
def find_index(tmp_path_factory):
    """The index of ``find`` as the site has it, without addresses of documented objects."""
    path = tmp_path_factory.mktemp("index") / "find_index.js"
    site_search.write(path, {})
    return path


def test_the_page_of_the_search_ranks_as_find_does(find_index):
    questions = [*FIFTY, "Schrödinger", "a_b-c of the", "résumé training", "how do I", "to be or not to be"]
    for question, ranked in zip(questions, in_node(ANSWERS, find_index, questions), strict=True):
        found = find(question, limit=1000) if ranked else []
        assert [(r.kind, r.id) for r in found] == [(kind, id) for kind, id, _, _ in ranked], question
        assert [r.score for r in found] == pytest.approx([score for _, _, score, _ in ranked]), question


@pytest.mark.skipif(bool(ABSENT), reason="answers lie in all rings")
def test_the_page_of_the_search_shows_the_first_answers_of_find(find_index):
    for question, ranked in zip(FIFTY, in_node(SHOWN, find_index, list(FIFTY)), strict=True):
        first = [(r.kind, r.id) for r in find(question, limit=3)]
        assert ranked, question
        assert [(kind, id) for kind, id, _, _ in ranked] == first[: len(ranked)], question


def test_words_in_passing_are_no_answer_on_the_page_of_the_search(find_index):
    assert in_node(SHOWN, find_index, ["command line", "add a method", "xyzzyqwv", "how do I"]) == [
        [],
        [],
        [],
        [],
    ]


def test_answers_on_the_page_of_the_search_lead_to_pages(find_index):
    text = find_index.read_text("utf-8")
    entries = json.loads(text[text.index("{") : text.rindex(";")])["entries"]
    for entry in entries:
        page = entry["address"].partition("#")[0]
        assert (ROOT / f"{page}.md").exists(), entry["address"]


@pytest.mark.slow
def test_answers_lead_to_the_documentation_of_their_members(site):
    text = (site / "_static" / "find_index.js").read_text("utf-8")
    entries = json.loads(text[text.index("{") : text.rindex(";")])["entries"]
    anchors = {}
    for entry in entries:
        page, _, anchor = entry["address"].partition("#")
        if page not in anchors:
            anchors[page] = Links.of(site / f"{page}.html").anchors
        assert not anchor or anchor in anchors[page], entry["address"]
    tables = [
        e["id"] for e in entries if e["kind"] == "method" and e["address"].startswith("docs/methods/README")
    ]
    assert tables == [], "methods without documentation of their class"


@pytest.mark.slow
def test_everyday_questions_find_their_page(site):
    assert missed(site, QUESTIONS, 20) == {}


@pytest.mark.slow
def test_some_questions_find_their_page_first(site):
    assert missed(site, FIRST, 1) == {}


@pytest.mark.slow
def test_whole_questions_of_newcomers_find_their_page_among_the_first_three(site):
    assert len(NEWCOMERS) >= 30
    assert missed(site, NEWCOMERS, 3) == {}


@pytest.mark.slow
def test_a_search_for_nonsense_finds_nothing_and_a_spare_word_does_no_harm(site):
    assert ask(site, ["xyzzyqwv"]) == [[]]
    with_word, without = ask(site, ["classifier-free guidance xyzzyqwv", "classifier-free guidance"])
    assert with_word == without


class Menu(HTMLParser):
    """Entries of the menu at the side of a page: those of the first level, and those below entries that are open."""

    def __init__(self):
        super().__init__()
        self.open, self.inside, self.visible = [], False, 0

    @classmethod
    def of(cls, page):
        parser = cls()
        parser.feed(page.read_text("utf-8"))
        return parser

    def handle_starttag(self, tag, attrs):
        kind = (dict(attrs).get("class") or "").split()
        self.inside |= "sidebar-tree" in kind
        if tag == "li" and any(name.startswith("toctree-l") for name in kind) and self.inside:
            self.visible += all(self.open)
            self.open.append("current" in kind)

    def handle_endtag(self, tag):
        if tag == "li" and self.open:
            self.open.pop()
        self.inside &= tag != "aside"


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


# The site's own search, run outside a browser on the index of the built site.
SEARCH = """
const fs = require("fs"), vm = require("vm"), site = process.argv[1];
const page = vm.createContext({});
page.window = page;
for (const file of ["language_data.js", "find_index.js", "search.js"])
  vm.runInContext(fs.readFileSync(`${site}/_static/${file}`, "utf8"), page);
const text = fs.readFileSync(`${site}/searchindex.js`, "utf8");
page.index = JSON.parse(text.slice(text.indexOf("(") + 1, text.lastIndexOf(")")));
page.questions = JSON.parse(fs.readFileSync(0, "utf8"));
const asked = `JSON.stringify(questions.map((question) => {
  const stemmer = new Stemmer();
  return SearchWords.rank(index, question, (word) => stemmer.stemWord(word)).map((found) => index.docnames[found[0]]);
}))`;
console.log(vm.runInContext(asked, page));
"""


# The answers of its page, from the index alone.
ANSWERS = """
const fs = require("fs"), vm = require("vm"), [index, script] = process.argv.slice(1);
const page = vm.createContext({});
for (const file of [index, script]) vm.runInContext(fs.readFileSync(file, "utf8"), page);
page.questions = JSON.parse(fs.readFileSync(0, "utf8"));
const asked = `JSON.stringify(questions.map((question) =>
  Answers.rank(FIND_INDEX, question).map((entry) => [entry.kind, entry.id, entry.score, entry.address])))`;
console.log(vm.runInContext(asked, page));
"""
SHOWN = ANSWERS.replace("Answers.rank", "Answers.shown")


def ask(site, questions):
    """Pages that the site's search gives for each question, best first."""
    return in_node(SEARCH, site, questions)


def in_node(program, place, questions):
    """What a program gives for questions."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the site's search is run by node, which is not installed")
    words = [node, "-e", program, str(place), str(ROOT / "docs" / "_static" / "search.js")]
    done = subprocess.run(words, input=json.dumps(questions), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def missed(site, wanted, within):
    """Questions whose page is not among the first results, with what is there instead."""
    found = dict(zip(wanted, ask(site, list(wanted)), strict=True))
    return {q: pages[: max(within, 3)] for q, pages in found.items() if wanted[q] not in pages[:within]}
