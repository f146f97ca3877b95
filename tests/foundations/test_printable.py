"""Text from data may not act on a terminal or in a page of Markdown."""

import pytest

from interpolants.foundations.printable import in_markdown, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x07\x1b[31mred", r"a\x07\x1b[31mred"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("Zürich ± 3 µm, 北京", "Zürich ± 3 µm, 北京"),
    ],
)
def test_control_characters_are_written_out(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("</script><script>", "&lt;/script&gt;&lt;script&gt;"),
        ("[x](javascript:alert(1))", r"\[x\]\(javascript:alert(1))"),
        ("![x](http://a.example/p)", r"!\[x\]\(http://a.example/p)"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("`code` and $x$\nnext | cell", r"\`code\` and \$x\$ next \| cell"),
        ("wind_speed (m/s)", "wind_speed (m/s)"),
        ("x" * 3000, "x" * 200 + " ..."),
        ("\x1b[1m", r"\\x1b\[1m"),
    ],
)
def test_names_are_plain_words_in_markdown(text, shown):
    assert in_markdown(text) == shown
