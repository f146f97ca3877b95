"""Check that a release is ready: names and addresses, versions, notes, changelog, sdist and wheel.

    python .ci/release_check.py                            names, versions, notes and changelog; needs no package
    python .ci/release_check.py --dist FOLDER [--bare]     also build, check and install both archives
    python .ci/release_check.py --write                    write the files that carry values of release.toml

release.toml is the only source of names and addresses. A file that carries them is written as a whole, or has a block
between the lines "release NAME: begin" and "release NAME: end". Every error is printed; the exit status is then 1.
"""

import argparse
import datetime
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bare

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ".ci/release.toml"
VERSION = "src/interpolants/foundations/version.py"
MARKER = "<!-- towncrier release notes start -->"
LONGEST_NOTES = 150  # lines
PYTHONS = ("python3.11", "python3.12", "python3.13")
# Schemas of check-jsonschema, by file.
SCHEMAS = {
    ".github/workflows/release.yml": "vendor.github-workflows",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/method.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    ".readthedocs.yaml": "vendor.readthedocs",
    "CITATION.cff": "vendor.citation-file-format",
}
_ADDRESS = r"https://[\w.-]+\.[a-z]{2,}(/[\w.~-]+)*"
_NAME = r"[A-Za-z0-9][\w.-]*"
FORMS = {
    "version": r"\d+\.\d+\.\d+",
    "date": r"\d{4}-\d\d-\d\d",
    "repository": r"https://github\.com/[\w-]+/[\w.-]+",
    "documentation": _ADDRESS,
    "pypi": _NAME,
    "image": r"[\w.-]+\.[a-z]{2,}(/[a-z0-9._-]+)+",
    "feedstock": _ADDRESS,
    "conduct": r"[^@\s<>]+@[\w-]+(\.[\w-]+)+",
}
Values = dict[str, Any]


@dataclass(frozen=True)
class Carried:
    """A text that follows from release.toml: a block of a file, or all of it if ``block`` is empty."""

    file: str
    block: str
    entries: tuple[str, ...]
    text: Callable[[Values], str]

    def put(self, old: str, values: Values) -> str:
        """The file with the text of these values."""
        if not self.block:
            return self.text(values)
        edges = re.search(
            rf"(?P<start>^[^\n]*release {self.block}: begin[^\n]*\n)(.*?)(?P<end>^[^\n]*release {self.block}: end)",
            old,
            re.MULTILINE | re.DOTALL,
        )
        if edges is None:
            raise SystemExit(f"release_check: {self.file} must have the block 'release {self.block}'")
        return old[: edges.end("start")] + self.text(values) + old[edges.start("end") :]


def read(path: Path = ROOT / SOURCE) -> Values:
    """The values of release.toml.

    Raises:
        SystemExit: If an entry is missing or unknown, or a value does not have its form.
    """
    values = tomllib.loads(path.read_text("utf-8"))
    expected = {*FORMS, "maintainers", "authors"}
    if wrong := sorted(expected ^ values.keys()):
        raise SystemExit(f"release_check: {SOURCE} must have the entries {sorted(expected)}, see {wrong}")
    for name, form in FORMS.items():
        _require(name, values[name], form)
    for name in values["maintainers"]:
        _require("maintainers", name, r"[\w-]+")
    for author in values["authors"]:
        if not {"given", "family"} <= author.keys() <= {"given", "family", "orcid"}:
            raise SystemExit(
                f"release_check: an author must have given, family and perhaps orcid, got {author}"
            )
        _require("orcid", author.get("orcid", ""), r"(\d{4}-){3}\d{3}[\dX]")
    if values["date"]:
        datetime.date.fromisoformat(values["date"])
    return values


def _require(name: str, value: object, form: str) -> None:
    if not isinstance(value, str) or (value and not re.fullmatch(form, value)):
        raise SystemExit(f"release_check: {name} of {SOURCE} must be empty or match {form}, got {value!r}")


def library_version(root: Path = ROOT) -> str:
    """The version in version.py, from which pyproject.toml takes its own."""
    return re.search(r'__version__ = "(.+)"', (root / VERSION).read_text("utf-8"))[1]


def carried_version(values: Values, root: Path = ROOT) -> str:
    """The version that files carry: the release's if it has a date, otherwise the library's."""
    return values["version"] if values["date"] else library_version(root)


