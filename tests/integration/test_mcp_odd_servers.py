"""MCP servers that do not do what they should: each costs only itself, and says what is wrong."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from gql_app.core.errors import (
    InvalidInputError,
    InvalidOutputError,
    McpToolError,
    ToolError,
    ToolServerUnavailableError,
)
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.mcp import LONGEST_WAIT, Recorder, opened, until
from tests.support.odd_mcp_servers import odd_server
from tests.support.tools import context_of

pytestmark = pytest.mark.anyio


async def test_a_server_of_the_older_rules_is_called_like_any_other(tmp_path: Path) -> None:
    async with opened(odd=odd_server(tmp_path)) as tools:
        assert await tools.call("mcp.odd.work") == "worked"
        assert tools.problem("mcp.odd") is None


async def test_a_server_that_never_answers_is_given_up_and_tried_again(tmp_path: Path) -> None:
    settings = Settings(mcp_start_seconds=LONGEST_WAIT, mcp_connect_seconds=0.2)
    silent = odd_server(tmp_path, "def begin():\n    sys.stdin.read()")

    async with opened(odd=silent, settings=settings) as tools:
        await until(lambda: "It did not answer within 0.2 s" in str(tools.problem("mcp.odd")))
        with pytest.raises(ToolServerUnavailableError, match="It did not answer within"):
            await tools.call("mcp.odd.work")


async def test_the_start_waits_for_a_slow_server_only_so_long_and_calls_wait_for_it(tmp_path: Path) -> None:
    slow = odd_server(
        tmp_path, f"def begin():\n    while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)"
    )

    async with opened(odd=slow, settings=Settings(mcp_start_seconds=0)) as tools:
        assert tools.names() == []
        assert tools.problem("mcp.odd") == "It is not connected. It has not answered yet."
        work = asyncio.create_task(tools.call("mcp.odd.work"))
        gone = asyncio.create_task(tools.call("mcp.odd.gone"))

        (tmp_path / "go").touch()

        assert await work == "worked"
        with pytest.raises(ToolError, match=r"There is no tool 'mcp\.odd\.gone' here any more") as unknown:
            await gone
        assert (unknown.value.type, unknown.value.retryable) == ("UnknownTool", False)
        assert tools.names() == ["mcp.odd.work"]
        assert tools.registry.find("mcp.odd.gone") is None


async def test_what_is_no_message_is_logged_a_few_times_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = """
def begin():
    for number in range(50):
        tell(f"Welcome {number}!\\n")
    tell("\\n\\n[]\\n5\\n{}\\n\\x1b[31mred\\n" + "x" * 20_000_000 + "\\n")
"""
    async with opened(odd=odd_server(tmp_path, garbage)) as tools:
        assert await tools.call("mcp.odd.work") == "worked"

    told = [record.getMessage() for record in caplog.records if "what is no message" in record.getMessage()]
    assert told == [
        f"MCP server 'odd' writes to its standard output what is no message: Welcome {number}!" for number in range(3)
    ]


async def test_a_server_that_writes_only_garbage_is_told_by_what_it_wrote(tmp_path: Path) -> None:
    settings = Settings(mcp_start_seconds=LONGEST_WAIT, mcp_connect_seconds=2)
    garbage = odd_server(tmp_path, "def begin():\n    tell('Press any key.\\n')\n    sys.stdin.read()")

    async with opened(odd=garbage, settings=settings) as tools:
        await until(lambda: "it wrote what is no message: Press any key" in str(tools.problem("mcp.odd")))


async def test_tools_that_cannot_be_used_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tools_told = """
TOOLS += [
    {"name": "a", "inputSchema": "x"},
    {"inputSchema": {"type": "object"}},
    5,
    {"name": "b b", "inputSchema": {"type": "object"}},
    {"name": "c", "inputSchema": {"type": "objekt"}},
    {"name": "fine", "inputSchema": {"type": "object"}, "unheardOf": {"x": 1}},
]
"""
    async with opened(odd=odd_server(tmp_path, tools_told)) as tools:
        assert tools.names() == ["mcp.odd.fine", "mcp.odd.work"]
        assert await tools.call("mcp.odd.work") == "worked"
        problem = str(tools.problem("mcp.odd"))
        assert str(tools.registry.why_missing("mcp.odd.c", DEFAULT_NAMESPACE)).startswith(
            "The MCP server `odd` has it, but it is left out: "
        )
        assert tools.registry.why_missing("mcp.odd.other", DEFAULT_NAMESPACE) is None

    assert problem.startswith('5 tools are left out: "a": ')
    assert problem.endswith("; and 2 more.")
    assert problem in caplog.text


async def test_ten_thousand_tools_and_a_list_without_an_end_are_cut(tmp_path: Path) -> None:
    many = 'TOOLS = [{"name": f"t{n}", "inputSchema": {"type": "object"}} for n in range(10_000)]'
    endless = """
