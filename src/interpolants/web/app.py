"""Server of the explorer: pages, stored runs, and one background computation at a time; local only."""

import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import InterpolantsError, InvalidInputError
from interpolants.foundations.extras import require
from interpolants.web import bridge_motion, measurements, plane_distributions, serialization
from interpolants.web.http_server import HOSTS, STATIC, run_server
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
from interpolants.web.request_guard import Guard
from interpolants.web.run_page import entry_of, page_of
from interpolants.web.runs import THEMES, Shown, shown_at
from interpolants.web.work import SECONDS, Answer, BusyError, Desk, Work, finite
from interpolants.web.work_precision import price_scene, prices

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


def serve(own: socket.socket, runs: Sequence[Shown] = ()) -> None:
    """Serve the explorer on a socket from :func:`listen` until it is interrupted.

    Args:
        own: The socket.
        runs: What may be shown, from ``open_runs``.

    Raises:
        MissingExtraError: If FastAPI or uvicorn is not installed.
    """
    run_server(create_app(runs, hosts=(*HOSTS, own.getsockname()[0])), own)
