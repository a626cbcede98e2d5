"""The audits of the specification GraphQL over HTTP, all of them: what must, what should and what may be."""

import json
import subprocess

import pytest

from gql_app.core.values import Json
from tests.support.requirements import REPOSITORY, require_node, require_node_package
from tests.support.server import LONGEST_WAIT, live_server

AUDITS = 61


@pytest.fixture(scope="module")
def audits() -> list[Json]:
    require_node_package("graphql-http")
    script = REPOSITORY / "tests" / "support" / "javascript" / "audits.mjs"
    with live_server() as server:
        ran = subprocess.run(
            [require_node(), script, server.graphql_url],
            capture_output=True,
            text=True,
            timeout=LONGEST_WAIT,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    results: list[Json] = json.loads(ran.stdout)
    return results


def test_every_audit_of_the_specification_passes(audits: list[Json]) -> None:
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == AUDITS
