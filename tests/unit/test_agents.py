"""Names, models and places of agents."""

import asyncio
import re
import subprocess
import sys
from decimal import Decimal

import pytest
from httpx2 import AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage

from gql_app.agents.asking import usage_of
from gql_app.agents.choosing import model_names
from gql_app.agents.models import check_allowed, find_model
from gql_app.agents.tool import AgentTool, add_agents
from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.registry import ToolRegistry

NAMES = st.text("abcAB._-1", min_size=1, max_size=128)


def refusal_of(model: str, key: str | None = None, **settings: Json) -> ToolError:
    async def find() -> None:
        async with AsyncClient() as http:
            find_model(model, Settings(**settings), http, key)

    with pytest.raises(ToolError) as refused:
        asyncio.run(find())
    assert not refused.value.retryable
    return refused.value


@pytest.mark.parametrize("cost", [None, Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal("0.5")], ids=str)
def test_what_an_odd_server_says_of_usage_is_taken_for_what_it_can_be(cost: Decimal | None) -> None:
    said = RequestUsage(input_tokens=-5, output_tokens=10**15, cost=cost)

    used = usage_of(ModelResponse(parts=[], usage=said, model_name="nobody's"))

    assert (used.input_tokens, used.output_tokens) == (0, 1_000_000_000)
    assert used.cost_usd == {"0.5": 0.5, "-1": 0.0}.get(str(cost))


@given(st.sets(NAMES, max_size=40))
def test_every_tool_has_a_name_of_its_own_that_providers_take(names: set[str]) -> None:
    known = model_names(names)

    assert set(known.values()) == names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in known)


def test_a_provider_that_nobody_knows_is_named() -> None:
    assert refusal_of("nobody:x").type == "UnknownModel"
    assert refusal_of("gpt").type == "UnknownModel"


def test_a_provider_without_a_key_says_which_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    assert refusal_of("openai:gpt-5.2").type == "ModelNotConfigured"
    assert "OPENAI_API_KEY" in str(refusal_of("openai:gpt-5.2"))
    assert "ANTHROPIC_API_KEY" in str(refusal_of("anthropic:claude-sonnet-4-5"))


def test_a_provider_that_is_not_installed_says_so() -> None:
    assert refusal_of("groq:x", key="k").type == "ModelNotConfigured"


def test_a_local_model_needs_a_server() -> None:
    refused = refusal_of("local:llama")

    assert refused.type == "ModelNotConfigured"
    assert "GQL_APP_OPENAI_BASE_URL" in str(refused)


@pytest.mark.parametrize("model", ["openai:gpt-5.2", "openai-chat:gpt-5.2", "anthropic:claude-sonnet-4-5", "local:x"])
def test_the_client_of_a_provider_tries_nothing_again_by_itself(model: str) -> None:
    async def find() -> int:
        async with AsyncClient() as http:
            settings = Settings(openai_base_url="http://127.0.0.1:9/v1")
            found: Json = find_model(model, settings, http, "a-key")
            retries: int = found.client.max_retries
            return retries

    assert asyncio.run(find()) == 0


def test_a_service_may_say_which_models_agents_use() -> None:
    settings = Settings(agent_models=("test", "openai:gpt-5*"))

    check_allowed("test", settings)
    check_allowed("openai:gpt-5.2", settings)
    with pytest.raises(ToolError) as refused:
        check_allowed("anthropic:claude-opus-4-5", settings)

    assert refused.value.type == "ModelNotAllowed"
    assert "openai:gpt-5*" in str(refused.value)


def test_without_the_extra_there_is_no_agent_and_its_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)  # As Python marks what cannot be imported.
    registry = ToolRegistry()

    add_agents(registry, Settings())

    assert "agent" not in registry.definitions()
    assert registry.why_missing("agent", DEFAULT_NAMESPACE) == (
        "Install what agents need: pip install 'gql-app[agents]'."
    )
    assert not registry.why_missing("agents.of.mine", DEFAULT_NAMESPACE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"model": "test", "script": []}, "`prompt` is missing"),
        ({"model": "test", "prompt": "Hi."}, "needs a `script`"),
        ({"model": "openai:gpt-5.2", "prompt": "Hi.", "script": ["Hi."]}, "no other model takes one"),
        ({"model": "test", "prompt": "Hi.", "script": [], "maximumSteps": 201}, "maximumSteps"),
        ({"model": "test", "prompt": "Hi.", "script": [], "temperature": 1}, "temperature"),
    ],
)
def test_what_an_agent_cannot_work_with_is_refused(value: Json, reason: str) -> None:
    agent = AgentTool(Settings(), ToolRegistry())

    with pytest.raises(InvalidInputError, match=reason):
        agent.parse(value)


def test_the_tool_is_described_without_pydantic_ai_being_imported() -> None:
    code = (
        "import sys; from gql_app.bootstrap import make_registry; from gql_app.settings import Settings;"
        "assert 'agent' in make_registry(Settings()).definitions();"
        "assert 'pydantic_ai' not in sys.modules and 'openai' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
