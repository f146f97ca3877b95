"""What a release needs: one source of names and addresses, agreeing versions and dependencies, notes, archives."""

import io
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

import interpolants
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import Linear
from rings import ABSENT

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / ".ci"))

import release_check as release  # noqa: E402

FIELDS = LearnedFields(Linear(), velocity=lambda x, t: x, noise=lambda x, t: x)
FILLED = {
    "version": "9.8.7",
    "date": "2031-01-02",
    "repository": "https://github.com/owner/name",
    "documentation": "https://name.example.org/en/stable",
    "pypi": "interpolants",
    "image": "registry.example.org/owner/name",
    "feedstock": "https://github.com/conda-forge/name-feedstock",
    "maintainers": ["somebody", "another"],
    "conduct": "reports@example.org",
    "authors": [
        {"given": "Ada", "family": "Lovelace", "orcid": "0000-0000-0000-000X"},
        {"given": "Emmy", "family": "Noether"},
    ],
}
# Addresses of this project, of any owner, with what must be in release.toml for a file to state them.
ADDRESSES = r"github\.com/[A-Za-z0-9_-]+/interpolants|interpolants[a-z-]*\.readthedocs|ghcr\.io/|docker\.io/|pypi\.org/(p|project)/interpolants|anaconda\.org/|orcid\.org/0"  # noqa: E501


def text(file):
    return (ROOT / file).read_text("utf-8")


def pyproject():
    return tomllib.loads(text("pyproject.toml"))


def conda_recipe():
    """The recipe without its template: ``{% set %}`` lines go, and ``{{ name }}`` is a word."""
    plain = re.sub(r"\{%.*?%\}", "", text("conda/meta.yaml"))
    return yaml.safe_load(re.sub(r"\{\{\s*(\w+)\s*\}\}", r"\1", plain))


def test_files_carry_what_release_toml_has():
    values = release.read()
    assert list(release.stale_files(values)) == [], "run python .ci/release_check.py --write"
    assert release.library_version() == interpolants.__version__
    assert yaml.safe_load(text("CITATION.cff"))["version"] == release.carried_version(values)


def test_an_empty_value_is_named_with_the_files_that_carry_it():
    values = FILLED | {"conduct": "", "authors": []}
    assert list(release.empty_entries(values)) == [
        ".ci/release.toml: conduct is empty; carried by CODE_OF_CONDUCT.md",
        ".ci/release.toml: authors is empty; carried by pyproject.toml, CITATION.cff",
    ]
    carried = {entry for part in release.CARRIED for entry in part.entries}
    assert carried == FILLED.keys() - {"version"}


def test_every_value_reaches_the_files_that_carry_it():
    texts = release.written(FILLED)
    assert list(release.empty_entries(FILLED)) == []
    for part in release.CARRIED:
        for entry in part.entries:
            value = FILLED[entry]
            for shown in [value] if isinstance(value, str) else [*value]:
                shown = shown["family"] if isinstance(shown, dict) else shown
                assert shown in texts[part.file], f"{part.file}: {entry}"
    assert '__version__ = "9.8.7"' in texts[release.VERSION]
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    assert project["authors"] == [{"name": "Ada Lovelace"}, {"name": "Emmy Noether"}]
    assert project["urls"]["Documentation"] == "https://name.example.org/en/stable/docs/index.html"
    citation = yaml.safe_load(texts["CITATION.cff"])
    assert citation["authors"][0]["orcid"] == "https://orcid.org/0000-0000-0000-000X"
    workflow = yaml.safe_load(texts[".github/workflows/release.yml"])
    assert workflow["jobs"]["publish"]["environment"]["url"] == "https://pypi.org/p/interpolants"
    assert len(yaml.safe_load(texts[".github/ISSUE_TEMPLATE/config.yml"])["contact_links"]) == 2


