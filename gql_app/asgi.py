"""The application for any ASGI server, set up by the environment: `uvicorn gql_app.asgi:app`."""

from gql_app.web.app import create_app

app = create_app()
