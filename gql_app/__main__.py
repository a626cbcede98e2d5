"""`python -m gql_app` is `gql-app`."""

import sys

from gql_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
