"""What authors of tools import."""

import subprocess
import sys
import tomllib

import gql_app
from gql_app import testing
from tests.support.requirements import REPOSITORY


def test_importing_the_package_loads_no_server_client_or_graphql() -> None:
    heavy = "{'strawberry', 'starlette', 'httpx', 'graphql', 'uvicorn', 'cel_expr_python'}"
    program = f"import sys, gql_app; print(sorted({heavy} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_everything_promised_is_there() -> None:
    assert all(hasattr(gql_app, name) for name in gql_app.__all__)
    assert set(gql_app.__all__) == {
        "RateLimit",
        "Resource",
        "RetryPolicy",
        "TimeoutPolicy",
        "ToolContext",
        "ToolError",
        "__version__",
        "resource",
        "tool",
    }


def test_testing_needs_no_test_runner_and_loads_no_server() -> None:
    heavy = "{'pytest', 'hypothesis', 'strawberry', 'starlette', 'uvicorn', 'sqlalchemy', 'mcp', 'pydantic_ai'}"
    program = f"import sys, gql_app.testing; print(sorted({heavy} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_everything_in_testing_says_what_it_is() -> None:
    exported = {name: getattr(testing, name) for name in testing.__all__}

    assert list(exported) == sorted(exported, key=lambda name: (not name[0].isupper(), name))
    assert {name for name, value in exported.items() if not value.__doc__} == set()


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

    assert gql_app.__version__ == project["project"]["version"]
