"""The page in headless Chromium: controls, drawing, cancel, reload, two tabs, bad addresses, a silent console."""

import json
import os
import shutil
import subprocess
import sys
import time
from urllib.parse import quote

import pytest

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1100",
]
pytestmark = [
    pytest.mark.slow,  # about a minute
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="apt-get install chromium chromium-driver"),
]


@pytest.fixture(scope="module")
def address():
    code = (
        "from interpolants.web import listen, serve; own = listen(0); "
        "print(own.getsockname()[1], flush=True); serve(own)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
    server.terminate()
    server.wait(10)
    server.stdout.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    opened = Page(browser, address)
    yield opened
    told = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [t for t in told if "422" not in t["message"]] == []


class Page:
    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.open()

    def open(self, settings=None):
        self.browser.get("about:blank")
        self.browser.get(self.address + ("#" + quote(json.dumps(settings)) if settings else ""))
        self.wait("window.explorer && window.explorer.answer || document.querySelector('#status.error')")

    def run(self, script):
        return self.browser.execute_script(script)

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"waited in vain for {condition}; status: {self.text('status')}"
            time.sleep(0.1)

    def text(self, name):
        return self.run(f"return document.getElementById('{name}').textContent")

    def set(self, name, value):
        """Set a control as a hand would, and wait for the answer to it."""
        self.run("window.before = window.explorer.answer")
        kind = "checked" if isinstance(value, bool) else "value"
        self.run(
            f"const e = document.getElementById('{name}'); e.{kind} = {json.dumps(value)};"
            "e.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        self.wait("window.explorer.answer !== window.before")

    def click(self, name):
        self.run(f"document.getElementById('{name}').click()")


def test_the_playground_plays_at_thirty_frames_a_second(page):
    page.set("n", "5000")
    page.run("window.explorer.frames = 0; window.explorer.slow = 0; window.begun = performance.now()")
    page.wait("window.explorer.frames > 40")
    # Time spent in drawing, which does not depend on how busy the machine is with other things.
    drawn = page.run("return window.explorer.slow")
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
    page.open({"n": 5000, "n_steps": 200, "method": "rk4", "rho0": "ring", "rho1": "ring", "eps": 0})
    page.wait("document.querySelector('#status.error')")
    assert "Take fewer particles or steps." in page.text("status")
    page.run("window.explorer.answer")
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


def test_pictures_for_the_docs(page, tmp_path):
    """With ``INTERPOLANTS_SHOTS=docs/images`` the pictures of docs/explorer.md are drawn anew."""
    folder = os.environ.get("INTERPOLANTS_SHOTS", str(tmp_path))
    shots = {
        "explorer_sde": {"eps": 1.0, "n": 3000},
        "explorer_one_start": {"eps": 1.0, "start": [-1.2, 1.0], "n": 600, "rho0": "moons"},
    }
    for name, settings in shots.items():
        page.open(settings)
        page.run(
            "const e = document.getElementById('time'); e.value = 620; e.dispatchEvent(new Event('input'))"
        )
        file = os.path.join(folder, f"{name}.png")
        assert page.browser.save_screenshot(file)
        assert os.path.getsize(file) > 20_000
