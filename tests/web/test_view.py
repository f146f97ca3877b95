"""The view of a run, and of two, in headless Chromium: each control, cancelled work, reload, tabs, slow links."""

import io
import os
import time
from pathlib import Path

import pytest

from interpolants.framework.experiment import gather
from interpolants.reports.answers_page import write_answers
from interpolants.runs.recipe_files import RecipeFolder
from interpolants.runs.recipe_run import RecipeRun
from interpolants.runs.run_facts import run_facts
from web.browser import MARKS, Page, chromium, complaints, served
from web.growing import Growing

pytestmark = MARKS  # about two minutes
NAMES = ("first", "second", "pictures", "solid", "closed", "seeds", "line")
FIRST, SECOND, PICTURES, SOLID, CLOSED, SEEDS, _, LINE = range(8)


@pytest.fixture(scope="module")
def address(trained):
    with served(*(trained / name for name in NAMES)) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def opened(browser, address, place):
    page = Page(browser, address, place)
    page.open()
    yield page
    page.media()
    assert complaints(browser) == []


@pytest.fixture
def page(browser, address):
    yield from opened(browser, address, "run")


@pytest.fixture
def pair(browser, address):
    yield from opened(browser, address, "compare")


def rows(page, name):
    return page.run(f"return document.querySelectorAll('#{name} tbody tr').length")


def svgs(page, name):
    return page.run(f"return document.querySelectorAll('#{name} svg.chart').length")


# --- the index -----------------------------------------------------------------------------------------------------


def test_the_index_leads_to_every_run_and_compares_those_on_the_same_data(browser, address):
    page = Page(browser, address, "runs")
    page.open()
    cards = page.run("return [...document.querySelectorAll('#runs section')].map((s) => s.textContent)")
    assert len(cards) == 8
    assert "Noise to points. Bridge between two distributions, done" in cards[FIRST]
    assert "compare with" not in cards[FIRST]
    assert "compare with first" in cards[SECOND]
    assert "compare with" not in cards[PICTURES]
    browser.set_window_size(420, 900)
    assert not page.is_wider_than_the_window()
    page.run(f"document.querySelectorAll('#runs h2 a')[{SOLID}].click()")
    page.wait("location.pathname === '/run' && window.explorer.answer")
    assert page.text("run").count("solid") == 1
    assert page.run("return document.getElementById('run').selectedIndex") == SOLID
    assert complaints(browser) == []


# --- a run in training ---------------------------------------------------------------------------------------------


def test_a_run_in_training_is_followed_until_it_can_be_carried(trained, tmp_path, browser):
    growing = Growing(trained / "half", tmp_path / "grows")
    growing.write(2)
    with served(growing.folder) as address:
        page = Page(browser, address, "run")
        browser.get(page.address)
        page.wait("document.getElementById('training-words').textContent.includes('step 20 of 60')")
        assert "not trained yet" in page.text("status")
        assert page.text("run") == "grows (in training)"
        assert svgs(page, "training") == 1
        if shots := os.environ.get("INTERPOLANTS_SHOTS"):
            page.shoot(f"{shots}/explorer_training.png", until="#training-words")
        growing.write(5)
        page.wait("document.getElementById('training-words').textContent.includes('step 50 of 60')")
        growing.keep()
        page.wait("window.explorer.answer")
        assert "grows is in training: these are its weights of step 60." in page.text("axes")
        assert page.text("run") == "grows (in training)"
        page.run("window.before = window.explorer.answer")
        growing.finish()
        page.wait("window.explorer.answer !== window.before")
        assert page.text("run") == "grows"
        assert "in training" not in page.text("axes")
        assert "not answered yet" in page.text("numbers-table")
        RecipeFolder.stored(growing.folder).run(resume=True)
        page.wait("document.getElementById('numbers-table').textContent.includes('No question was asked')")
        assert complaints(browser) == []


# --- one run -------------------------------------------------------------------------------------------------------


