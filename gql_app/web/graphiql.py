"""Renders the GraphiQL page and the policy it runs under."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Final

STATIC_DIRECTORY: Final = Path(__file__).parent / "static"

_SCRIPTS: Final = (
    "vendor/react.production.min.js",
    "vendor/react-dom.production.min.js",
    "vendor/graphiql.min.js",
    "graphiql.js",
)
_STYLES: Final = ("vendor/graphiql.min.css", "graphiql.css")

# What a Host header must look like to be written into a policy. IPv6 addresses have no form there.
_POLICY_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>gql_app · GraphiQL</title>
<link rel="icon" type="image/svg+xml" href="{static_url}/icon.svg">
{styles}
</head>
<body>
<div id="graphiql"><p class="loading">Loading GraphiQL…</p></div>
<noscript>
<p class="loading">GraphiQL needs JavaScript. Any other client can send its queries to <code>{endpoint}</code>.</p>
</noscript>
<script id="graphiql-config" type="application/json" nonce="{nonce}">{config}</script>
{scripts}
</body>
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """An operation that is open in GraphiQL when it is visited for the first time."""

    query: str
    variables: str = ""
    """The variables as the user reads them: JSON text, or nothing."""


def graphiql_page(*, endpoint: str, static_url: str, nonce: str, tabs: Sequence[Tab]) -> str:
    """Render the page that talks to `endpoint`, over HTTP and over a websocket of the same address.

    `static_url` is where `STATIC_DIRECTORY` is served. `nonce` is the one of this answer's
    `content_security_policy`. The user's own tabs, once there are any, win over `tabs`.
    """
    base = escape(static_url.rstrip("/"))
    allowed = escape(nonce)
    return _PAGE.format(
        static_url=base,
        endpoint=escape(endpoint),
        nonce=allowed,
        config=_script_json({"endpoint": endpoint, "tabs": [asdict(tab) for tab in tabs]}),
        styles="\n".join(f'<link rel="stylesheet" href="{base}/{name}">' for name in _STYLES),
        scripts="\n".join(f'<script defer nonce="{allowed}" src="{base}/{name}"></script>' for name in _SCRIPTS),
    )


def content_security_policy(*, nonce: str, host: str) -> str:
    """Say what the page may load: only what this server gives it. `host` is the request's Host header."""
    # Not every browser takes 'self' to mean websockets of the same address too.
    sockets = f" ws://{host} wss://{host}" if _POLICY_HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}'",
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self' data:",
            f"connect-src 'self'{sockets}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _script_json(value: object) -> str:
    """Encode `value` so that nothing in it can end the script element it is written into."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
