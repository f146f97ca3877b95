"""The report of a recipe: tables, captions and words for what is drawn."""

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.scores import Answered, Score
from interpolants.reports.answers_page import described, write_answers


def figure(caption=""):
    line = Series(mark="line", arrays={"x": [0.0, 1.0], "y": [1.0, 2.0]}, name="the method")
    panel = Panel(series=(line,), title="left", x=Axis(label="time", unit="s"), y=Axis(label="height"))
    return Figure(name="a-b_c", panels=(panel,), caption=caption)


def test_tables_in_markdown_become_tables_and_other_lines_stay(tmp_path):
    texts = {
        "Levels": ("| level | cost |", "| --- | ---: |", "| ODE | 7 |", "", "Because <so>."),
        "Words": ("one", "two"),
    }
    scores = (Score(name="q.some_number", value=1.5, note="Said once."),)
    page = write_answers(
        tmp_path, "T", Answered(scores=scores, texts=texts, figures=(figure("A caption."),))
    ).read_text()
    assert '<td class="num">7</td>' in page
    assert "<p>Because &lt;so&gt;.</p>" in page
    assert "<pre>one\ntwo</pre>" in page
    assert "nobody said" not in page
    assert "some number<br><small>Said once.</small>" in page
    assert "<figcaption>A caption.</figcaption>" in page


def test_a_figure_is_told_in_words():
    assert described(figure()) == "A: b c. Panels: left, height against time (s), the method."