def test_a_run_shows_its_samples_curves_numbers_and_verdicts(page):
    assert page.run("return window.explorer.answer.panels.map((p) => p.eps)") == [0, 0.5, 1]
    assert page.run("return document.querySelectorAll('#stage canvas').length") == 3
    assert "energy distance to the data" in page.run(
        "return document.querySelector('.panel .numbers').textContent"
    )
    assert svgs(page, "training") == 1
    assert rows(page, "numbers-table") >= 5
    head = page.run("return [...document.querySelectorAll('#numbers-table th')].map((e) => e.textContent)")
    assert head == ["Measure", "value", "floor", "gaussian_fit", "unit", "better"]
    assert rows(page, "claims") == 1
    assert "✓ holds" in page.text("claims")
    assert rows(page, "texts") == 2  # noise levels, a table in Markdown
    assert "x_t = (1 - t) x0 + t x1" in page.text("sides")
    assert "net.width32" in page.text("sides")
    assert "first" in page.run("return document.getElementById('run').selectedOptions[0].textContent")


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("way", "backward", "backward"),
        ("way", "there and back", "there and back"),
        ("start", "one", "one"),
        ("eps", "2", "2"),
        ("n_steps", "20", 20),
        ("n", "60", 60),
    ],
)
def test_each_control_carries_anew_and_is_kept_in_the_address(page, name, value, kept):
    page.set(name, value)
    assert page.text("status") == ""
    assert page.kept()[name] == kept
    page.browser.refresh()
    page.wait("window.explorer && window.explorer.answer")
    assert page.value(name) == value


def test_the_run_and_its_label_can_be_chosen(page):
    page.set("run", str(PICTURES))
    assert page.run("return window.explorer.answer.kind") == "images"
    page.set("label", "1")
    assert page.kept()["label"] == 1
    # The right half of every image is bright, which is what the label stands for.
    bright = """
        const stage = window.explorer.stage, p = stage.panels[0], last = (p.times.length - 1) * stage.answer.n * 36;
        let left = 0, right = 0;
        for (let i = 0; i < stage.answer.n * 36; i++)
            if (i % 6 < 3) left += p.states[last + i]; else right += p.states[last + i];
        return right / left;
    """
    assert page.run(bright) > 1.1
    page.browser.refresh()
    page.wait("window.explorer && window.explorer.answer")
    assert page.value("label") == "1"


def test_other_samples_are_drawn_and_the_same_ones_come_back_with_the_address(page):
    first = page.run("return window.explorer.answer.rows.slice(0, 5)")
    page.run("window.before = window.explorer.answer")
    page.click("again")
    page.wait("window.explorer.answer !== window.before")
    other = page.run("return window.explorer.answer.rows.slice(0, 5)")
    assert other != first
    page.browser.refresh()
    page.wait("window.explorer && window.explorer.answer")
    assert page.run("return window.explorer.answer.rows.slice(0, 5)") == other


def test_a_click_follows_one_point_and_another_can_be_chosen(page):
    page.run("""
        const stage = window.explorer.stage, panel = stage.panels[0];
        window.explorer.player.play(false); window.explorer.player.show(0);
        const [[x0, x1], [y0, y1]] = stage.answer.box, b = panel.canvas.getBoundingClientRect();
        let i = 0;  // a point inside the picture
        const far = (v, low, high) => Math.abs(v - (low + high) / 2) > (high - low) / 3;
        while (far(panel.states[2 * i], x0, x1) || far(panel.states[2 * i + 1], y0, y1)) i++;
        window.before = stage.answer;
        panel.canvas.dispatchEvent(new MouseEvent('click', {
            clientX: b.left + (panel.states[2 * i] - x0) / (x1 - x0) * b.width,
            clientY: b.top + (y1 - panel.states[2 * i + 1]) / (y1 - y0) * b.height}));
    """)
    page.wait("window.explorer.answer !== window.before")
    assert page.kept()["start"] == "one"
    rows = page.run("return [...new Set(window.explorer.answer.rows)]")
    assert len(rows) == 1
    spread = page.run("return window.explorer.answer.panels.map((p) => p.spread)")
    assert spread[0] < 1e-4 < 0.02 < min(spread[1:])
    page.set("row", "11")
    assert page.run("return window.explorer.answer.rows[0]") == 11