def test_a_second_writing_changes_nothing(tmp_path):
    for file, new in release.written(FILLED).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(new, "utf-8")
    assert list(release.stale_files(FILLED, tmp_path)) == []
    (tmp_path / "Dockerfile").write_text(text("Dockerfile"), "utf-8")
    (stale,) = release.stale_files(FILLED, tmp_path)
    assert stale.startswith("Dockerfile: does not agree with .ci/release.toml")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("version", "0.2"),
        ("date", "24.12.2026"),
        ("repository", "http://github.com/owner/name"),
        ("repository", "https://github.com/owner/name/"),
        ("documentation", "name.example.org"),
        ("image", "https://registry.example.org/name"),
        ("image", "registry.example.org/name:latest"),
        ("conduct", "somebody"),
        ("maintainers", ["two words"]),
        ("authors", [{"given": "Ada"}]),
        ("authors", [{"given": "Ada", "family": "Lovelace", "orcid": "1234"}]),
    ],
)
def test_a_value_without_its_form_is_refused(tmp_path, entry, value):
    path = tmp_path / "release.toml"
    path.write_text(
        "".join(f"{name} = {toml(v)}\n" for name, v in (FILLED | {entry: value}).items()), "utf-8"
    )
    with pytest.raises(SystemExit, match=r"release_check: .*got"):
        release.read(path)


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f'{key} = "{v}"' for key, v in value.items()) + " }"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else f'"{value}"'


def test_an_unknown_entry_is_refused(tmp_path):
    path = tmp_path / "release.toml"
    path.write_text("".join(f"{name} = {toml(v)}\n" for name, v in FILLED.items()), "utf-8")
    assert release.read(path) == FILLED
    path.write_text(path.read_text("utf-8") + 'homepage = "https://name.example.org"\n', "utf-8")
    with pytest.raises(SystemExit, match="homepage"):
        release.read(path)


def test_no_file_states_an_address_by_hand():
    listed = subprocess.run(["git", "grep", "-nIE", ADDRESSES], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode > 1:
        pytest.skip("not a git checkout")
    values = [value for value in release.read().values() if isinstance(value, str) and value]
    lines = [
        line for line in listed.stdout.splitlines() if not line.startswith(("tests/test_release.py:", ".ci/"))
    ]
    assert [line for line in lines if not any(value in line for value in values)] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"version": "9.8.8"}, "the version must be 9.8.8, got 9.8.7"),
        ({"pypi": "other"}, "pypi must be the name in pyproject.toml, 'interpolants', got 'other'"),
        ({"readme": "Version 9.7. Alpha.\n"}, "README.md: must include 'Version 9.8.'"),
        ({"tag": "v9.8.6"}, "the tag must be v9.8.7, got v9.8.6"),
    ],
)
def test_versions_that_differ_are_named(tmp_path, change, message):
    for file, new in (release.written(FILLED) | {"README.md": "Version 9.8. Alpha.\n"}).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(new, "utf-8")
    if "readme" in change:
        (tmp_path / "README.md").write_text(change["readme"], "utf-8")
    values = FILLED | {key: value for key, value in change.items() if key in FILLED}
    errors = list(
        release.wrong_versions(values, change.get("tag", "v9.8.7" if not change else None), tmp_path)
    )
    assert errors == [] if message is None else message in errors[0]


def test_notes_and_changelog_of_a_version(tmp_path):
    (tmp_path / "docs/release").mkdir(parents=True)
    (tmp_path / "changes").mkdir()
    page, changelog = tmp_path / "docs/release/9.8.7.md", tmp_path / "CHANGELOG.md"
    page.write_text("# Version 9.8.7\n", "utf-8")
    changelog.write_text(f"# Changelog\n\n{release.MARKER}\n\n## [9.8.7] - 2031-01-02\n", "utf-8")
    assert list(release.wrong_notes(FILLED, tmp_path)) == []
    page.write_text("# Version 9.8.6\n" + "\n" * release.LONGEST_NOTES, "utf-8")
    changelog.write_text("# Changelog\n\n## [Unreleased]\n", "utf-8")
    (tmp_path / "changes/few.fixed.md").write_text("A line.\n", "utf-8")
    errors = list(release.wrong_notes(FILLED, tmp_path))
    assert len(errors) == 6, errors
    assert [error.partition(":")[0] for error in errors] == [page.relative_to(tmp_path).as_posix()] * 2 + [
        "CHANGELOG.md"
    ] * 3 + ["changes/few.fixed.md"]
    page.unlink()
    assert "must exist" in next(release.wrong_notes(FILLED, tmp_path))