def project(root: Path = ROOT) -> Values:
    """The table [project] of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def toml_authors(values: Values) -> str:
    """The entry ``authors`` of [project] in pyproject.toml."""
    names = [f'{{ name = "{author["given"]} {author["family"]}" }}' for author in values["authors"]]
    return f"authors = [{', '.join(names)}]\n" if names else ""


def toml_urls(values: Values) -> str:
    """Links of the page on PyPI."""
    site, repository = values["documentation"], values["repository"]
    links = {
        "Documentation": site and f"{site}/docs/index.html",
        "Changelog": site and f"{site}/CHANGELOG.html",
        "Repository": repository,
        "Issues": repository and f"{repository}/issues",
    }
    return "".join(f'{name} = "{link}"\n' for name, link in links.items() if link)


def citation(values: Values) -> str:
    """CITATION.cff as a whole."""
    described = project()
    lines = [
        "# Written by .ci/release_check.py from .ci/release.toml.",
        "cff-version: 1.2.0",
        "message: If you use this software, please cite it as below, and the papers of the methods you use.",
        "type: software",
        f"title: {described['name']}",
        f"abstract: '{described['description']}'",
        f"version: {carried_version(values)}",
        f"license: {described['license']}",
    ]
    for name, key in (
        ("date", "date-released"),
        ("repository", "repository-code"),
        ("documentation", "url"),
    ):
        lines += [f"{key}: {values[name]}"] if values[name] else []
    lines += ["keywords:", *(f"  - {keyword}" for keyword in described["keywords"]), "authors:"]
    for author in values["authors"]:
        lines += [f"  - given-names: {author['given']}", f"    family-names: {author['family']}"]
        lines += [f"    orcid: https://orcid.org/{author['orcid']}"] if author.get("orcid") else []
    lines += [] if values["authors"] else ["  - name: the interpolants contributors"]
    return "\n".join(lines) + "\n"


def issue_links(values: Values) -> str:
    """Links next to the issue forms."""
    site, repository = values["documentation"], values["repository"]
    lines = ["# Written by .ci/release_check.py from .ci/release.toml.", "blank_issues_enabled: true"]
    lines += ["contact_links:"] if site or repository else []
    if site:
        lines += [
            "  - name: How to",
            f"    url: {site}/docs/howto.html",
            "    about: Answers to common questions.",
        ]
    if repository:
        lines += ["  - name: Weaknesses", f"    url: {repository}/security/policy"]
        lines += ["    about: How to report a weakness in private."]
    return "\n".join(lines) + "\n"


def image_labels(values: Values) -> str:
    """Labels of the container image."""
    labels = {"source": values["repository"], "documentation": values["documentation"]}
    return "".join(
        f'LABEL org.opencontainers.image.{name}="{link}"\n' for name, link in labels.items() if link
    )


def conda_version(values: Values) -> str:
    """The first line of the conda recipe."""
    return f'{{% set version = "{carried_version(values)}" %}}\n'


def conda_links(values: Values) -> str:
    """Addresses in the conda recipe."""
    links = {
        "home": values["repository"],
        "dev_url": values["repository"],
        "doc_url": values["documentation"],
    }
    return "".join(f"  {name}: {link}\n" for name, link in links.items() if link)


def conda_maintainers(values: Values) -> str:
    """Maintainers in the conda recipe."""
    names = "".join(f"    - {name}\n" for name in values["maintainers"])
    return f"  recipe-maintainers:\n{names}" if names else "  recipe-maintainers: []\n"


def workflow_address(values: Values) -> str:
    """Address of the project, shown next to a deployment."""
    return f"      url: https://pypi.org/p/{values['pypi']}\n" if values["pypi"] else ""


def conduct(values: Values) -> str:
    """Sentence with the address for reports."""
    return f"\nOr write to <{values['conduct']}>.\n\n" if values["conduct"] else ""


def installation(values: Values) -> str:
    """Ways to install that need an address."""
    name, version = project()["name"], carried_version(values)
    ways = {
        "repository": ("The source", f"git clone {values['repository']}"),
        "feedstock": (f"From [conda-forge]({values['feedstock']})", f"conda install -c conda-forge {name}"),
        "image": (
            "A container image",
            f'docker run --rm --volume "$PWD:/work" {values["image"]}:{version} doctor',
        ),
    }
    texts = [f"\n{title}:\n\n```sh\n{line}\n```\n" for entry, (title, line) in ways.items() if values[entry]]
    return "".join([*texts, "\n"]) if texts else ""


CARRIED = (
    Carried("pyproject.toml", "authors", ("authors",), toml_authors),
    Carried("pyproject.toml", "urls", ("repository", "documentation"), toml_urls),
    Carried("CITATION.cff", "", ("date", "repository", "documentation", "authors"), citation),
    Carried(".github/ISSUE_TEMPLATE/config.yml", "", ("repository", "documentation"), issue_links),
    Carried(".github/workflows/release.yml", "pypi", ("pypi",), workflow_address),
    Carried("CODE_OF_CONDUCT.md", "conduct", ("conduct",), conduct),
    Carried("Dockerfile", "labels", ("repository", "documentation"), image_labels),
    Carried("conda/meta.yaml", "version", (), conda_version),
    Carried("conda/meta.yaml", "links", ("repository", "documentation"), conda_links),
    Carried("conda/meta.yaml", "maintainers", ("maintainers",), conda_maintainers),
    Carried("docs/install.md", "addresses", ("repository", "feedstock", "image"), installation),
)


def written(values: Values, root: Path = ROOT) -> dict[str, str]:
    """The text of each file that carries a value, by its path."""
    texts: dict[str, str] = {}
    for part in CARRIED:
        old = texts.get(part.file)
        if old is None:
            old = (root / part.file).read_text("utf-8") if (root / part.file).exists() else ""
        texts[part.file] = part.put(old, values)
    texts[VERSION] = re.sub(
        r'(?<=__version__ = ").+(?=")', carried_version(values, root), (root / VERSION).read_text("utf-8")
    )
    return texts


def empty_entries(values: Values) -> Iterator[str]:
    """An error for each empty entry, with the files that must carry it."""
    for name, value in values.items():
        if not value:
            files = list(dict.fromkeys(part.file for part in CARRIED if name in part.entries))
            files += ["CHANGELOG.md"] if name == "date" else []
            yield f"{SOURCE}: {name} is empty; carried by {', '.join(files)}"


def stale_files(values: Values, root: Path = ROOT) -> Iterator[str]:
    """An error for each file that does not carry the values."""
    for file, text in written(values, root).items():
        if not (root / file).exists() or (root / file).read_text("utf-8") != text:
            yield f"{file}: does not agree with {SOURCE}. Run: python .ci/release_check.py --write"


def wrong_versions(values: Values, tag: str | None, root: Path = ROOT) -> Iterator[str]:
    """An error for each place that states another version."""
    version = values["version"]
    if library_version(root) != version:
        yield (
            f"{VERSION}: the version must be {version}, got {library_version(root)}. "
            f"Set date in {SOURCE}, then run: python .ci/release_check.py --write"
        )
    series = version.rpartition(".")[0]
    if f"Version {series}. " not in (root / "README.md").read_text("utf-8"):
        yield f"README.md: must include 'Version {series}.'"
    if tag is not None and tag != f"v{version}":
        yield f"--tag: the tag must be v{version}, got {tag}"
    if values["pypi"] and values["pypi"] != project(root)["name"]:
        yield f"{SOURCE}: pypi must be the name in pyproject.toml, {project(root)['name']!r}, got {values['pypi']!r}"


def wrong_notes(values: Values, root: Path = ROOT) -> Iterator[str]:
    """Errors of the notes and of the changelog."""
    version, page = values["version"], f"docs/release/{values['version']}.md"
    if not (root / page).is_file():
        yield f"{page}: must exist: the notes of the release, for readers"
    else:
        lines = (root / page).read_text("utf-8").splitlines()
        if version not in lines[0]:
            yield f"{page}: the title must name version {version}, got {lines[0]!r}"
        if len(lines) > LONGEST_NOTES:
            yield f"{page}: must have at most {LONGEST_NOTES} lines, got {len(lines)}"
    changelog = (root / "CHANGELOG.md").read_text("utf-8").splitlines()
    if MARKER not in changelog:
        yield f"CHANGELOG.md: must have the line {MARKER} above the first version"
    if not any(line.startswith(f"## [{version}] - {values['date'] or 'DATE'}") for line in changelog):
        yield f"CHANGELOG.md: must have a section {version}. Run: towncrier build --version {version} --date DATE"
    if "## [Unreleased]" in changelog:
        yield "CHANGELOG.md: must have no section 'Unreleased' left; name the version that it became"
    for fragment in fragments(root):
        yield f"changes/{fragment.name}: must be gathered. Run: towncrier build --version {version} --date DATE"


def fragments(root: Path = ROOT) -> list[Path]:
    """Lines of the changelog that are not gathered yet."""
    return [path for path in sorted((root / "changes").glob("*.md")) if path.name != "README.md"]


def tracked(root: Path = ROOT) -> set[str]:
    """Paths of the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and (root / name).is_file()}


