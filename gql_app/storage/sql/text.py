"""Text that sorts and compares the same in every database."""

from typing import Final

from sqlalchemy import Dialect, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

_ESCAPES: Final = (("\x01", "\x01\x02"), ("\x00", "\x01\x01"))
"""Postgres takes no NUL in a text. Escaped like this, texts still sort by their characters."""


class PlainText(TypeDecorator[str]):
    """Any text: compared by code points, whatever the language of the database."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Take the order of bytes, which is that of code points in UTF-8."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write a text."""
        if value is not None and ("\x00" in value or "\x01" in value):
            for plain, escaped in _ESCAPES:
                value = value.replace(plain, escaped)
        return value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Read a text."""
        if value is not None and "\x01" in value:
            for plain, escaped in reversed(_ESCAPES):
                value = value.replace(escaped, plain)
        return value


class PlainId(TypeDecorator[str]):
    """An id or a name made by us. Others can be asked for, even such as Postgres takes in no text; none is there."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write an id."""
        return value.replace("\x00", "\x01\x01") if value is not None and "\x00" in value else value