def test_a_held_out_sample_goes_there_and_back(page):
    page.open({"way": "there and back", "start": "one", "row": 3, "eps": "0, 1", "n": 50})
    flow, noisy = page.run("return window.explorer.answer.panels.map((p) => p.miss)")
    assert flow < 0.05 < noisy
    page.put("time", 500)
    assert page.text("clock") == "t = 0.00"
    page.put("time", 1000)
    assert page.text("clock") == "t = 1.00"


def test_time_and_keys_move_all_panels(page):
    page.put("time", 1000)
    assert page.text("clock") == "t = 1.00"
    page.key("ArrowLeft", 3)
    assert page.text("clock") < "t = 1.00"
    page.key(" ")
    assert page.text("play") == "Pause"
    page.key(" ")
    assert page.text("play") == "Play"


def test_what_is_shown_can_be_left_out(page):
    page.put("time", 700)
    for name in ("show-data", "show-trails"):
        shot = "return window.explorer.stage.panels[0].canvas.toDataURL()"
        before = page.run(shot)
        page.put(name, False)
        assert page.run(shot) != before
        page.put(name, True)
        assert page.run(shot) == before


@pytest.mark.parametrize(
    ("what", "told"), [("errors", "errors"), ("likelihood", "likelihood"), ("check", "check-table")]
)
def test_what_is_measured_is_shown_and_measured_again_after_a_reload(page, what, told):
    page.click(f"{what}-go")
    page.wait(f"window.explorer.found.{what}")
    assert page.run(f"return document.querySelector('#{told} svg, #{told} tbody tr') !== null")
    assert page.kept()["measured"] == [what]
    page.browser.refresh()
    page.wait(f"window.explorer && window.explorer.found.{what}")


def test_work_is_cancelled_by_its_button_and_by_escape_and_the_page_goes_on(page):
    page.open({"n": 2000, "n_steps": 100, "eps": "0, 1"})
    page.run("document.getElementById('again').click()")
    page.wait("!document.getElementById('cancel').disabled")
    page.click("cancel")
    page.wait("document.getElementById('status').textContent.startsWith('Cancelled')")
    page.run("document.getElementById('again').click()")
    page.wait("!document.getElementById('cancel').disabled")
    page.key("Escape")
    page.wait("document.getElementById('status').textContent.startsWith('Cancelled')")
    page.click("check-go")
    page.wait("!document.getElementById('check-cancel').disabled")
    page.click("check-cancel")
    page.wait("document.getElementById('check-status').textContent.startsWith('Cancelled')")
    page.set("n", "50")
    assert page.text("status") == ""


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ("-1", "each must be a number >= 0, got -1"),
        ("a lot", "got a"),
        ("", "one to four can be shown, got 0"),
        ("0 1 2 3 4", "got 5"),
        ("1e9", "less than or equal to 100, got 1000000000"),
    ],
)
def test_bad_noise_levels_are_told_and_one_can_go_on(page, levels, told):
    page.put("eps", levels)
    page.wait("document.querySelector('#status.error')")
    assert told in page.text("status")
    page.set("eps", "0")
    assert page.text("status") == ""


@pytest.mark.parametrize(
    "settings",
    [
        "#%7Bbroken",
        "#null",
        {"run": 99},
        {"run": -1},
        {"run": "x"},
        {"run": "__proto__"},
        {"eps": 5},
        {"way": "up"},
        {"row": 10**9, "start": "one"},
        {"label": 7},
        {"n": "many"},
        {"n_steps": 10**9},
        {"seed": -4},
        {"measured": "all"},
        {"measured": ["__proto__", 3]},
    ],
)
def test_a_bad_address_is_told_or_mended_and_the_page_lives(page, settings):
    if isinstance(settings, str):
        page.browser.get("about:blank")
        page.browser.get(page.address + settings)
        page.wait(page.ready)
    else:
        page.open(settings)
    page.open({"n": 50})
    assert page.text("status") == ""