def test_the_notes_in_preparation_fit():
    values = release.read()
    assert [error for error in release.wrong_notes(values) if error.startswith("docs/release/")] == []


# Rows of the notes for code against 0.1: the words of the page, code that uses the old name, and the new name.
OLD_NAMES = (
    ("interpolants.bridges", "from interpolants.bridges import LightSB", "interpolants.methods"),
    ("interpolants.estimator", "from interpolants.estimator import Bridge", "interpolants.methods"),
    ("interpolants.discrete", "import interpolants.discrete", "generative.tokens.discrete"),
    ("interpolants.acceleration", "import interpolants.acceleration", "generative.acceleration"),
    ("interpolants.methods.LightSB", "from interpolants.methods import LightSB", "generative.schrodinger"),
    ("DenoiserLoss", "from interpolants.objectives import DenoiserLoss", "NoiseLoss"),
    ("DriftLoss", "from interpolants.objectives import DriftLoss", "MeanRateLoss"),
    ("fields.denoiser", "FIELDS.denoiser", "noise"),
    ("fields.drift", "FIELDS.drift", "mean_rate"),
    ("fields.endpoint1", "FIELDS.endpoint1", "denoised"),
    ("setting `learn` of `Bridge`", "itp.Bridge(learn='velocity')", "heads"),
    ("bridge.normaliser", "itp.Bridge().normaliser", "frame"),
    ("bridge.result", "itp.Bridge().result", "history"),
    ("bridge.settings", "itp.Bridge().settings", "bridge.steps"),
    ('method="denoise"', "sample(FIELDS, torch.zeros(1, 2), method='denoise')", "ddim"),
    ("setting `train` of `FlowMap`", "itp.FlowMap(train={'steps': 5})", "steps=500"),
    ("FlowMap.summary", "itp.FlowMap().summary", "agreement"),
    ("Forecaster.ensemble", "itp.Forecaster().ensemble", "forecast"),
    ("TokenBridge.infill", "itp.TokenBridge().infill", "complete"),
    ("setting `eps` of `CausalPINN`", "itp.CausalPINN(eps=(1.0, 10.0))", "steepness"),
    ("ConvergenceWarning", "from interpolants.foundations import ConvergenceWarning", "FitWarning"),
)


@pytest.mark.skipif(bool(ABSENT), reason="the notes name methods of every ring")
@pytest.mark.parametrize(("old", "code", "new"), OLD_NAMES, ids=[old for old, _, _ in OLD_NAMES])
def test_an_old_name_of_the_notes_is_refused_with_the_new_one(old, code, new):
    assert old in text("docs/release/0.2.0.md"), "the notes no longer have it"
    names = {"itp": interpolants, "FIELDS": FIELDS, "sample": sample, "torch": torch}
    with pytest.raises((ImportError, AttributeError, InvalidInputError)) as caught:
        exec(code, names)
    assert new in str(caught.value)


def test_the_page_on_pypi_leads_to_the_repository():
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    import readme

    page = "![hero](docs/images/hero.png), [how to](docs/howto.md#a), [here](#b), [arXiv](https://arxiv.org/abs/1)"
    assert readme.with_links(page, "", "v9.8.7") == page
    assert readme.with_links(page, "https://github.com/owner/name", "v9.8.7") == (
        "![hero](https://raw.githubusercontent.com/owner/name/v9.8.7/docs/images/hero.png), "
        "[how to](https://github.com/owner/name/blob/v9.8.7/docs/howto.md#a), [here](#b), [arXiv](https://arxiv.org/abs/1)"
    )


