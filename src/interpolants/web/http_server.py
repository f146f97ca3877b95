"""HTTP server of the explorer and of models: a listening socket, and uvicorn with limits for slow clients."""

import socket
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.web.request_guard import PATIENCE

STATIC = Path(__file__).parent / "static"
HOSTS = ("127.0.0.1", "localhost", "::1")


def listen(port: int, host: str = "127.0.0.1", caller: str = "explore") -> socket.socket:
    """Return a listening socket: the address is free and known before it is printed.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on; by default this machine only.
        caller: Name of the command, used in error messages.

    Raises:
        InvalidInputError: If the port cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # a client may connect at once, and waits until it is served
    except OSError as error:
        listener.close()
        remedy = f"Choose another, e.g. --port {port + 1 if port < 65535 else 8000}, or --port 0 for any that is free."
        raise invalid(caller, f"the port must be free ({error.strerror})", port, remedy) from error
    return listener


def run_server(
    app: Any, listener: socket.socket, *, caller: str = "explore", grace: int | None = None
) -> None:
    """Serve an application on a socket from :func:`listen` until SIGINT or SIGTERM.

    Args:
        app: The application.
        listener: The socket.
        caller: Name of the command, used in error messages.
        grace: Seconds that open requests have to end after the signal; None for no limit.

    Raises:
        MissingExtraError: If uvicorn is not installed.
    """
    uvicorn = require("uvicorn", by=caller)
    config = uvicorn.Config(
        app,
        log_level="warning",
        http=_impatient(PATIENCE),
        ws="none",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=grace,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _impatient(seconds: float) -> Any:
    """Return the server's protocol, which drops a connection on which no request begins in time: headers sent slowly.

    A connection between two requests is subject to the server's own limit, and one with an open request stays.
    """
    base: Any = require("uvicorn.protocols.http.h11_impl", by="explore").H11Protocol

    class Impatient(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.start_deadline()

        def start_deadline(self) -> None:
            self.earlier = self.cycle
            self.deadline = self.loop.call_later(seconds, self.drop_if_idle)

        def drop_if_idle(self) -> None:
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering or self.cycle is not self.earlier:
                self.start_deadline()
            elif not self.transport.is_closing():
                self.transport.close()

        def connection_lost(self, error: Exception | None) -> None:
            self.deadline.cancel()
            super().connection_lost(error)

    return Impatient