def test_a_method_that_is_no_bridge_shows_its_numbers_and_says_why_nothing_moves(page):
    page.put("run", str(CLOSED))
    page.wait("document.getElementById('status').textContent.includes('shown of bridges')")
    assert rows(page, "numbers-table") == 2
    hidden = ("stage", "player", "controls", "errors-box", "likelihood-box", "check-box")
    assert all(page.run(f"return document.getElementById('{name}').hidden") for name in hidden)
    page.set("run", str(FIRST))
    assert not any(page.run(f"return document.getElementById('{name}').hidden") for name in hidden)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_figures_of_a_run_are_drawn_for_light_and_for_dark(page, scheme):
    page.media(prefers_color_scheme=scheme)
    page.open({"run": CLOSED})
    images = "#picture img, #figures img"  # the first figure opens the page
    page.run(f"document.querySelector('{images}').scrollIntoView()")
    page.wait(f"[...document.querySelectorAll('{images}')].every((i) => i.complete && i.naturalWidth > 300)")
    assert page.run(f"return document.querySelector('{images}').currentSrc").endswith(f"/{scheme}")
    assert page.run(f"return document.querySelector('{images}').alt")


def test_a_verb_is_a_command_to_copy(page):
    page.open({"run": LINE})
    commands = page.run("return [...document.querySelectorAll('#verbs code')].map((e) => e.textContent)")
    assert {"log-prob", "sample", "transport"} <= {words.split()[1] for words in commands}
    page.browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    page.run("document.querySelector('#verbs button').click()")
    page.wait("document.querySelector('#verbs button').textContent === 'Copied'")


def test_a_run_opens_with_its_first_figure_its_main_score_and_its_worst_loss(page):
    page.open({"run": FIRST})
    assert (
        page.run("return [...document.querySelectorAll('#told dt')].map((e) => e.textContent)")[0]
        == "How good it is"
    )
    assert page.run("return document.querySelectorAll('#picture img').length") == 1
    first = page.run("return document.querySelector('#picture img').src")
    others = page.run("return [...document.querySelectorAll('#figures img')].map((e) => e.src)")
    assert first not in others
    assert page.run("return document.getElementById('told-box').getBoundingClientRect().bottom") <= page.run(
        "return document.getElementById('stage').getBoundingClientRect().top"
    )


def test_what_went_wrong_follows_the_claims_where_no_check_failed(page):
    page.open({"run": SEEDS})
    findings = page.run("return [...document.querySelectorAll('#findings li')].map((e) => e.textContent)")
    assert any("Check" in text for text in findings)  # warnings, none of them a failed check
    boxes = [f"document.getElementById('{name}-box')" for name in ("claims", "findings")]
    assert page.run(f"return Boolean({boxes[0]}.compareDocumentPosition({boxes[1]}) & 4)")  # 4: it follows


def test_three_coordinates_are_shown_by_two_and_rho0_from_samples_has_no_likelihood(page):
    page.open({"run": SOLID})
    assert "PC 1" in page.text("axes")
    assert "rho0 is given by samples" in page.text("likelihood-words")
    page.click("likelihood-go")
    time.sleep(0.3)
    assert "Cannot read" not in page.text("likelihood-status")


def test_two_tabs_do_not_disturb_each_other(page):
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.open({"run": SECOND, "n": 40})
    assert page.run("return window.explorer.answer.n") == 40
    page.browser.close()
    page.browser.switch_to.window(first)
    page.set("n", "70")
    assert page.run("return window.explorer.answer.n") == 70


def test_a_slow_link_brings_the_same_picture_and_an_end_of_it_is_told(page):
    whole = page.run("return Array.from(window.explorer.stage.panels[2].states.slice(-8))")
    page.browser.set_network_conditions(latency=150, download_throughput=150_000, upload_throughput=50_000)
    try:
        page.open()
        assert page.run("return Array.from(window.explorer.stage.panels[2].states.slice(-8))") == whole
    finally:
        page.browser.delete_network_conditions()
    page.browser.set_network_conditions(offline=True, latency=0, throughput=0)
    try:
        page.click("again")
        page.wait("document.querySelector('#status.error')")
        assert "cannot be reached" in page.text("status")
    finally:
        page.browser.delete_network_conditions()
    page.browser.get_log("browser")  # the link was cut on purpose
    page.set("n", "50")