def list_tools(id, params):
    tool = {"name": f"t{lists}", "inputSchema": {"type": "object"}}
    send(id=id, result={"tools": [tool], "nextCursor": str(lists)})
"""
    servers = {"many": odd_server(tmp_path, many, "many"), "endless": odd_server(tmp_path, endless, "endless")}

    async with opened(**servers) as tools:
        names = tools.names()
        assert len([name for name in names if name.startswith("mcp.many.")]) == 1_000
        assert len([name for name in names if name.startswith("mcp.endless.")]) == 100
        assert tools.problem("mcp.many") == '9000 tools are left out: "…": more than 1000 tools.'
        assert "the list goes on for too long" in str(tools.problem("mcp.endless"))


async def test_a_server_that_ignores_being_told_to_end_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    deaf = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
def call(id, params):
    send(id=id, result={"content": [{"type": "text", "text": f"{os.getpid()} {child.pid}"}]})
    while True:
        time.sleep(3600)
"""
    async with opened(odd=odd_server(tmp_path, deaf)) as tools:
        processes = [int(word) for word in (await tools.call("mcp.odd.work")).split()]

    def is_gone(process: int) -> bool:
        try:
            # A child of nobody may be left as a zombie for whoever reaps those.
            return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    assert processes
    assert all(is_gone(process) for process in processes)
    assert not (Path("/proc") / str(processes[0])).exists(), "A zombie is left."


async def test_a_server_that_closes_its_output_is_started_again(tmp_path: Path) -> None:
    closing = """
def call(id, params):
    if os.path.exists("once"):
        send(id=id, result={"content": []})
        return
    open("once", "w").close()
    os.close(1)
    time.sleep(3600)
"""
    async with opened(odd={**odd_server(tmp_path, closing), "workingDirectory": str(tmp_path)}) as tools:
        with pytest.raises(ToolServerUnavailableError, match="It closed its standard output"):
            await tools.call("mcp.odd.work")
        await until(lambda: "It closed its standard output" in str(tools.problem("mcp.odd")))
        await until(lambda: tools.problem("mcp.odd") is None)
        assert await tools.call("mcp.odd.work") is None


async def test_a_server_that_does_not_read_keeps_no_call_from_being_cancelled(tmp_path: Path) -> None:
    deaf = "def call(id, params):\n    open('called', 'w').close()\n    time.sleep(3600)"
    server = {**odd_server(tmp_path, deaf), "workingDirectory": str(tmp_path)}

    async with opened(odd=server) as tools:
        calls = [asyncio.create_task(tools.call("mcp.odd.work", text="x" * 1_000_000)) for _ in range(5)]
        await until((tmp_path / "called").exists)

        for call in calls:
            call.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True)
        )


