"""Content types, as far as they matter here."""

from email.message import Message
from functools import lru_cache


@lru_cache(maxsize=64)
def is_json(content_type: str | None) -> bool:
    """Whether a body of this type is JSON in UTF-8. A page of another origin cannot send such a body unasked."""
    if content_type is None:
        return False
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset", "utf-8")
    return message.get_content_type() == "application/json" and str(charset).lower() in {"utf-8", "utf8"}