def test_reduced_motion_shows_the_end_and_nothing_plays(page):
    page.media(prefers_reduced_motion="reduce")
    page.open({"n": 50})
    assert page.text("clock") == "t = 1.00"
    assert page.text("play") == "Play"
    assert page.run("return window.explorer.player.frames") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(page, scheme):
    """At least 4.5 to 1 (WCAG AA) for all inks of words; 3 to 1 for those of curves."""
    page.media(prefers_color_scheme=scheme)
    contrast = """
        const linear = (x) => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
        const light = (c) => {
            const v = c.match(/\\w\\w/g).map((h) => linear(parseInt(h, 16) / 255));
            return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2];
        };
        const named = (n) => getComputedStyle(document.documentElement).getPropertyValue('--' + n).trim().slice(1);
        const paper = light(named('paper'));
        const ratio = (n) => {
            const l = light(named(n));
            return (Math.max(l, paper) + 0.05) / (Math.min(l, paper) + 0.05);
        };
        return Object.fromEntries(['ink', 'faint', 'blue', 'orange', 'green', 'purple'].map((n) => [n, ratio(n)]));
    """
    found = page.run(contrast)
    assert min(found[name] for name in ("ink", "faint", "blue")) > 4.5, found
    assert min(found.values()) > 3, found


def test_the_phone_shows_everything_below_each_other(page):
    page.browser.set_window_size(420, 900)
    boxes = [
        page.run(f"return document.getElementById('{name}').getBoundingClientRect().toJSON()")
        for name in ("stage", "controls")
    ]
    assert boxes[0]["bottom"] <= boxes[1]["top"]
    assert not page.is_wider_than_the_window()


def test_every_control_has_a_name_and_a_place_in_the_order_of_keys(page):
    nameless = page.run("""
        return [...document.querySelectorAll('button, input, select, canvas, progress')].filter((e) =>
            !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())
            || e.tabIndex < 0 && e.tagName !== 'PROGRESS').map((e) => e.id || e.tagName);
    """)
    assert nameless == []


# --- two runs ------------------------------------------------------------------------------------------------------


def test_a_bridge_beside_another_method_has_numbers_in_common_or_says_so(pair):
    pair.put("other", str(CLOSED))
    pair.wait("window.explorer.settled")
    assert "no measure in common" in pair.text("numbers-table")
    assert pair.run("return document.querySelectorAll('#training polyline').length") == 2
    assert pair.run("return document.querySelectorAll('#sides > div').length") == 2
    pair.set("other", str(SECOND))
    assert rows(pair, "numbers-table") >= 5


def test_two_runs_carry_the_same_points_and_stand_side_by_side(pair):
    assert pair.run("return window.explorer.answer.panels.map((p) => p.name)") == ["first", "second"]
    same = "const [a, b] = window.explorer.stage.panels; return [0, 1, 2, 3].every((i) => a.states[i] === b.states[i])"
    assert pair.run(same)
    assert pair.run("return document.querySelectorAll('#training polyline').length") == 2
    head = pair.run("return [...document.querySelectorAll('#numbers-table th')].map((e) => e.textContent)")
    assert head[:4] == ["Measure", "first", "second", "difference"]
    cells = pair.run(
        "return [...document.querySelectorAll('#numbers-table tbody tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    assert all("±" in cell for cell in cells[0][1:4])
    assert {row[-1] for row in cells} <= {"first", "second", "cannot be told", ""}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("way", "backward"),
        ("start", "one"),
        ("eps", "0, 1"),
        ("n_steps", "20"),
        ("n", "60"),
        ("run", "1"),
        ("other", "0"),
    ],
)
def test_each_control_of_the_comparison(pair, name, value):
    pair.set(name, value)
    assert pair.text("status") == ""
    pair.browser.refresh()
    pair.wait("window.explorer && window.explorer.answer")
    assert pair.value(name) == value
    assert len(pair.run("return window.explorer.answer.panels")) == (4 if name == "eps" else 2)