def wrong_sdist(archive: Path, files: set[str]) -> Iterator[str]:
    """Errors of an sdist, which must contain the tracked files and nothing else."""
    with tarfile.open(archive) as opened:
        members = {name.partition("/")[2] for name in opened.getnames()} - {"PKG-INFO"}
    yield from (f"{archive.name}: must contain {name}" for name in sorted(files - members))
    yield from (f"{archive.name}: must not contain {name}" for name in sorted(members - files))


def wrong_wheel(archive: Path, files: set[str], version: str) -> Iterator[str]:
    """Errors of a wheel, which must contain the package with its cards, stubs, recipes and licence."""
    package = {name.removeprefix("src/") for name in files if name.startswith("src/")}
    package |= {f"interpolants/{name}" for name in files if name.startswith("recipes/")}
    metadata = f"interpolants-{version}.dist-info"
    needed = package | {"interpolants/references.bib", f"{metadata}/licenses/LICENSE"}
    with zipfile.ZipFile(archive) as opened:
        members = set(opened.namelist())
    yield from (f"{archive.name}: must contain {name}" for name in sorted(needed - members))
    others = {name for name in members - needed if not name.startswith(f"{metadata}/")}
    yield from (f"{archive.name}: must not contain {name}" for name in sorted(others))


def wrong_archives(folder: Path, pythons: list[str]) -> Iterator[str]:
    """Build both archives into a folder, and check what they hold and that they install on these Pythons."""
    if any(folder.glob("*")):
        raise SystemExit(f"release_check: --dist must be an empty or a new folder, got {folder}")
    for tool in ("build", "twine", "check_jsonschema"):
        if importlib.util.find_spec(tool) is None:
            raise SystemExit(
                f"release_check: {tool} is missing. Install with: pip install -r .ci/release_tools.txt"
            )
    yield from _failed("build", "--outdir", str(folder), str(ROOT))
    archives, files = sorted(folder.glob("interpolants-*")), tracked()
    yield from _failed("twine", "check", "--strict", *map(str, archives))
    for file, schema in SCHEMAS.items():
        yield from _failed("check_jsonschema", "--builtin-schema", schema, str(ROOT / file))
    for archive in archives:
        if archive.suffix == ".whl":
            yield from wrong_wheel(archive, files, library_version())
        else:
            yield from wrong_sdist(archive, files)
        for python in pythons:
            try:
                bare.check(archive.resolve(), python)
            except subprocess.CalledProcessError as error:
                yield f"{archive.name}: must work bare on {python}; status {error.returncode} of {error.cmd}"


