"""MCP servers that are scripts: they speak the older rules of the protocol, and each is odd in its own way."""

from pathlib import Path

from gql_app.core.values import Json
from tests.support.mcp import script

_SCRIPT = """
import json, os, signal, subprocess, sys, time

TOOLS = [{{"name": "work", "inputSchema": {{"type": "object"}}}}]
CAPABILITIES = {{"tools": {{"listChanged": True}}}}
lists = 0

def send(**message):
    sys.stdout.write(json.dumps({{"jsonrpc": "2.0", **message}}) + "\\n")
    sys.stdout.flush()

def tell(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def begin():
    pass

def list_tools(id, params):
    send(id=id, result={{"tools": TOOLS}})

def call(id, params):
    send(id=id, result={{"content": [{{"type": "text", "text": "worked"}}]}})

{oddities}

begin()
for line in sys.stdin:
    message = json.loads(line)
    id, method, params = message.get("id"), message.get("method"), message.get("params")
    if method == "initialize":
        information = {{"name": "odd", "version": "1"}}
        version = params["protocolVersion"]
        send(id=id, result={{"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": information}})
    elif method == "tools/list":
        lists += 1
        list_tools(id, params)
    elif method == "tools/call":
        call(id, params)
    elif id is not None:
        send(id=id, error={{"code": -32601, "message": "There is no such method."}})
"""


def odd_server(directory: Path, oddities: str = "", name: str = "odd") -> Json:
    """Configure a server that is a script; `oddities` redefine what it does."""
    return script(directory / f"{name}.py", _SCRIPT.format(oddities=oddities))
