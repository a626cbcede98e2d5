"""The input of `http.request`."""

from enum import StrEnum
from typing import Annotated, Final

import httpx
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from gql_app.core.values import Frozen, Json
from gql_app.tools.http_auth import HEADER_VALUE, Auth, check_header_name
from gql_app.tools.http_body import Pointer, ResponseType
from gql_app.tools.http_pages import Pages
from gql_app.tools.http_stream import StreamFormat
from gql_app.tools.http_upload import Base64, Fields, FormFile, Upload, of_base64, of_form, of_json, of_text
from gql_app.tools.http_url import check_url

_ONE_BODY: Final = "a request has one body."
_EXCLUSIVE: Final = (
    ("json", "text", _ONE_BODY),
    ("json", "base64", _ONE_BODY),
    ("json", "form", _ONE_BODY),
    ("json", "files", _ONE_BODY),
    ("text", "base64", _ONE_BODY),
    ("text", "form", _ONE_BODY),
    ("text", "files", _ONE_BODY),
    ("base64", "form", _ONE_BODY),
    ("base64", "files", _ONE_BODY),
    ("select", "responseType", "what is selected is JSON."),
    ("pages", "responseType", "pages are JSON."),
    ("stream", "responseType", "a stream is text."),
    ("stream", "pages", "pages are read as a whole."),
)
"""Fields that cannot stand together, and why."""
_NO_SELECTION: Final = "`select` needs `lines` or `sse` as the `stream`: of a text nothing can be selected"


class HttpMethod(StrEnum):
    """The methods a request may have."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_header_name(name)
        # The value stays out of the message: it may be a secret.
        if HEADER_VALUE.fullmatch(value) is None:
            raise ValueError(f"the value of the header {name!r} may hold only ASCII, with no space at either end")
    return headers


def _apart(first: str, second: str, reason: str) -> str:
    return f"`{first}` and `{second}` exclude each other: {reason}"


Status = Annotated[int, Field(ge=100, le=599)]


class HttpRequestInput(Frozen):
    """What to ask of which server."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"not": {"required": [first, second]}, "description": _apart(first, second, reason)}
                for first, second, reason in _EXCLUSIVE
            ]
        }
    )

    url: Annotated[
        str,
        Field(max_length=8_192, description="Where to; begins with http:// or https://."),
        AfterValidator(check_url),
    ]
    method: Annotated[HttpMethod, Field(description="The request's method.")] = HttpMethod.GET
    headers: Annotated[
        dict[str, str], Field(max_length=100, description="The request's headers."), AfterValidator(_check_headers)
    ] = Field(default_factory=dict)
    query: Annotated[
        Fields,
        Field(max_length=1_000, description="Query parameters, added to those of the URL; a list repeats its name."),
    ] = Field(default_factory=dict)
    auth: Annotated[Auth | None, Field(description="Who asks; the server of `url` alone is told.")] = None
    json_body: Annotated[
        Json, Field(alias="json", description="A JSON body; null is sent as null. Not together with another body.")
    ] = None
    text: Annotated[
        str | None, Field(description="A text body, as UTF-8; null is none. Not together with another body.")
    ] = None
    base64: Annotated[
        Base64 | None,
        Field(description="A body of any bytes, in base64; null is none. Not together with another body."),
    ] = None
    form: Annotated[
        Fields | None, Field(max_length=1_000, description="The fields of a form; a list repeats its name.")
    ] = None
    files: Annotated[
        tuple[FormFile, ...] | None,
        Field(min_length=1, max_length=100, description="The files of a form, which is sent as multipart then."),
    ] = None
    expected_statuses: Annotated[
        tuple[Status, ...] | None,
        Field(min_length=1, description="The statuses that are a success; null stands for 200 to 299."),
    ] = None
    follow_redirects: Annotated[
        bool,
        Field(
            description="Whether to follow up to five redirects. Another server is sent neither `auth` nor the headers"
            " given here."
        ),
    ] = True
    response_type: Annotated[
        ResponseType,
        Field(description="What becomes of the body; `auto`: JSON if its content type says so, else text."),
    ] = ResponseType.AUTO
    select: Annotated[
        Pointer | None,
        Field(
            description="A JSON Pointer (RFC 6901), such as `/data/items`: only what stands there in the JSON body is"
            " the answer's body. With `stream`, in each line or event; those that have nothing there are left out."
        ),
    ] = None
    stream: Annotated[
        StreamFormat | None,
        Field(
            description="Show the body while it comes: as it is (`text`), by `lines`, or the data of server-sent events"
            " (`sse`). All that was shown is the answer's body."
        ),
    ] = None
    pages: Annotated[Pages | None, Field(description="Read the pages that follow, too, and join their items.")] = None

    @model_validator(mode="after")
    def _fits_together(self) -> "HttpRequestInput":
        given = {type(self).model_fields[name].alias for name in self.model_fields_set}
        for first, second, reason in _EXCLUSIVE:
            if {first, second} <= given:
                raise ValueError(_apart(first, second, reason))
        if self.stream is StreamFormat.TEXT and self.select is not None:
            raise ValueError(_NO_SELECTION)
        if self.pages is not None and self.pages.field is not None and "json_body" not in self.model_fields_set:
            raise ValueError("`pages.field` is a place in `json`, which is missing")
        if self.auth is not None and (name := self.auth.header[0]) in {key.lower() for key in self.headers}:
            raise ValueError(f"`auth` and the header {name!r} exclude each other")
        if self.auth is not None and httpx.URL(self.url).userinfo:
            raise ValueError("`auth` and a user in the URL exclude each other")
        return self

    def upload(self) -> Upload | None:
        """The body to send."""
        if "json_body" in self.model_fields_set:
            return of_json(self.json_body)
        if self.text is not None:
            return of_text(self.text)
        if self.base64 is not None:
            return of_base64(self.base64)
        if self.form is not None or self.files is not None:
            return of_form(self.form or {}, self.files or ())
        return None

    def expects(self, status: int) -> bool:
        """Tell whether this status is a success."""
        return 200 <= status <= 299 if self.expected_statuses is None else status in self.expected_statuses
