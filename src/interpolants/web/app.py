"""The server of the explorer: one page, one question at a time, on this machine only."""

import asyncio
import json
import socket
import struct
import threading
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import DivergedError, InterpolantsError, invalid, nearest
from interpolants.foundations.extras import require
from interpolants.web import laws
from interpolants.web.playground import (
    BUDGET,
    ENVELOPES,
    GRID,
    METHODS,
    PATHS,
    REACH,
    SHAPES,
    Answer,
    CancelledError,
    Question,
    simulate,
)

STATIC = Path(__file__).parent / "static"
LARGEST_BODY = 64_000
# Nothing but the page's own files may run or be shown.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app() -> Any:
    """The application, for a server of your choice.

    Raises:
        MissingExtraError: If FastAPI is not installed.
    """
    fastapi = require("fastapi", by="explore")
    responses, staticfiles = (
        require("fastapi.responses", by="explore"),
        require("fastapi.staticfiles", by="explore"),
    )
    app = fastapi.FastAPI(title="interpolants explorer", docs_url=None, redoc_url=None, openapi_url=None)
    at_work = asyncio.Semaphore(1)

    async def with_headers(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    async def page() -> Any:
        return responses.FileResponse(STATIC / "index.html")

    async def choices() -> dict[str, Any]:
        lists = {
            "laws": laws.NAMES,
            "paths": PATHS,
            "envelopes": ENVELOPES,
            "shapes": SHAPES,
            "methods": METHODS,
        }
        limits = {"budget": BUDGET, "grid": GRID, "reach": REACH}
        return {**{name: list(values) for name, values in lists.items()}, **limits}

    async def answer(request: Any) -> Any:
        body = await request.body()
        if len(body) > LARGEST_BODY:
            return responses.JSONResponse(
                {"error": f"A question may have {LARGEST_BODY} bytes at most."}, 413
            )
        try:
            question = Question.model_validate(json.loads(body))
        except (ValueError, RecursionError) as error:
            return responses.JSONResponse({"error": _words(error)}, 422)
        gone = threading.Event()
        async with at_work:
            work = asyncio.get_running_loop().run_in_executor(
                None, lambda: simulate(question, is_wanted=lambda: not gone.is_set())
            )
            while not work.done():
                await asyncio.wait([work], timeout=0.25)
                if await request.is_disconnected():
                    gone.set()
        try:
            return responses.Response(packed(work.result()), media_type="application/octet-stream")
        except CancelledError:
            return responses.JSONResponse({"error": "Cancelled."}, 499)
        except DivergedError as error:
            return responses.JSONResponse({"error": str(error)}, 422)
        except InterpolantsError as error:
            return responses.JSONResponse({"error": str(error)}, 422)

    answer.__annotations__ = {"request": fastapi.Request}
    app.middleware("http")(with_headers)
    app.get("/")(page)
    app.get("/api/choices")(choices)
    app.post("/api/simulate")(answer)
    app.mount("/static", staticfiles.StaticFiles(directory=STATIC), name="static")
    return app


def packed(answer: Answer) -> bytes:
    """Length of the head, the head as JSON, particles as float32 and density as bytes, both frame by frame."""
    head = {
        "times": [round(float(t), 6) for t in answer.times],
        "eps": [round(float(e), 6) for e in answer.eps_used],
        "n": answer.particles.shape[1],
        "grid": answer.density.shape[1],
        "nfe": answer.nfe,
        "distance": answer.distance,
        "floor": answer.floor,
    }
    text = json.dumps(head).encode()
    text += b" " * (-(4 + len(text)) % 4)  # so that the numbers after it are aligned
    return struct.pack("<I", len(text)) + text + answer.particles.tobytes() + answer.density.tobytes()


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


def serve(own: socket.socket) -> None:
    """Serve the explorer on a socket from :func:`listen` until it is interrupted.

    Raises:
        MissingExtraError: If FastAPI or uvicorn is not installed.
    """
    uvicorn = require("uvicorn", by="explore")
    uvicorn.Server(uvicorn.Config(create_app(), log_level="warning")).run(sockets=[own])


def _words(error: Exception) -> str:
    """A refused question in one sentence: which entry, which rule, which value."""
    details = getattr(error, "errors", None)
    if details is None:
        return "The question must be a JSON object."
    first = details()[0]
    place = ".".join(str(part) for part in first["loc"]) or "question"
    if first["type"] == "extra_forbidden":
        return f"{place}: there is no such setting. {nearest(place, Question.model_fields)}"
    value = repr(first.get("input"))
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {value[:60]}"