@pytest.mark.parametrize(
    ("answer", "kind", "type", "message"),
    [
        ('error={"code": -32602, "message": "no such file"}', InvalidInputError, "InvalidInput", "no such file"),
        ('error={"code": -32603, "message": "oh"}', McpToolError, "McpToolError", "oh"),
        ('error={"code": -32601, "message": ""}', McpToolError, "McpToolError", "answered with the error -32601"),
        ('error={"code": 5, "message": "x" * 5000}', McpToolError, "McpToolError", "x"),
        ('result={"content": 5}', InvalidOutputError, "InvalidOutput", "what is no result of a tool: content"),
        ('result={"content": [{"type": "smell"}]}', InvalidOutputError, "InvalidOutput", "what is no result"),
        ("result=5", InvalidOutputError, "InvalidOutput", "not a message of JSON-RPC"),
        ('result={"content": [], "isError": True}', McpToolError, "McpToolError", "did not say why"),
    ],
)
async def test_what_a_server_answers_wrongly_is_an_error_of_its_call(
    tmp_path: Path, answer: str, kind: type[ToolError], type: str, message: str
) -> None:
    async with opened(odd=odd_server(tmp_path, f"def call(id, params):\n    send(id=id, {answer})")) as tools:
        with pytest.raises(kind, match=message) as failed:
            await tools.call("mcp.odd.work")
        assert failed.value.type == type
        assert tools.problem("mcp.odd") is None


@pytest.mark.parametrize(
    ("result", "gives"),
    [
        ({"content": []}, None),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": [{"type": "text", "text": "{}"}], "structuredContent": {"a": 1}}, {"a": 1}),
        (
            {"content": [{"type": "resource_link", "uri": "file:///a", "name": "a", "_meta": {"x": 1}}]},
            [{"type": "resource_link", "uri": "file:///a", "name": "a"}],
        ),
        (
            {"content": [{"type": "resource", "resource": {"uri": "file:///a", "text": "b"}}]},
            [{"type": "resource", "resource": {"uri": "file:///a", "text": "b"}}],
        ),
    ],
)
async def test_a_result_is_its_structured_content_else_its_text_else_its_parts(
    tmp_path: Path, result: Json, gives: Json
) -> None:
    answer = f"def call(id, params):\n    send(id=id, result=json.loads({json.dumps(result)!r}))"

    async with opened(odd=odd_server(tmp_path, answer)) as tools:
        assert await tools.call("mcp.odd.work") == gives


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"content": [], "structuredContent": {"count": "many"}}, '/count: Expected integer, not "many"'),
        ({"content": []}, "has no structured content"),
    ],
)
async def test_a_result_that_does_not_fit_its_schema_is_refused(tmp_path: Path, result: Json, message: str) -> None:
    oddities = f"""
TOOLS[0]["outputSchema"] = {{"type": "object", "properties": {{"count": {{"type": "integer"}}}}}}
def call(id, params):
    send(id=id, result=json.loads({json.dumps(result)!r}))
"""
    async with opened(odd=odd_server(tmp_path, oddities)) as tools:
        with pytest.raises(InvalidOutputError, match=message):
            await tools.call("mcp.odd.work")


async def test_a_schema_that_cannot_be_evaluated_is_for_the_server_to_judge(tmp_path: Path) -> None:
    dangling = 'TOOLS[0]["inputSchema"] = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}'

    async with opened(odd=odd_server(tmp_path, dangling)) as tools:
        assert await tools.call("mcp.odd.work", a=1) == "worked"


async def test_a_server_that_says_all_the_time_that_its_tools_have_changed_is_not_always_asked(tmp_path: Path) -> None:
    flood = """
def call(id, params):
    for _ in range(5_000):
        send(method="notifications/tools/list_changed")
    send(id=id, result={"content": [{"type": "text", "text": str(lists)}]})
"""
    async with opened(odd=odd_server(tmp_path, flood)) as tools:
        lists = [int(await tools.call("mcp.odd.work")) for _ in range(3)]

    assert lists[-1] < 1_000


