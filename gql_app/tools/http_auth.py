"""How `http.request` says who asks: made for secrets, and for one server only."""

import re
from base64 import b64encode
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from gql_app.core.values import Frozen, Json

HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")
FRAMING: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"}
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ONE_WAY: Final = "give one of `basic`, `bearer` and `apiKey`"


# None of these messages shows what was given: it may be a secret.


def check_header_name(name: str) -> str:
    """Refuse what is not the name of a header, and those that the tool writes itself."""
    if HEADER_NAME.fullmatch(name) is None:
        raise ValueError(f"{name[:60]!r} is not the name of a header")
    if name.lower() in FRAMING:
        raise ValueError(f"the header {name!r} is set by the tool itself; leave it out")
    return name


def _only_text(value: Json) -> Json:
    if not isinstance(value, str):
        raise ValueError("this must be a string")
    return value


def _only_object(value: Json) -> Json:
    if not isinstance(value, dict | Frozen):
        raise ValueError("this must be an object")
    return value


def _header_value(value: str) -> str:
    if HEADER_VALUE.fullmatch(value) is None:
        raise ValueError("this may hold only ASCII, with no space at either end and no line breaks")
    return value


def _no_control(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("this may hold no control characters")
    return value


def _no_colon(value: str) -> str:
    if ":" in value:
        raise ValueError("the name of a user may hold no colon")
    return value


_Text = Annotated[str, BeforeValidator(_only_text)]
_Token = Annotated[str, Field(min_length=1), BeforeValidator(_only_text), AfterValidator(_header_value)]


class Basic(Frozen):
    """A name and a password."""

    username: Annotated[_Text, AfterValidator(_no_control), AfterValidator(_no_colon)]
    password: Annotated[_Text, AfterValidator(_no_control), Field(repr=False)]


class ApiKey(Frozen):
    """A header of the server's own."""

    header: Annotated[str, AfterValidator(check_header_name), Field(description="The header's name.")]
    value: Annotated[_Token, Field(repr=False, description="The key, best `${ secrets.NAME }`.")]


class Auth(Frozen):
    """Who asks. Only the server of `url` is told, never another one it redirects to or names as the next page."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    basic: Annotated[
        Basic | None, BeforeValidator(_only_object), Field(description="`Authorization: Basic …`, as UTF-8.")
    ] = None
    bearer: Annotated[
        _Token | None, Field(repr=False, description="`Authorization: Bearer …`, best `${ secrets.NAME }`.")
    ] = None
    api_key: Annotated[
        ApiKey | None, BeforeValidator(_only_object), Field(description="A header of the server's own.")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, value: Json) -> Json:
        return _only_object(value)

    @model_validator(mode="after")
    def _one_way(self) -> "Auth":
        if [getattr(self, name) is not None for name in self.model_fields_set] != [True]:
            raise ValueError(_ONE_WAY)
        return self

    @property
    def header(self) -> tuple[str, str]:
        """The header to send, its name in lower case."""
        if self.basic is not None:
            pair = f"{self.basic.username}:{self.basic.password}".encode()
            return "authorization", f"Basic {b64encode(pair).decode()}"
        if self.api_key is not None:
            return self.api_key.header.lower(), self.api_key.value
        return "authorization", f"Bearer {self.bearer}"
