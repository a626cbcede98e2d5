"""A literal `${` in a document, with and without an expression beside it."""

import pytest

from gql_app.core.values import Json
from tests.support.documents import WATCH, document, echo, submit
from tests.support.server import live_server

READ = "query ($id: ID!) { workflow(id: $id) { output nodes { input output } } }"


@pytest.mark.anyio
@pytest.mark.parametrize(("text", "value"), [("$${ a }", "${ a }"), ("$${ a } ${ input }", "${ a } 1")])
async def test_an_escaped_expression_is_its_text_wherever_it_stands(text: str, value: Json) -> None:
    with live_server() as server:
        run_id = submit(server, document(echo("say", text), input=1, output={"said": text}))
        async with server.socket() as socket:
            [_ async for _ in socket.results(WATCH, {"id": run_id})]
        workflow = server.execute(READ, id=run_id)["workflow"]

    assert workflow == {"output": {"said": value}, "nodes": [{"input": {"value": value}, "output": value}]}
