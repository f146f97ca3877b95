"""The page in headless Chromium: controls, drawing, cancel, reload, two tabs, bad addresses, a silent console."""

import os

import pytest

from web.browser import MARKS, Page, chromium, complaints, served

pytestmark = MARKS  # about a minute


@pytest.fixture(scope="module")
def address():
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(browser, address):
    opened = Page(browser, address)
    opened.open()
    yield opened
    assert complaints(browser) == []


def test_the_playground_plays_at_thirty_frames_a_second(page):
    page.set("n", "5000")
    page.run(
        "window.explorer.player.frames = 0; window.explorer.player.slowest = 0; window.explorer.player.play(true, true)"
    )
    page.wait("window.explorer.player.frames > 40")
    # Time spent in drawing, which does not depend on how busy the machine is with other things.
    drawn = page.run("return window.explorer.player.slowest")
    print(f"slowest frame of 5,000 particles: {drawn:.1f} ms")
    assert page.run("return window.explorer.answer.n") == 5000


@pytest.mark.parametrize(
    ("name", "value"),
    [("rho0", "ring"), ("rho1", "spiral"), ("path", "trigonometric"), ("envelope", "quadratic"), ("scale", "2"),
     ("eps", "2"), ("eps_shape", "late"), ("method", "rk4"), ("n_steps", "20"), ("n", "300"), ("reverse", True)],
)  # fmt: skip
def test_each_control_asks_anew_and_is_kept_in_the_address(page, name, value):
    page.set(name, value)
    assert page.text("status") == ""
    kept = page.run("return JSON.parse(decodeURIComponent(location.hash.slice(1)))")[name]
    assert kept == value or str(kept) == value
    page.browser.refresh()
    page.wait("window.explorer && window.explorer.answer")
    kind = "checked" if isinstance(value, bool) else "value"
    assert page.run(f"return document.getElementById('{name}').{kind}") == value


def test_time_and_keys_move_the_frame(page):
    page.run("const e = document.getElementById('time'); e.value = 1000; e.dispatchEvent(new Event('input'))")
    assert page.text("clock") == "t = 1.00"
    page.run("document.getElementById('canvas').focus()")
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}));"
    page.run(press * 12)  # times lie dense at the end
    assert page.text("clock") != "t = 1.00"
    page.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: ' ', bubbles: true}))")
    assert page.text("play") == "Pause"


def test_a_law_can_be_drawn_and_particles_can_start_at_one_point(page):
    page.click("draw1")
    assert "Draw rho1" in page.text("status")
    page.run("""
        const c = document.getElementById('canvas'), b = c.getBoundingClientRect();
        c.setPointerCapture = () => {};
        const at = (type, x, y) => c.dispatchEvent(new PointerEvent(type,
            {clientX: b.left + x * b.width, clientY: b.top + y * b.height, buttons: 1, pointerId: 1}));
        at('pointerdown', 0.2, 0.2);
        for (let i = 0; i < 60; i++) at('pointermove', 0.2 + 0.01 * i, 0.2 + 0.003 * i);
        window.before = window.explorer.answer;
    """)
    page.click("draw1")
    page.wait("window.explorer.answer !== window.before")
    assert page.run("return document.getElementById('rho1').value") == "drawn"
    # The particles lie where was drawn: above the middle.
    last = "const a = window.explorer.answer; const F = a.times.length - 1; let s = 0;"
    mean = page.run(
        last + "for (let i = 0; i < a.n; i++) s += a.particles[2 * (F * a.n + i) + 1]; return s / a.n"
    )
    assert 1.0 < mean < 3.0
    page.set("one", True)
    assert page.run("return window.explorer.answer.distance") is None


def test_too_few_points_change_nothing(page):
    page.click("draw0")
    page.click("draw0")
    assert "At least three points" in page.text("status")


def test_a_question_that_is_too_large_is_refused_in_words_and_one_can_go_on(page):
    page.open({"n": 300, "n_steps": 200, "method": "rk4", "rho0": "ring", "rho1": "ring", "eps": 0})
    assert page.run("return window.explorer.answer.n") == 300
    page.put("n", "5000")
    page.wait("document.querySelector('#status.error')")
    assert "Use fewer particles or steps." in page.text("status")
    # No particles of other settings stand above the refusal.
    drawn = "const c = document.getElementById('canvas'); return c.getContext('2d')"
    assert not page.run(f"{drawn}.getImageData(0, 0, c.width, c.height).data.some((v) => v)")
    assert (page.run("return window.explorer.answer"), page.text("numbers")) == (None, "")
    page.run("const e = document.getElementById('n'); e.value = 300; e.dispatchEvent(new Event('input'))")
    page.wait("window.explorer.answer && window.explorer.answer.n === 300")
    assert page.text("status") == ""