def test_conda_has_the_dependencies_of_pyproject():
    project, recipe = pyproject(), conda_recipe()
    renamed = {"torch": "pytorch", "pyyaml": "pyyaml"}
    expected = {f"python {project['project']['requires-python']}"}
    for requirement in project["project"]["dependencies"]:
        name, bound = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
        expected.add(f"{renamed.get(name.lower(), name.lower())} {bound}")
    assert set(recipe["requirements"]["run"]) == expected
    host = {line.replace(" ", "") for line in recipe["requirements"]["host"]} - {"pip"}
    assert host == {f"python{project['project']['requires-python']}", *project["build-system"]["requires"]}
    scripts = {f"{name} = {target}" for name, target in project["project"]["scripts"].items()}
    assert set(recipe["build"]["entry_points"]) == scripts
    assert recipe["about"]["license"] == project["project"]["license"]
    assert recipe["about"]["summary"] == project["project"]["description"]


def test_the_image_and_the_site_install_extras_that_exist():
    project, dockerfile = pyproject()["project"], text("Dockerfile")
    extras = re.search(r"ARG EXTRAS=(\S+)", dockerfile)[1]
    assert extras == re.search(r"USER_EXTRAS := (\S+)", text("Makefile"))[1]
    site = re.search(r"\.\[([\w,]+)\]", text(".readthedocs.yaml"))[1]
    assert {*extras.split(","), *site.split(",")} <= project["optional-dependencies"].keys()
    supported = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if "Python :: 3." in line]
    assert re.search(r"ARG PYTHON=(\S+)", dockerfile)[1] in supported
    assert yaml.safe_load(text(".readthedocs.yaml"))["build"]["tools"]["python"] in supported
    # Packages by name: PyTorch, for its index. All others follow from pyproject.toml.
    assert re.findall(r"pip install ([a-z]\S*)", dockerfile) == ["torch"]
    kept = [line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")]
    included = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        *included["force-include"],
        *project["license-files"],
        *(".ci/readme.py", ".ci/release.toml", "README.md"),  # the page on PyPI
        "pyproject.toml",
        "src",
    }
    assert set(kept) == needed


def test_the_workflow_publishes_only_what_was_checked():
    workflow = yaml.safe_load(text(".github/workflows/release.yml"))
    assert workflow[True] == {"push": {"tags": ["v*"]}}, "YAML 1.1 reads the key `on` as True"
    jobs = workflow["jobs"]
    assert set(jobs["publish"]["needs"]) == {"build", "bare"}
    assert jobs["bare"]["needs"] == "build"
    commands = [step.get("run", "") for step in jobs["build"]["steps"]]
    assert 'python .ci/release_check.py --tag "$GITHUB_REF_NAME" --dist dist' in commands
    versions = [f"python{version}" for version in jobs["bare"]["strategy"]["matrix"]["python"]]
    assert versions == list(release.PYTHONS)
    classifiers = [line for line in pyproject()["project"]["classifiers"] if "Python :: 3." in line]
    assert [line.rsplit(" ", 1)[1] for line in classifiers] == jobs["bare"]["strategy"]["matrix"]["python"]
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    assert "secrets." not in text(".github/workflows/release.yml")
    assert "python .ci/bare.py dist/*" in jobs["bare"]["steps"][-1]["run"]
    assert ".ci/bare.py" in text(".ci/run")


def test_every_file_with_a_schema_is_yaml():
    for file in release.SCHEMAS:
        assert isinstance(yaml.safe_load(text(file)), dict), file
    forms = {f".github/ISSUE_TEMPLATE/{path.name}" for path in (ROOT / ".github/ISSUE_TEMPLATE").iterdir()}
    assert forms <= release.SCHEMAS.keys()


