from interpolants.reports.page import Markup, document, el, facts, join, link, table


def test_text_is_escaped_and_markup_is_not():
    assert el("p", "<b>", Markup("<i>x</i>"), 3, None, ["&"]) == "<p>&lt;b&gt;<i>x</i>3&amp;</p>"


def test_attributes_are_escaped_and_named_as_html_names_them():
    got = el("a", "x", cls='"><script>', aria_label=None, data_x=1)
    assert got == '<a class="&quot;&gt;&lt;script&gt;" data-x="1">x</a>'
    assert el("img", src="a", alt="") == '<img src="a" alt="">'


def test_only_web_addresses_become_links():
    assert link("https://arxiv.org/abs/1").startswith('<a href="https://arxiv.org/abs/1"')
    for text in ("javascript:alert(1)", "data:text/html,x", "//host/x", "http:", "drawn", "http://[bad"):
        assert "<a" not in link(text)


def test_the_first_cell_of_a_row_is_its_head_and_numbers_are_flush_right():
    got = table("Caption", ["a", "b"], [["x", 1]], label="Name")
    assert '<th scope="row">x</th><td class="num">1</td>' in got
    assert 'tabindex="0" role="region" aria-label="Name"' in got


def test_facts_without_a_value_are_left_out():
    assert facts([("a", None), ("b", "")]) == ""
    assert join(facts([("a", 0)])) == '<dl class="facts"><dt>a</dt><dd>0</dd></dl>'


def test_the_document_forbids_everything_that_is_not_inline():
    page = document("<t>", "h", "b", "f")
    assert "<title>&lt;t&gt;</title>" in page
    assert "default-src &#x27;none&#x27;; img-src data:" in page