def test_cancel_stops_waiting(page):
    page.run("document.getElementById('again').click(); document.getElementById('cancel').click()")
    page.wait("document.getElementById('status').textContent.startsWith('Cancelled')")
    page.set("eps", "1")


@pytest.mark.parametrize("hash", ["#%7Bbroken", "#[1,2", "#%7B%22rho0%22:%22sun%22%7D"])
def test_a_bad_address_is_told_and_the_page_lives(page, hash):
    page.browser.get("about:blank")
    page.browser.get(page.address + hash)
    page.wait("document.querySelector('#status').textContent || window.explorer.answer")
    page.set("rho0", "moons")


def test_two_tabs_do_not_disturb_each_other(page):
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.open({"rho1": "spiral", "n": 200})
    assert page.run("return window.explorer.answer.n") == 200
    page.browser.close()
    page.browser.switch_to.window(first)
    page.set("n", "400")
    assert page.run("return window.explorer.answer.n") == 400


def test_the_phone_shows_picture_and_controls_below_each_other(page):
    page.browser.set_window_size(420, 900)
    try:
        boxes = [page.run(f"return document.{q}.getBoundingClientRect().toJSON()")
                 for q in ("getElementById('canvas')", "getElementById('controls')")]  # fmt: skip
        assert boxes[0]["bottom"] <= boxes[1]["top"]
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.browser.set_window_size(1200, 1100)


def test_what_evaluations_buy_is_measured_drawn_and_cancelled(page):
    page.click("prices-go")
    page.wait("document.querySelector('#prices svg') && document.getElementById('prices-cancel').disabled")
    assert page.run("return document.querySelectorAll('#prices polyline').length") == 4
    assert "cannot be told" in page.text("prices-words") or "nothing can be told" in page.text("prices-words")
    page.click("prices-go")
    page.wait("document.getElementById('prices-bar').value > 0")
    page.click("prices-cancel")
    page.wait("document.getElementById('prices-status').textContent.startsWith('Cancelled')")


def test_progress_is_shown_while_work_goes_on(page):
    page.run("""
        window.shares = [];
        new MutationObserver(() => window.shares.push(document.getElementById('bar').value))
            .observe(document.getElementById('bar'), {attributes: true, attributeFilter: ['value']});
        window.before = window.explorer.answer;
    """)
    page.put("n", "5000")
    page.wait("window.explorer.answer !== window.before")
    shares = page.run("return window.shares")
    assert max(shares) > 0.2
    assert page.run("return document.getElementById('bar').classList.contains('idle')")


def test_beside_the_sde_from_one_start_the_ode_is_drawn(page):
    page.open({"start": [0.0, 1.0], "n": 200, "eps": 1})
    assert "blue: the ODE" in page.text("numbers")
    page.set("eps", "0")
    assert "blue" not in page.text("numbers")


def test_the_server_that_has_gone_is_told(page):
    page.run("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    page.click("again")
    page.wait("document.querySelector('#status.error')")
    assert "cannot be reached" in page.text("status")


def test_pictures_for_the_docs(page, tmp_path):
    """With ``INTERPOLANTS_SHOTS=docs/images`` the pictures of docs/explorer.md are drawn anew."""
    folder = os.environ.get("INTERPOLANTS_SHOTS", str(tmp_path))
    shots = {
        "explorer_sde": {"eps": 1.0, "n": 3000},
        "explorer_one_start": {"eps": 1.0, "start": [-1.2, 1.0], "n": 600, "rho0": "moons"},
    }
    for name, settings in shots.items():
        page.open(settings)
        page.put("time", 620 if name == "explorer_sde" else 1000)
        if name == "explorer_sde":
            page.click("prices-go")
            page.wait("document.querySelector('#prices svg')")
        file = os.path.join(folder, f"{name}.png")
        page.shoot(file, "footer" if name == "explorer_sde" else "main")
        assert os.path.getsize(file) > 15_000
