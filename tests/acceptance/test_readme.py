"""Every command and every example of the README, run in its order; what it shows is what comes out."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gql_app.core.spec import NodeSpec, WorkflowSpec
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.readme import Block, Command, blocks, commands, normalised, run_in_one_shell
from tests.support.requirements import REPOSITORY, require_curl
from tests.support.server import LONGEST_WAIT, ProcessServer, server_process

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(README)
COMMANDS = [command for block in BLOCKS if block.language == "console" for command in commands(block)]
SERVE, SESSION = COMMANDS[0], COMMANDS[1:]
QUERIES = [(query, answer) for query, answer in itertools.pairwise(BLOCKS) if query.language == "graphql"]
LINES = [line for block in BLOCKS if block.language == "sh" for line in block.text.replace("\\\n", "").splitlines()]
FIXED = list(dict.fromkeys(line.partition("  #")[0].strip() for line in LINES))
SHOWN_ADDRESS = "127.0.0.1:8000"


@dataclass(frozen=True)
class Session:
    """What came out when everything in the README was run."""

    server: ProcessServer
    addresses: dict[str, str]
    """Where what the README shows at an address really is."""
    outputs: list[str]

    def shown(self, text: str) -> str:
        """Write the servers' addresses as the README does."""
        for shown, real in self.addresses.items():
            text = text.replace(real, shown)
        return text


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    require_curl()
    directory = tmp_path_factory.mktemp("readme")
    prepare(directory)
    with ExitStack() as stack:
        server = stack.enter_context(server_process("--tools", "my_tools", PYTHONPATH=str(directory)))
        addresses = {SHOWN_ADDRESS: server.url.removeprefix("http://"), **serve_further(stack, directory)}
        texts = [command.text for command in SESSION]
        for shown, real in addresses.items():
            texts = [text.replace(shown, real) for text in texts]
        outputs = run_in_one_shell(texts, directory, environment(server), 10 * LONGEST_WAIT)
        yield Session(server, addresses, outputs)


def serve_further(stack: ExitStack, directory: Path) -> dict[str, str]:
    """Start the other servers that the README shows, and tell where they are, by where it says they are."""
    addresses = {}
    for line in (block.text for block in BLOCKS if block.note == "served"):
        words = shlex.split(line)
        port = words.index("--port")
        arguments = [*words[2:port], *words[port + 2 :]]
        further = stack.enter_context(server_process(*arguments, directory=directory, PYTHONPATH=str(REPOSITORY)))
        addresses[f"127.0.0.1:{words[port + 1]}"] = further.url.removeprefix("http://")
    return addresses


def prepare(directory: Path) -> None:
    """Make what a reader has: the examples, the schema, and the files that the README tells to save."""
    for name in ("examples", "schema"):
        (directory / name).symlink_to(REPOSITORY / name)
    for block in BLOCKS:
        if block.note.startswith("file: "):
            (directory / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")


def environment(server: ProcessServer) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "GQL_APP_URL": server.url, "NO_COLOR": "1", "COLUMNS": "120"}


def name_of(command: Command) -> str:
    return f"line {command.line}: {command.text.splitlines()[0]}"


def test_the_server_greets_as_shown(session: Session) -> None:
    assert SERVE.text == "gql-app serve"
    assert normalised(session.shown(session.server.greeting)) == normalised("\n".join(SERVE.output))


def test_there_is_an_output_for_every_command(session: Session) -> None:
    assert len(session.outputs) == len(SESSION) > 20


@pytest.mark.parametrize("index", range(len(SESSION)), ids=[name_of(command) for command in SESSION])
def test_a_command_prints_what_is_shown(session: Session, index: int) -> None:
    printed = session.shown(session.outputs[index])

    assert normalised(printed) == normalised("\n".join(SESSION[index].output))


@pytest.mark.parametrize(("query", "answer"), QUERIES, ids=[f"line {query.line}" for query, _ in QUERIES])
def test_a_query_answers_what_is_shown(session: Session, query: Block, answer: Block) -> None:
    data = session.server.execute(query.text)

    assert answer.note == "answer"
    assert data == json.loads(answer.text)


@pytest.mark.parametrize("command", FIXED)
def test_a_command_that_does_not_end_by_itself_is_understood(command: str) -> None:
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    trial = ["make", "-n", *words[1:]] if words[0] == "make" else [*words, "--help"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    tried = subprocess.run(
        trial, cwd=REPOSITORY, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )

    assert tried.returncode == 0, tried.stderr


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)

    local = [target for target in targets if "://" not in target]
    assert len(local) > 10
    assert [target for target in local if not (REPOSITORY / target).exists()] == []


def test_every_type_of_error_of_ours_is_named() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("agents", "core", "engine", "tools")
        for path in (REPOSITORY / "gql_app" / package).glob("*.py")
    )

    types = set(re.findall(r'(?:Failure\(|type=)"([A-Z]\w+)"', code))
    assert len(types) > 10
    assert {name for name in types if f"`{name}`" not in README} == set()


def rows(heading: str) -> dict[str, str]:
    """Read the tables whose first row begins with `heading`: the default by the name in the first column."""
    tables = [part.partition("\n\n")[0] for part in README.split(f"| {heading} ")[1:]]
    found = re.findall(r"^\| `([\w.]+)` \|([^|]*)\|", "\n\n".join(tables), re.MULTILINE)
    return {name: default.strip(" `") for name, default in found}


def shown_default(value: Json) -> str:
    """Write a default as the tables do."""
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:.15g}"
    return str(value) if isinstance(value, str) else json.dumps(value)


def defaults(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Tell the default of every field, those of policies by their full names."""
    told: dict[str, str] = {}
    for name, found in model.model_fields.items():
        alias = prefix + (found.alias or name)
        value = found.get_default(call_default_factory=True, validated_data={})
        if isinstance(value, BaseModel):
            told |= defaults(type(value), f"{alias}.")
        else:
            told[alias] = shown_default(value)
    return told


@pytest.mark.parametrize(("heading", "model"), [("Field of the document", WorkflowSpec), ("Field of a node", NodeSpec)])
def test_the_tables_tell_every_field_of_the_document_with_its_default(heading: str, model: type[BaseModel]) -> None:
    assert rows(heading) == defaults(model)


def test_the_table_tells_every_setting_with_its_default() -> None:
    known = {
        f"GQL_APP_{name.upper()}": shown_default(
            ",".join(found.default)
            if isinstance(found.default, tuple)
            else ""
            if found.default is None
            else found.default
        )
        for name, found in Settings.model_fields.items()
    }

    assert rows("Variable") == known