def _failed(module: str, *arguments: str) -> Iterator[str]:
    """An error if a module ends with a status other than 0."""
    process = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if process.returncode:
        yield f"{module} {' '.join(arguments)}: must pass, got\n{process.stdout[-1500:]}{process.stderr[-1500:]}"


def main() -> int:
    """Print every error; return 1 if there is at least one."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--write", action="store_true", help="write the files that carry values, and check nothing"
    )
    parser.add_argument("--tag", help="tag of the release, which must name its version")
    parser.add_argument(
        "--dist", type=Path, help="build sdist and wheel into this new folder, and check them"
    )
    parser.add_argument(
        "--bare", action="store_true", help=f"install both bare, on each of {PYTHONS} that is installed"
    )
    options = parser.parse_args()
    values = read()
    if options.write:
        for file, text in written(values).items():
            (ROOT / file).write_text(text, "utf-8")
        return 0
    if options.bare and options.dist is None:
        parser.error("--bare needs --dist")
    errors = [
        *empty_entries(values),
        *stale_files(values),
        *wrong_versions(values, options.tag),
        *wrong_notes(values),
    ]
    if options.dist is not None:
        pythons = [python for python in PYTHONS if options.bare and bare.runs(python)]
        errors += wrong_archives(options.dist, pythons)
    sys.stdout.write("".join(f"{error}\n" for error in errors))
    sys.stdout.write(
        f"{len(errors)} errors: the release is not ready\n" if errors else "the release is ready\n"
    )
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
