"""Keys of providers that agents lend to those they call, since no message and no event may hold one."""

from collections.abc import Iterator
from contextlib import contextmanager

from gql_app.agents.input import AgentInput
from gql_app.agents.nesting import depth_of, root_of
from gql_app.core.ids import RunId
from gql_app.ports import ToolContext


class Keys:
    """The keys that the outermost agents were handed, while they run."""

    def __init__(self) -> None:
        self._lent: dict[tuple[RunId, str, str], list[AgentInput]] = {}

    @contextmanager
    def lent(self, asked: AgentInput, context: ToolContext) -> Iterator[AgentInput]:
        """Lend the agent's key while it runs, or let an inner one have what it is lent."""
        root = root_of(context)
        if depth_of(context) > 1:
            yield self._with_key(asked, self._lent.get(root, []))
            return
        lenders = self._lent.setdefault(root, [])
        lenders.append(asked)
        try:
            yield asked
        finally:
            # An attempt that nobody waits for any more may end after the next has begun.
            lenders[:] = [other for other in lenders if other is not asked]
            if not lenders:
                self._lent.pop(root, None)

    def _with_key(self, asked: AgentInput, lenders: list[AgentInput]) -> AgentInput:
        """Hand on the key to a model of the same provider, and to no other."""
        outer = lenders[-1] if lenders else None
        if outer is None or provider_of(outer.model) != provider_of(asked.model):
            return asked
        return asked.model_copy(update={"api_key": outer.api_key})


def provider_of(model: str) -> str:
    """Tell the provider of a model."""
    return model.partition(":")[0]