def test_fragments_have_a_kind_that_towncrier_gathers():
    settings = pyproject()["tool"]["towncrier"]
    kinds = [kind["directory"] for kind in settings["type"]]
    assert all(f"`{kind}`" in text("changes/README.md") for kind in kinds)
    assert settings["start_string"] == release.MARKER + "\n"
    for path in release.fragments():
        assert re.fullmatch(rf"\w[\w-]*\.({'|'.join(kinds)})(\.\d+)?\.md", path.name), path.name
        assert re.fullmatch(r"[^-\s][^\n]*\n", path.read_text("utf-8")), (
            f"{path.name}: one line without a dash"
        )


def test_archives_hold_the_tracked_files_and_nothing_else(tmp_path):
    files = {"LICENSE", "src/interpolants/py.typed", "src/interpolants/a.card.toml", "recipes/demo.toml"}
    sdist = tmp_path / "interpolants-9.8.7.tar.gz"
    with tarfile.open(sdist, "w:gz") as opened:
        for name in [*sorted(files - {"src/interpolants/py.typed"}), "PKG-INFO", "runs/mine/model.json"]:
            opened.addfile(tarfile.TarInfo(f"interpolants-9.8.7/{name}"), io.BytesIO())
    assert [error.split(": ")[1] for error in release.wrong_sdist(sdist, files)] == [
        "must contain src/interpolants/py.typed",
        "must not contain runs/mine/model.json",
    ]
    wheel = tmp_path / "interpolants-9.8.7-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        for name in ("py.typed", "recipes/demo.toml", "references.bib", "notes.txt"):
            opened.writestr(f"interpolants/{name}", "")
        opened.writestr("interpolants-9.8.7.dist-info/METADATA", "")
        opened.writestr("interpolants-9.8.7.dist-info/licenses/LICENSE", "")
    assert [error.split(": ")[1] for error in release.wrong_wheel(wheel, files, "9.8.7")] == [
        "must contain interpolants/a.card.toml",
        "must not contain interpolants/notes.txt",
    ]


def test_lessons_become_notebooks():
    pytest.importorskip("jupytext", reason="jupytext is not installed")
    from docs import notebooks

    assert len(notebooks.LESSONS) == 5
    for lesson in notebooks.LESSONS:
        converted = notebooks.notebook(lesson, "")
        kinds = [cell.cell_type for cell in converted.cells]
        assert kinds.count("code") == lesson.read_text("utf-8").count("```{code-cell}") + 1
        assert converted.cells[0].source.startswith("# ")
        assert "%pip install" in converted.cells[1].source
        sources = "".join(cell.source for cell in converted.cells if cell.cell_type == "markdown")
        assert not re.search(r"\]\((?!https?:)", sources), "a relative link leads nowhere in a notebook"
        compile(converted.cells[2].source, lesson.name, "exec")


def test_links_and_buttons_of_a_notebook(monkeypatch):
    pytest.importorskip("jupytext", reason="jupytext is not installed")
    from docs import notebooks

    page = "See [how](../howto.md#own-data), [lesson](3_ode_or_sde.md) and [arXiv](https://arxiv.org/abs/2303.08797)."
    site = "https://name.example.org"
    assert notebooks.with_links(page, "") == "See how, lesson and [arXiv](https://arxiv.org/abs/2303.08797)."
    assert notebooks.with_links(page, site).startswith(
        f"See [how]({site}/docs/howto.html#own-data), [lesson]({site}/docs/learn/3_ode_or_sde.html) and"
    )
    lesson = "---\nfile_format: mystnb\n---\n\n# 1. Title\n\nText.\n# no title\n"
    monkeypatch.setattr(notebooks, "addresses", lambda: {"repository": ""})
    shown = notebooks.buttons("1_title", lesson)
    assert shown.count("Download as a notebook") == 1
    assert "Colab" not in shown
    monkeypatch.setattr(notebooks, "addresses", lambda: {"repository": "https://github.com/owner/name"})
    opened = "https://colab.research.google.com/github/owner/name/blob/notebooks/1_title.ipynb"
    assert f"[Open in Colab]({opened})" in notebooks.buttons("1_title", lesson)
