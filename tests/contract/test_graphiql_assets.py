"""What stands beside the GraphiQL page is what the lock file pins, with every licence."""

import json
import subprocess

from tests.support.requirements import REPOSITORY, require_node, require_node_package

STATIC = REPOSITORY / "gql_app/web/static"


def test_the_shipped_assets_are_what_the_recipe_makes() -> None:
    node = require_node()
    for package in ("graphiql", "react", "react-dom"):
        require_node_package(package)

    check = subprocess.run([node, STATIC / "build.mjs", "--check"], capture_output=True, text=True, check=False)

    assert (check.returncode, check.stderr) == (0, "")


def test_the_licences_cover_what_the_page_loads() -> None:
    licences = (STATIC / "vendor/LICENSES.txt").read_text(encoding="utf-8")

    lines = set(licences.splitlines())
    assert {
        "graphiql",
        "react",
        "react-dom",
        "scheduler",
        "graphql",
        "graphql-ws",
        "codemirror",
        "markdown-it",
    } <= lines


def test_the_readme_and_the_licences_name_the_versions_that_are_pinned() -> None:
    pinned = json.loads((REPOSITORY / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    readme = (STATIC / "README.md").read_text(encoding="utf-8")
    licences = (STATIC / "vendor/LICENSES.txt").read_text(encoding="utf-8")

    assert f"GraphiQL {pinned['graphiql']} and React {pinned['react']}" in readme
    assert f"graphiql {pinned['graphiql']}, react {pinned['react']}, react-dom {pinned['react-dom']}" in licences


def test_the_lock_file_names_no_registry_and_runs_no_install_scripts() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))

    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 3
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    # .npmrc keeps scripts from being run; esbuild's only checks the binary that another package brings.
    assert [name for name, entry in packages.items() if entry.get("hasInstallScript")] == ["node_modules/esbuild"]
