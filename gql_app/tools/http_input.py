"""The input of `http.request`."""

import re
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import httpx
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import to_json

from gql_app.core.values import Frozen, Json

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")
_FRAMING: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"}
)
_ONE_BODY: Final = "`json` and `text` exclude each other: a request has one body."
_MAXIMUM_PORT: Final = 65_535


class HttpMethod(StrEnum):
    """The methods a request may have."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"


def _check_url(text: str) -> str:
    # The messages leave the URL out: there may be a password in it.
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError("this is not a URL") from error
    if url.scheme not in ("http", "https"):
        raise ValueError("a URL begins with http:// or https://")
    if not url.host:
        raise ValueError("the URL names no host")
    if url.port is not None and not 0 < url.port <= _MAXIMUM_PORT:
        raise ValueError(f"the URL's port {url.port} is not one of 1 to {_MAXIMUM_PORT}")
    return text


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError(f"{name[:60]!r} is not the name of a header")
        if name.lower() in _FRAMING:
            raise ValueError(f"the header {name!r} is set by the tool itself; leave it out")
        # The value stays out of the message: it may be a secret.
        if _HEADER_VALUE.fullmatch(value) is None:
            raise ValueError(f"the value of the header {name!r} may hold only ASCII, with no space at either end")
    return headers


QueryScalar: TypeAlias = str | int | float | bool
Status = Annotated[int, Field(ge=100, le=599)]


class HttpRequestInput(Frozen):
    """What to ask of which server."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["json", "text"], "description": _ONE_BODY}})

    url: Annotated[
        str,
        Field(max_length=8_192, description="Where to; begins with http:// or https://."),
        AfterValidator(_check_url),
    ]
    method: Annotated[HttpMethod, Field(description="The request's method.")] = HttpMethod.GET
    headers: Annotated[
        dict[str, str], Field(max_length=100, description="The request's headers."), AfterValidator(_check_headers)
    ] = Field(default_factory=dict)
    query: Annotated[
        dict[str, QueryScalar | list[QueryScalar]],
        Field(max_length=1_000, description="Query parameters, added to those of the URL; a list repeats its name."),
    ] = Field(default_factory=dict)
    json_body: Annotated[
        Json, Field(alias="json", description="A JSON body; null is sent as null. Not together with `text`.")
    ] = None
    text: Annotated[str | None, Field(description="A text body, as UTF-8; null is none. Not together with `json`.")] = (
        None
    )
    expected_statuses: Annotated[
        tuple[Status, ...] | None,
        Field(min_length=1, description="The statuses that are a success; null stands for 200 to 299."),
    ] = None
    follow_redirects: Annotated[
        bool,
        Field(description="Whether to follow up to five redirects. Another server is not sent the headers given here."),
    ] = True

    @model_validator(mode="after")
    def _one_body(self) -> "HttpRequestInput":
        if {"json_body", "text"} <= self.model_fields_set:
            raise ValueError(_ONE_BODY)
        return self

    @property
    def content(self) -> tuple[bytes, str] | None:
        """The body and its content type."""
        if "json_body" in self.model_fields_set:
            return to_json(self.json_body), "application/json"
        return None if self.text is None else (self.text.encode(), "text/plain; charset=utf-8")

    def expects(self, status: int) -> bool:
        """Tell whether this status is a success."""
        return 200 <= status <= 299 if self.expected_statuses is None else status in self.expected_statuses
