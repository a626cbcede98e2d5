"""The published schema and operations keep to the rules that GraphQL's linter recommends, Relay's among them."""

import json
import subprocess
from pathlib import Path

from tests.support.requirements import REPOSITORY, require_node, require_node_package

CONFIG = Path("tests/contract/eslint.config.mjs")


def lint(*arguments: str, text: str | None = None) -> list[str]:
    """Lint files, or a text, and tell everything that was found."""
    node = require_node()
    require_node_package("@graphql-eslint/eslint-plugin")
    eslint = require_node_package("eslint") / "bin" / "eslint.js"
    command = [str(node), str(eslint), "--config", str(CONFIG), "--format", "json", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [
        f"{Path(result['filePath']).name}:{message.get('line')} {message['ruleId']}: {message['message']}"
        for result in json.loads(done.stdout)
        for message in result["messages"]
    ]


def test_the_schema_and_the_operations_keep_to_the_rules() -> None:
    assert lint("schema") == [], f"repair it, or write an exception and its reason into {CONFIG}"


def test_the_linter_finds_what_is_against_the_rules() -> None:
    found = lint("--stdin", "--stdin-filename", "schema/schema.graphql", text="type thingType { a_b: Int }")

    rules = {message.split()[1].removesuffix(":").removeprefix("@graphql-eslint/") for message in found}
    assert {"naming-convention", "require-description", "strict-id-in-types"} <= rules
