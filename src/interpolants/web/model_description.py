"""Description of a served model: facts as JSON, an OpenAPI document, and a page."""

import html
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from interpolants.foundations.plain_options import plain_kind
from interpolants.foundations.registry import card_of
from interpolants.foundations.said import arguments, arguments_of
from interpolants.foundations.trees import fingerprint
from interpolants.foundations.version import __version__
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.web.model_answers import JSON, NPY, NPZ
from interpolants.web.model_requests import Endpoint, Limits

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def facts_of(
    method: Method, name: str, endpoints: Iterable[Endpoint], left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Return the reply to ``GET /model``: method, data, verbs with their arguments, and a hash of the model."""
    card = card_of(type(method))
    data = {
        role: {
            "shape": list(method.shapes[role]) if role in method.shapes else None,
            "dtype": str(container.dtype).removeprefix("torch."),
            "columns": list(method.columns(role)) or None,
            "labels": list(container.columns) if container.container == "labels" else None,
        }
        for role, container in method.given.items()
    }
    return {
        "name": name,
        "method": type(method).__name__,
        "title": card.title if card else "",
        "limits": card.limits if card else "",
        "library": __version__,
        "fingerprint": fingerprint(method),
        "data": data,
        "verbs": {argument.path.strip("/"): _arguments(argument) for argument in endpoints},
        "left_out": dict(left_out),
    }


def _arguments(endpoint: Endpoint) -> dict[str, Any]:
    return {
        name: {"kind": kind, "required": needed, "about": about}
        for name, kind, needed, about in _listed(endpoint)
    }


def _listed(endpoint: Endpoint) -> list[tuple[str, str, bool, str]]:
    """Return name, kind, whether it is required, and description of each argument."""
    argument = endpoint.capability
    shared = arguments_of(argument.shares) if argument.shares is not None else {}
    about = arguments(argument.passes) | shared | arguments(argument.call)
    listed = [
        (role.name, role.kind, not role.optional, role.about or f"{role.name} of the model")
        for role in endpoint.roles.values()
    ]
    for name, parameter in endpoint.options.items():
        kind = _type_of(parameter.annotation)
        listed.append((name, kind, parameter.default is parameter.empty, about.get(name, "")))
    return [
        (name, kind, needed, " ".join(text.replace("``", "").split())) for name, kind, needed, text in listed
    ]


def _type_of(annotation: Any) -> str:
    kind = plain_kind(annotation)
    return (
        "array"
        if typing.get_origin(kind) is tuple
        else "any"
        if annotation is Any
        else _TYPES.get(kind, "any")
    )


def openapi(summary: Mapping[str, Any], endpoints: Iterable[Endpoint], limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a served model."""
    error = {"description": "Refused, with the library's message", "content": {JSON: {"schema": _ERROR}}}
    codes = {"422": error, "413": error, "415": error, "406": error, "429": error, "503": error}
    paths: dict[str, Any] = {
        "/health": {"get": _get("health", "Whether the server answers, and how many requests wait")},
        "/model": {"get": _get("model", "The model: its method, data, verbs and hash")},
    }
    for endpoint in endpoints:
        paths[endpoint.path] = {"post": _post(endpoint, codes)}
    sizes = (
        f"At most {limits.rows} rows and {limits.body} bytes a request, {limits.seconds:g} s of computing."
    )
    about = f"{summary['title']}. {sizes}"
    info = {"title": f"interpolants: {summary['name']}", "version": summary["library"], "description": about}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def _get(name: str, summary: str) -> dict[str, Any]:
    reply = {"description": summary, "content": {JSON: {"schema": {"type": "object"}}}}
    return {"operationId": name, "summary": summary, "responses": {"200": reply}}


def _post(endpoint: Endpoint, codes: Mapping[str, Any]) -> dict[str, Any]:
    listed = _listed(endpoint)
    properties = {name: _schema(name, kind, about, endpoint) for name, kind, _, about in listed}
    required = [name for name, _, needed, _ in listed if needed]
    body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    content: dict[str, Any] = {JSON: {"schema": {**body, "required": required} if required else body}}
    if endpoint.lead in endpoint.roles:
        content[NPY] = {"schema": {"type": "string", "format": "binary"}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    reply = {
        "description": "The answer",
        "content": {JSON: {"schema": {"type": "object"}}, NPY: binary, NPZ: binary},
    }
    about = (endpoint.capability.call.__doc__ or endpoint.capability.verb).strip().partition("\n")[0]
    return {
        "operationId": endpoint.capability.verb,
        "summary": about,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": reply, **codes},
    }


def _schema(name: str, kind: str, about: str, endpoint: Endpoint) -> dict[str, Any]:
    role: Role | None = endpoint.roles.get(name)
    description = {"description": about} if about else {}
    if role is None:
        return description | ({} if kind == "any" else {"type": [kind, "null"]})
    forms = {
        "rows": ["array", "object"],
        "series": ["array", "object"],
        "known": ["array"],
        "tokens": ["array", "string"],
    }
    return description | ({"type": forms[role.kind]} if role.kind in forms else {})


def page(summary: Mapping[str, Any], address: str) -> str:
    """Return the page of a served model: its facts, its endpoints with their arguments, and a command for each."""
    data = "".join(
        f"<tr><td><code>{_text(name)}</code></td><td>{_text(_data(about))}</td></tr>"
        for name, about in summary["data"].items()
    )
    verbs = "".join(_section(verb, listed, address) for verb, listed in summary["verbs"].items())
    left_out = "".join(
        f"<li><code>{_text(verb)}</code>: {_text(why)}</li>" for verb, why in summary["left_out"].items()
    )
    return _PAGE.format(
        title=_text(summary["name"]),
        method=_text(f"{summary['method']}: {summary['title']}"),
        limits=_text(summary["limits"]),
        library=_text(summary["library"]),
        fingerprint=_text(summary["fingerprint"]),
        data=data,
        verbs=verbs,
        left_out=f"<h2>Verbs without an endpoint</h2><ul>{left_out}</ul>" if left_out else "",
    )


def _data(about: Mapping[str, Any]) -> str:
    shape = "" if about["shape"] is None else f", rows of shape {tuple(about['shape'])}"
    columns = f", columns {', '.join(map(str, about['columns'][:20]))}" if about["columns"] else ""
    labels = f", labels {', '.join(map(str, about['labels'][:20]))}" if about["labels"] else ""
    return f"{about['dtype']}{shape}{columns}{labels}"


def _section(verb: str, listed: Mapping[str, Mapping[str, Any]], address: str) -> str:
    required = {name: argument for name, argument in listed.items() if argument["required"]}
    body: dict[str, Any] = {
        name: 16 if argument["kind"] == "integer" else [] for name, argument in required.items()
    }
    body |= {"seed": 0} if "seed" in listed else {}
    command = f"curl {address}/{verb} -H 'content-type: application/json' -d '{json.dumps(body)}'"
    rows = "".join(_row(name, argument) for name, argument in listed.items())
    return (
        f"<h2><code>POST /{_text(verb)}</code></h2><pre>{_text(command)}</pre>"
        f"<table><tr><th>argument</th><th>kind</th><th></th></tr>{rows}</table>"
    )


def _row(name: str, argument: Mapping[str, Any]) -> str:
    kind = f"{argument['kind']}, required" if argument["required"] else argument["kind"]
    return f"<tr><td><code>{_text(name)}</code></td><td>{_text(kind)}</td><td>{_text(argument['about'])}</td></tr>"


def _text(value: object) -> str:
    return html.escape(str(value))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="/static/model.css"></head>
<body><main><h1>{title}</h1><p>{method}</p><p>Limits: {limits}.</p>
<p>interpolants {library}, model <code>{fingerprint}</code>. As JSON: <a href="/model">/model</a>,
<a href="/openapi.json">/openapi.json</a>, <a href="/health">/health</a>.</p>
<h2>Data of the fit</h2><table>{data}</table>{verbs}{left_out}</main></body></html>
"""