async def test_tools_of_a_server_of_the_older_rules_come_and_go(tmp_path: Path) -> None:
    changing = """
def call(id, params):
    TOOLS[0] = {**TOOLS[0], "name": TOOLS[0]["name"] + "2"}
    send(method="notifications/tools/list_changed")
    send(id=id, result={"content": []})
"""
    async with opened(odd=odd_server(tmp_path, changing)) as tools:
        await tools.call("mcp.odd.work")
        await until(lambda: tools.names() == ["mcp.odd.work2"])


async def test_a_log_line_is_shown_by_nobody_where_it_may_be_about_another_namespace(tmp_path: Path) -> None:
    shown = Recorder()
    late = """
def call(id, params):
    send(method="notifications/message", params={"level": "info", "data": "for somebody else"})
    send(id="p1", method="ping")
    sys.stdin.readline()
    send(id=id, result={"content": []})
"""
    async with opened(odd={**odd_server(tmp_path, late), "namespaces": ["*"]}) as tools:
        await tools.call("mcp.odd.work", context=context_of(reports=shown))

    assert shown.logs == []


async def test_progress_of_any_kind_is_shown_as_far_as_it_makes_sense(tmp_path: Path) -> None:
    shown = Recorder()
    odd = """
def call(id, params):
    token = params["_meta"]["progressToken"]
    for more in (
        {"progress": 5}, {"progress": 5, "total": 0}, {"progress": 9, "total": 3}, {"progress": -1, "total": 3},
        {"progress": "x"}, {"progress": 1, "total": 4, "message": "on"},
    ):
        send(method="notifications/progress", params={"progressToken": token, **more})
    send(method="notifications/progress", params={"progressToken": 99, "progress": 1})
    send(method="notifications/message", params={"level": "emergency", "data": {"a": 1}})
    send(method="notifications/message", params={"level": "loud", "data": "x"})
    send(id="p1", method="ping")
    sys.stdin.readline()
    send(id=id, result={"content": []})
"""
    async with opened(odd=odd_server(tmp_path, odd)) as tools:
        await tools.call("mcp.odd.work", context=context_of(reports=shown))
        await until(lambda: len(shown.progress_told) == 5)

    assert shown.progress_told == [(None, "5"), (None, "5"), (1.0, None), (0.0, None), (0.25, "on")]
    assert shown.logs == [("ERROR", '{"a":1}', {})]


async def test_what_a_server_asks_of_us_is_declined(tmp_path: Path) -> None:
    asks = """
def call(id, params):
    send(id="s1", method="sampling/createMessage", params={"messages": [], "maxTokens": 5})
    told = json.loads(sys.stdin.readline())
    send(id=id, result={"content": [{"type": "text", "text": told["error"]["message"]}]})
"""
    async with opened(odd=odd_server(tmp_path, asks)) as tools:
        assert await tools.call("mcp.odd.work") == "Sampling not supported"


async def test_the_log_of_a_server_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loud = """
def begin():
    for number in range(5_000):
        sys.stderr.write(f"line {number} " + "x" * 2_000 + "\\n")
    sys.stderr.write("y" * 5_000_000)
    sys.stderr.flush()
"""
    with caplog.at_level(logging.INFO, "gql_app.mcp"):
        async with opened(odd=odd_server(tmp_path, loud)) as tools:
            await tools.call("mcp.odd.work")

    lines = [record.getMessage() for record in caplog.records if "MCP server 'odd': line" in record.getMessage()]
    assert len(lines) <= 225
    assert max(map(len, lines)) <= 330


async def test_the_last_words_of_a_server_are_waited_for(tmp_path: Path) -> None:
    late = """
def begin():
    server = os.getpid()
    if os.fork():
        os._exit(3)
    os.close(0)
    os.close(1)
    while os.getppid() == server:
        time.sleep(0.001)
    time.sleep(0.1)
    os.write(2, b"no licence found\\n")
    os._exit(0)
"""
    async with opened(odd=odd_server(tmp_path, late)) as tools:
        await until(lambda: "It ended with exit code 3" in str(tools.problem("mcp.odd")))

        assert "It ended with exit code 3: no licence found." in str(tools.problem("mcp.odd"))
