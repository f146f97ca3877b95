"""Server of the explorer: pages, stored runs, and one background computation at a time; local only."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import InterpolantsError, InvalidInputError, invalid
from interpolants.foundations.extras import require
from interpolants.web import bridge_motion, measurements, plane_distributions, serialization
from interpolants.web.playground import (
    GRID,
    REACH,
    SHAPES,
    Question,
    envelopes,
    paths,
    scene,
    simulate,
    stages,
)
from interpolants.web.request_guard import PATIENCE, Guard
from interpolants.web.run_page import entry_of, page_of
from interpolants.web.runs import THEMES, Shown, shown_at
from interpolants.web.work import SECONDS, Answer, BusyError, Desk, Work, finite
from interpolants.web.work_precision import price_scene, prices

STATIC = Path(__file__).parent / "static"
HOSTS = ("127.0.0.1", "localhost", "::1")
PAGES = {"/": "index.html", "/runs": "runs.html", "/run": "view.html", "/compare": "view.html"}

Model = TypeVar("Model", bound=BaseModel)
Task = Callable[[Work], Answer]


def create_app(runs: Sequence[Shown] = (), *, hosts: Sequence[str] = HOSTS, seconds: float = SECONDS) -> Any:
    """The application, for a server of your choice.

    Args:
        runs: What may be shown, from ``open_runs``.
        hosts: Names that the server answers to.
        seconds: Limit of each piece of work.

    Raises:
        MissingExtraError: If FastAPI is not installed.
    """
    fastapi = require("fastapi", by="explore")
    responses = require("fastapi.responses", by="explore")
    staticfiles = require("fastapi.staticfiles", by="explore")
    requests = require("starlette.requests", by="explore")
    exceptions = require("starlette.exceptions", by="explore")
    app = fastapi.FastAPI(title="interpolants explorer", docs_url=None, redoc_url=None, openapi_url=None)
    desk = Desk(seconds)

    def told(text: str, status: int, **headers: str) -> Any:
        return responses.JSONResponse({"error": text}, status, headers)

    def page(file: str) -> Callable[[], Any]:
        async def sent() -> Any:
            return responses.FileResponse(STATIC / file)

        return sent

    def answers(model: type[Model], plan: Callable[[Model], Task]) -> Callable[[Any], Any]:
        """A route that checks a question at once and streams the work on it."""

        async def answer(request: Any) -> Any:
            try:
                task = plan(serialization.asked(await request.body(), model))
                lines = desk.take(task)
            except InvalidInputError as error:
                return told(str(error), 422)
            except requests.ClientDisconnect:
                return told("Nobody waits for this any more.", 400)
            except BusyError:
                return told("Too much work waits already. Try again in a while.", 429, **{"retry-after": "5"})
            return responses.StreamingResponse(lines, media_type="application/octet-stream")

        answer.__annotations__ = {"request": fastapi.Request}
        return answer

    async def choices() -> dict[str, Any]:
        members = {"paths": paths(), "envelopes": envelopes(), "shapes": SHAPES, "methods": stages()}
        named = {name: list(values) for name, values in members.items()}
        return {"laws": plane_distributions.NAMES, **named, "grid": GRID, "reach": REACH}

    def known() -> dict[str, Any]:
        return {"runs": [shown.line(index) for index, shown in enumerate(runs)]}

    def entries() -> Any:
        return finite({"runs": [entry_of(shown, index) for index, shown in enumerate(runs)]})

    def run(index: int) -> Any:
        return finite(page_of(shown_at(runs, index), index))

    def figure(index: int, number: int, theme: str) -> Any:
        image = shown_at(runs, index).drawn(number, one_of("explorer", "theme", theme, THEMES))
        return responses.Response(image, media_type="image/png")

    async def not_there(request: Any, error: Any) -> Any:
        return told(str(error), 404)

    async def refused(request: Any, error: Any) -> Any:
        return told(f"{error.detail}."[:200], error.status_code, **(error.headers or {}))

    async def unreadable(request: Any, error: Any) -> Any:
        return told("The address holds something that is no number.", 422)

    async def failed(request: Any, error: Any) -> Any:
        return told("explorer: this failed, which is a fault of ours. Please report how you got here.", 500)

    for place, file in PAGES.items():
        app.get(place)(page(file))
    app.get("/api/choices")(choices)
    app.get("/api/runs")(known)
    app.get("/api/index")(entries)
    app.get("/api/runs/{index}")(run)
    app.get("/api/runs/{index}/figures/{number}/{theme}")(figure)
    app.post("/api/simulate")(answers(Question, _simulation))
    app.post("/api/prices")(answers(Question, _prices))
    app.post("/api/carry")(
        answers(bridge_motion.Journey, lambda question: bridge_motion.plan(question, runs).make)
    )
    app.post("/api/judge")(
        answers(measurements.Judgement, lambda question: measurements.measure(question, runs))
    )
    app.mount("/static", staticfiles.StaticFiles(directory=STATIC), name="static")
    app.exception_handler(InterpolantsError)(not_there)
    app.exception_handler(exceptions.HTTPException)(refused)
    app.exception_handler(require("fastapi.exceptions", by="explore").RequestValidationError)(unreadable)
    app.exception_handler(Exception)(failed)
    app.add_middleware(Guard, hosts=hosts)
    return app


def _simulation(question: Question) -> Task:
    scene(question)  # refused at once, if at all
    return lambda work: serialization.picture(simulate(question, work))


def _prices(question: Question) -> Task:
    price_scene(question)
    return lambda work: Answer(prices(question, work))


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket, so that the address is known, and free, before anything is said.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on; by default this machine only.

    Raises:
        InvalidInputError: If the port cannot be had.
    """
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((host, port))
        own.listen()  # whoever is told the address may call at once and waits until it is served
    except OSError as error:
        own.close()
        remedy = f"Choose another, e.g. --port {port + 1 if port < 65535 else 8000}, or --port 0 for any that is free."
        raise invalid("explore", f"the port must be free ({error.strerror})", port, remedy) from error
    return own


def serve(own: socket.socket, runs: Sequence[Shown] = ()) -> None:
    """Serve the explorer on a socket from :func:`listen` until it is interrupted.

    Args:
        own: The socket.
        runs: What may be shown, from ``open_runs``.

    Raises:
        MissingExtraError: If FastAPI or uvicorn is not installed.
    """
    uvicorn = require("uvicorn", by="explore")
    app = create_app(runs, hosts=(*HOSTS, own.getsockname()[0]))
    config = uvicorn.Config(
        app, log_level="warning", http=_impatient(PATIENCE), ws="none", timeout_keep_alive=5
    )
    uvicorn.Server(config).run(sockets=[own])


def _impatient(seconds: float) -> Any:
    """The server's protocol, which drops a connection whose request does not begin in time: headers sent slowly."""
    base: Any = require("uvicorn.protocols.http.h11_impl", by="explore").H11Protocol

    class Impatient(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.deadline = self.loop.call_later(seconds, self.drop_if_idle)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.deadline.when() <= self.loop.time():  # it has rung: a further request begins
                self.deadline = self.loop.call_later(seconds, self.drop_if_idle)

        def drop_if_idle(self) -> None:
            if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
                self.transport.close()

        def connection_lost(self, error: Exception | None) -> None:
            self.deadline.cancel()
            super().connection_lost(error)

    return Impatient
