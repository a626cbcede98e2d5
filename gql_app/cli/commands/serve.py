"""`gql-app serve`: serves the API."""

import argparse

from gql_app.cli.settings import load_settings
from gql_app.web.server import serve


def main(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    settings = load_settings(
        host=options.host,
        port=options.port,
        allowed_origins=tuple(options.allow_origin),
        tools=tuple(options.tools),
        posture=options.posture,
        keys_file=options.keys_file,
        keys_in_store=options.keys_store,
        insecure=options.insecure,
        store=options.store,
        role=options.role,
        migrate=options.migrate,
        log_level=options.log_level,
    )
    return serve(settings)