def test_measurements_of_both_are_overlaid(pair):
    for what in ("errors", "likelihood", "check"):
        pair.click(f"{what}-go")
        pair.wait(f"window.explorer.found.{what}")
    assert pair.run("return document.querySelectorAll('#errors polyline').length") == 2
    assert pair.run("return document.querySelectorAll('#errors-seen polyline').length") == 4
    assert pair.run("return document.querySelectorAll('#likelihood polyline').length") == 4
    assert pair.run("return document.querySelectorAll('#check-table .verdict').length") >= 10


def test_runs_that_cannot_be_compared_are_refused_in_words(pair):
    pair.put("other", str(SOLID))
    pair.wait("document.querySelector('#status.error')")
    assert "data have one shape, got (2,) and (3,)" in pair.text("status")
    pair.set("other", str(SECOND))
    assert pair.text("status") == ""


def test_without_runs_the_pages_say_how_to_give_them(browser):
    with served() as address:
        for place in ("run", "compare"):
            page = Page(browser, address, place)
            page.open()
            assert "interpolants explore RUN" in page.text("status")
        assert complaints(browser) == []


# --- pictures ------------------------------------------------------------------------------------------------------


def test_a_picture_of_a_report_for_the_docs(browser, trained, tmp_path):
    """With ``INTERPOLANTS_SHOTS=docs/images`` the picture of docs/reports.md is drawn anew, of the run folder that
    ``INTERPOLANTS_REPORT`` names: the first screen, and beside it the results."""
    from PIL import Image

    folder = os.environ.get("INTERPOLANTS_SHOTS", str(tmp_path))
    report = Path(os.environ.get("INTERPOLANTS_REPORT") or trained / "first") / "report.html"
    if not report.exists():
        made = RecipeFolder.stored(report.parent)
        write_answers(made.out, run_facts(made, gather(RecipeRun(made.recipe), made.out)))
    parts = []
    browser.set_window_size(1040, 1180)
    for place in ("", "#results"):
        browser.get("about:blank")
        browser.get(report.resolve().as_uri() + place)
        time.sleep(0.5)
        parts.append(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
    both = Image.new("RGB", (sum(part.width for part in parts), parts[0].height), "white")
    for k, part in enumerate(parts):
        both.paste(part, (k * parts[0].width, 0))
    both = both.resize((1400, round(1400 * both.height / both.width)), Image.Resampling.LANCZOS)
    file = os.path.join(folder, "report.png")
    both.quantize(224, kmeans=4, dither=Image.Dither.NONE).save(file, optimize=True)
    assert os.path.getsize(file) > 15_000
    browser.set_window_size(1200, 1100)


def test_pictures_for_the_docs(browser, trained, tmp_path):
    """With ``INTERPOLANTS_SHOTS=docs/images`` the pictures of docs/explorer.md are drawn anew; ``INTERPOLANTS_RUNS``
    names three run folders to draw, separated by colons: two to compare, one of images."""
    folder = os.environ.get("INTERPOLANTS_SHOTS", str(tmp_path))
    given = os.environ.get("INTERPOLANTS_RUNS")
    runs = given.split(":") if given else [trained / name for name in ("first", "second", "pictures")]
    back = {"run": 2, "eps": "0, 1", "way": "there and back", "start": "one", "row": 4, "n": 4}
    shots = [
        (
            "explorer_run",
            "run",
            {"run": 0, "eps": "0, 0.5, 2", "n": 1000},
            ("errors", "likelihood"),
            "#numbers-box",
        ),
        ("explorer_images", "run", back, (), "main"),
        ("explorer_compare", "compare", {"n": 1000}, ("errors", "likelihood"), "#numbers-box"),
    ]
    with served(*runs) as address:
        index = Page(browser, address, "runs")
        index.open()
        index.shoot(os.path.join(folder, "explorer_index.png"))
        for name, place, settings, measured, until in shots:
            page = Page(browser, address, place)
            page.open(settings)
            for what in measured:
                page.click(f"{what}-go")
                page.wait(f"window.explorer.found.{what}")
            page.put("time", 1000)
            file = os.path.join(folder, f"{name}.png")
            page.shoot(file, until)
            assert os.path.getsize(file) > 15_000
    assert complaints(browser) == []
