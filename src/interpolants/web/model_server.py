"""HTTP server of one model: an endpoint for each verb, with the bits that Python gives at the same seed."""

import secrets
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook

from interpolants.foundations.errors import DivergedError, InterpolantsError, InvalidInputError, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.registry import only_stored_kinds
from interpolants.foundations.tell import InterpolantsWarning
from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.method import Method
from interpolants.web.http_server import HOSTS, STATIC, run_server
from interpolants.web.model_answers import JSON, NPY, NPZ, Reply, encode
from interpolants.web.model_description import facts_of, openapi, page
from interpolants.web.model_requests import Endpoint, Limits
from interpolants.web.request_guard import PATIENCE, Guard
from interpolants.web.work import BusyError, CancelledError, Desk, OvertimeError, Work

_MEDIA = {"": JSON, "*/*": JSON, "application/*": JSON, JSON: JSON, NPY: NPY, NPZ: NPZ}
_MEMORY = ("alloc", "out of memory")


class _RefusedError(Exception):
    """A request that is refused with its own HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


_ANSWERED = (_RefusedError, BusyError, CancelledError, InterpolantsError)


def endpoints_of(method: Method, limits: Limits) -> tuple[dict[str, Endpoint], dict[str, str]]:
    """Return the endpoints of a method by path, and its verbs without one, each with the reason."""
    endpoints, left_out = {}, {}
    for capability in capabilities_of(type(method)).values():
        endpoint = Endpoint(method, capability, limits)
        if capability.verb == "adapt":
            left_out["adapt"] = "its answer is another model. Use Python or the command line."
        elif why := endpoint.unavailable():
            left_out[capability.verb] = why
        else:
            endpoints[endpoint.path] = endpoint
    return endpoints, left_out


def create_model_app(
    method: Method, name: str = "model", *, hosts: Sequence[str] = HOSTS, limits: Limits | None = None
) -> Any:
    """Return the application that serves one model, for a server of your choice with one process.

    ``GET /`` is a page, ``/openapi.json`` describes the endpoints, ``/model`` the model, ``/health`` the server. ``POST
    /VERB`` takes JSON, or the rows as .npy with other arguments in the query, and answers JSON, .npy or .npz by the
    ``Accept`` header. One thread computes, one request after another. A request without a seed gets a random one, which
    is part of the answer.

    Args:
        method: The fitted model.
        name: Name of the model, shown to clients.
        hosts: Host names that the server answers to.
        limits: Limits of a request.

    Raises:
        MissingExtraError: If FastAPI is not installed.
    """
    fastapi = require("fastapi", by="serve")
    responses = require("fastapi.responses", by="serve")
    staticfiles = require("fastapi.staticfiles", by="serve")
    exceptions = require("starlette.exceptions", by="serve")
    limits = limits or Limits()
    endpoints, left_out = endpoints_of(method, limits)
    summary = facts_of(method, name, endpoints.values(), left_out)
    document = openapi(summary, endpoints.values(), limits)
    desk = Desk(limits.seconds, limits.waiting, "serve")

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        yield
        desk.close()

    async def answer(verb: str, request: Any) -> Any:
        try:
            reply = await _reply(desk, _endpoint(endpoints, left_out, verb), request)
        except _ANSWERED as error:
            status, text = _status(error)
            return responses.JSONResponse(
                {"error": text}, status, {"retry-after": "1"} if status == 429 else None
            )
        return responses.Response(reply.body, media_type=reply.media, headers=dict(reply.headers))

    def show_page(request: Any) -> Any:
        return responses.HTMLResponse(page(summary, str(request.base_url).rstrip("/")))

    async def refused(_: Any, error: Any) -> Any:
        return responses.JSONResponse({"error": f"{error.detail}."[:200]}, error.status_code, error.headers)

    async def failed(_: Any, error: Any) -> Any:
        text = f"serve: the request failed ({type(error).__name__}), which is an error of the library."
        return responses.JSONResponse({"error": text}, 500)

    answer.__annotations__ = {"verb": str, "request": fastapi.Request}
    show_page.__annotations__ = {"request": fastapi.Request}
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.get("/")(show_page)
    app.get("/health")(lambda: {"status": "ok", "open": desk.open})
    app.get("/model")(lambda: responses.JSONResponse(summary))
    app.get("/openapi.json")(lambda: responses.JSONResponse(document))
    app.post("/{verb}")(answer)
    app.mount("/static", staticfiles.StaticFiles(directory=STATIC), name="static")
    app.exception_handler(exceptions.HTTPException)(refused)
    app.exception_handler(Exception)(failed)
    app.add_middleware(Guard, hosts=hosts, patience=max(PATIENCE, limits.seconds), largest=limits.body)
    return app


async def _reply(desk: Desk, endpoint: Endpoint, request: Any) -> Reply:
    media = _media(request.headers.get("accept", ""))
    arguments = _arguments(endpoint, request, await request.body())
    return await desk.result(task_of(endpoint, arguments, media), request.is_disconnected)


def _status(error: Exception) -> tuple[int, str]:
    """Return the status and the text of an error that a request may cause."""
    if isinstance(error, _RefusedError):
        return error.status, str(error)
    if isinstance(error, BusyError):
        return 429, "serve: too many requests wait. Try again later."
    if isinstance(error, CancelledError):
        return 503, "serve: the request was cancelled."
    if isinstance(error, OvertimeError):
        return 503, str(error)
    if isinstance(error, InvalidInputError | DivergedError):
        return 422, str(error)
    return 500, str(error)


def _endpoint(endpoints: dict[str, Endpoint], left_out: dict[str, str], verb: str) -> Endpoint:
    if f"/{verb}" in endpoints:
        return endpoints[f"/{verb}"]
    why = left_out.get(verb.replace("-", "_"))
    paths = [path.strip("/") for path in endpoints]
    raise _RefusedError(
        404, f"serve: {verb[:80]}: {why or f'there is no such verb. {nearest(verb[:80], paths)}'}"
    )


def _media(accept: str) -> str:
    """Return the media type of the answer: the first of the header that the server can write."""
    accepted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for part in accepted:
        if part in _MEDIA:
            return _MEDIA[part]
    raise _RefusedError(406, f"serve: Accept must name one of {JSON}, {NPY}, {NPZ}, got {accept[:80]}.")


def _arguments(endpoint: Endpoint, request: Any, body: bytes) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    query = request.query_params.multi_items()
    if kind == NPY:
        if len(dict(query)) != len(query):
            raise _RefusedError(422, "serve: each argument of the query must stand once.")
        return endpoint.from_npy(body, dict(query))
    if kind != JSON:
        raise _RefusedError(415, f"serve: Content-Type must be {JSON} or {NPY}, got {kind[:80] or 'none'}.")
    if query:
        raise _RefusedError(
            422, f"serve: the arguments of JSON must be in the body, got {query[0][0][:80]} in the query."
        )
    return endpoint.from_json(body)


def task_of(endpoint: Endpoint, arguments: dict[str, Any], media: str) -> Callable[[Work], Reply]:
    """Return the computation of one request: the verb in Python, and its answer as bytes.

    Args:
        endpoint: The verb.
        arguments: Checked arguments; where the verb takes a seed and none is given, a random one is drawn.
        media: Media type of the answer.
    """
    method, capability = endpoint.method, endpoint.capability
    if "seed" in endpoint.options and arguments.get("seed") is None:
        default = endpoint.options["seed"].default
        arguments = {**arguments, "seed": secrets.randbits(31) if default is None else default}

    def task(job: Work) -> Reply:
        with _within(job), only_stored_kinds(), warnings.catch_warnings(record=True) as issued:
            warnings.simplefilter("always", InterpolantsWarning)
            try:
                answer = getattr(method, capability.verb)(**arguments)
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError) and not any(
                    phrase in str(error).lower() for phrase in _MEMORY
                ):
                    raise
                raise InvalidInputError(
                    "serve: the request must fit into memory. Request fewer rows."
                ) from error
        texts = [
            str(capability.message)
            for capability in issued
            if issubclass(capability.category, InterpolantsWarning)
        ]
        return encode(
            answer,
            capability.verb,
            media,
            columns=method.columns(capability.source(capability.like)),
            seed=arguments.get("seed"),
            warnings=list(dict.fromkeys(texts)),
            limit=endpoint.limits.numbers,
        )

    return task


@contextmanager
def _within(job: Work) -> Iterator[None]:
    """End the work at the next call of a network once its time is up, or its client has left."""
    handle = register_module_forward_pre_hook(lambda *_: job.step())
    try:
        yield
    finally:
        handle.remove()


def serve_model(
    method: Method,
    listener: socket.socket,
    name: str = "model",
    *,
    names: Sequence[str] = (),
    limits: Limits | None = None,
) -> None:
    """Serve one model on a socket from ``listen`` until SIGINT or SIGTERM; open requests are answered first.

    Args:
        method: The fitted model.
        listener: The socket.
        name: Name of the model, shown to clients.
        names: Further host names under which clients reach this machine.
        limits: Limits of a request.

    Raises:
        MissingExtraError: If FastAPI or uvicorn is not installed.
    """
    limits = limits or Limits()
    hosts = (*HOSTS, listener.getsockname()[0], *names)
    app = create_model_app(method, name, hosts=hosts, limits=limits)
    run_server(app, listener, caller="serve", grace=int(limits.seconds) + 1)
