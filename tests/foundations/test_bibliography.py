"""The bibliography: every entry is read, LaTeX becomes plain text, and links follow from numbers."""

import re
from pathlib import Path

from interpolants.foundations.bibliography import parse_works, read_works

FILE = Path(__file__).parents[2] / "docs" / "references.bib"

TEXT = r"""% A comment.

@article{someone2020first,
  author = {P{\'e}rez, Ana and R{\"o}{\ss}ler, Bo
            and {\L}ukasz, Cy},
  title = {The {S}chr{\"o}dinger Bridge --
           and More},
  year = {2020},
  doi = {10.1/x},
}

@misc{other2021second,
  author = {Fran{\c{c}}ois, D. and B, E. and C, F. and D, G.},
  title = {Second},
  year = {2021},
  eprint = {2101.00001},
  archivePrefix = {arXiv}
}
"""


def test_entries_become_plain_text():
    first, second = parse_works(TEXT).values()
    assert first.authors == ("Pérez, Ana", "Rößler, Bo", "Łukasz, Cy")
    assert str(first) == "Pérez, Rößler & Łukasz (2020), The Schrödinger Bridge – and More"
    assert first.link == "https://doi.org/10.1/x"
    assert str(second) == "François et al. (2021), Second"
    assert second.link == "https://arxiv.org/abs/2101.00001"


def test_every_entry_of_the_library_is_read_whole():
    works = read_works()
    assert list(works) == re.findall(r"^@\w+\{([^,]+),", FILE.read_text("utf-8"), re.MULTILINE)
    for work in works.values():
        assert work.title
        assert work.authors[0]
        assert work.year.isdigit()
        assert not re.search(r"[\\{}]", work.title + "".join(work.authors)), work
