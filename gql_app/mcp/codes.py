"""Error codes of our own, beside those of JSON-RPC and MCP: what a transport tells a call of its failure."""

from typing import Final

UNAVAILABLE: Final = -32_098
"""The server cannot be reached, or has no session of ours any more."""
REFUSED: Final = -32_097
"""The server answered with an HTTP status that is an error."""
TOO_BIG: Final = -32_096
"""The answer is too long."""
UNREADABLE: Final = -32_095
"""The answer is no message."""
