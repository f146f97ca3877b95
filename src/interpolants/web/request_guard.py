"""Request guard: checks the Host header and the body size, and sets the response's security headers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

LARGEST_BODY = 64_000
PATIENCE = 10.0
LONGEST_ADDRESS = 4_000
# Nothing but the page's own files may run or be shown, and no other page may hold this one in a frame.
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class TooLargeError(Exception):
    """A body is longer than it may be."""


class TooSlowError(Exception):
    """A body does not arrive."""


class Guard:
    """Lets requests pass that were meant for this server; counts bodies while they come in.

    A page of another origin can make a browser send requests to this machine, and a name that is bound to this
    machine's address can make it read the replies. So the host, and the origin if one is told, must be our own.

    Args:
        app: What stands behind.
        hosts: Names that this server answers to, without port.
        patience: Seconds within which a body must have arrived.
        largest: Largest body, in bytes.
    """

    def __init__(
        self,
        app: Application,
        hosts: Iterable[str],
        patience: float = PATIENCE,
        largest: int = LARGEST_BODY,
    ) -> None:
        self.app, self.hosts, self.patience, self.largest = app, frozenset(hosts), patience, largest

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer or refuse."""
        if scope["type"] == "websocket":
            return await _refuse_upgrade(receive, send)
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return None
        if refused := self._refusal(scope):
            status, text = refused
            return await _refuse(send, status, text)
        # The page's files are small and sent whole: a range, well or badly formed, is left out.
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() != b"range"]}
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                kept = [
                    pair
                    for pair in message.get("headers", [])
                    if pair[0].decode("latin-1").lower() not in HEADERS
                ]
                message = {**message, "headers": [*kept, *own]}
            try:
                async with asyncio.timeout(PATIENCE):  # waits while the client does not read
                    await send(message)
            except TimeoutError:
                raise TooSlowError from None

        try:
            await self.app(scope, _counted(receive, self.patience, self.largest), send_on)
        except TooLargeError:
            if not begun:
                await _refuse(send, 413, f"A question may have {self.largest} bytes at most.")
        except TooSlowError:
            if not begun:
                await _refuse(send, 408, f"A question must arrive within {self.patience:g} s.")
        return None

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        named = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host, origin = named.get(b"host", ""), named.get(b"origin")
        if b"upgrade" in named:
            return 400, "There are no WebSockets here."
        if _name(host) not in self.hosts:
            return (
                403,
                "The request was meant for another host. Open the address that the command line printed.",
            )
        if origin is not None and origin != f"http://{host}":
            return 403, "Requests from other pages are refused."
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > LONGEST_ADDRESS:
            return 414, f"An address may have {LONGEST_ADDRESS} characters at most."
        if "\0" in scope.get("path", ""):  # what serves files ends in an error of its own, in older releases
            return 404, "There is no such address."
        return None


def _name(host: str) -> str | None:
    """The host without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _counted(receive: Receive, patience: float, largest: int) -> Receive:
    taken, whole, end = 0, False, asyncio.get_running_loop().time() + patience

    async def receive_on() -> Message:
        nonlocal taken, whole
        if whole:  # what comes now is the end of the connection, which may take as long as the answer
            return await receive()
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise TooSlowError from None
        if message["type"] == "http.request":
            whole = not message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > largest:
                raise TooLargeError
        return message

    return receive_on


async def _refuse_upgrade(receive: Receive, send: Send) -> None:
    """Close a WebSocket before it is accepted, which servers answer with status 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": "There are no WebSockets here."})


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **HEADERS}
    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
