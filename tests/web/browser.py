"""A headless Chromium, and a page of the explorer as a hand and an eye know it."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
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
    "--hide-scrollbars",
    "--window-size=1200,1100",
]
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="apt-get install chromium chromium-driver"),
]
SIZE = (1200, 1100)
KEPT_WIDTH = 800  # of a picture for the docs


@contextmanager
def served(*folders):
    """The address of an explorer in a process of its own, with these runs."""
    code = (
        "import sys; from pathlib import Path; from interpolants.web import listen, open_runs, serve; "
        "own = listen(0); print(own.getsockname()[1], flush=True); "
        "serve(own, open_runs([Path(p) for p in sys.argv[1:]], allowed=[Path(p).parent for p in sys.argv[1:]]))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", code, *map(str, folders)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


@contextmanager
def chromium(profile):
    """A browser that keeps what is said on its console."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def complaints(browser):
    """What the console told since it was last asked; refusals in words are no fault."""
    told = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [text for text in told if "422" not in text]


class Page:
    """One page of the explorer; ``place`` is its path."""

    ready = (
        "window.explorer && (window.explorer.answer || window.explorer.settled)"
        " || document.querySelector('#status.error')"
    )

    def __init__(self, browser, address, place=""):
        self.browser, self.address = browser, address + place
        browser.get_log("browser")
        browser.set_window_size(*SIZE)

    def open(self, settings=None):
        self.browser.get("about:blank")
        self.browser.get(self.address + ("#" + quote(json.dumps(settings)) if settings else ""))
        self.wait(self.ready)

    def run(self, script):
        return self.browser.execute_script(script)

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"waited in vain for {condition}; status: {self.text('status')}"
            time.sleep(0.1)

    def text(self, name):
        return self.run(f"return document.getElementById('{name}').textContent")

    def value(self, name):
        return self.run(f"return document.getElementById('{name}').value")

    def kept(self):
        """The settings in the address."""
        return self.run("return JSON.parse(decodeURIComponent(location.hash.slice(1)) || '{}')")

    def put(self, name, value):
        """Set a control as a hand would."""
        kind = "checked" if isinstance(value, bool) else "value"
        self.run(
            f"const e = document.getElementById('{name}'); e.{kind} = {json.dumps(value)};"
            "e.dispatchEvent(new Event('input', {bubbles: true}))"
        )

    def set(self, name, value):
        """Set a control, and wait for the answer to it."""
        self.run("window.before = window.explorer.answer")
        self.put(name, value)
        self.wait("window.explorer.answer !== window.before")

    def click(self, name):
        self.run(f"document.getElementById('{name}').click()")

    def key(self, key, times=1):
        press = f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}));"
        self.run(press * times)

    def media(self, **features):
        """Emulate what a reader prefers, e.g. ``prefers_color_scheme="dark"``; nothing for no wishes."""
        wishes = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wishes})

    def is_wider_than_the_window(self):
        return self.run("return document.documentElement.scrollWidth > innerWidth")

    def shoot(self, file, until="footer"):
        """A picture of the page down to the end of an element, small enough to be kept."""
        from PIL import Image

        height = self.run("return document.documentElement.scrollHeight")
        self.browser.set_window_size(SIZE[0], height + 140)
        time.sleep(0.3)
        bottom = self.run(f"return document.querySelector('{until}').getBoundingClientRect().bottom")
        shot = Image.open(io.BytesIO(self.browser.get_screenshot_as_png())).convert("RGB")
        shot = shot.crop((0, 0, shot.width, min(shot.height, round(bottom) + 16)))
        shot = shot.resize(
            (KEPT_WIDTH, round(KEPT_WIDTH * shot.height / shot.width)), Image.Resampling.LANCZOS
        )
        shot.quantize(224, kmeans=4, dither=Image.Dither.NONE).save(file, optimize=True)
        self.browser.set_window_size(*SIZE)
