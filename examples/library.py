"""A small library for the research agent. From the repository: `gql-app serve --tools examples.library`."""

import re
from typing import Annotated

from pydantic import BaseModel, Field

from gql_app import ToolError, tool

BOOKS = {
    "Waggle dance": "A bee that has found flowers dances on the comb. The angle of the dance tells the direction to the"
    " sun, and how long she waggles tells the distance: about one second for each kilometre.",
    "Making honey": "Bees dry nectar with their wings until less than a fifth of it is water. It does not spoil then."
    " A bee makes about a twelfth of a teaspoon of honey in her life.",
    "Winter in the hive": "In winter bees form a ball around the queen and shiver to keep it warm, at up to 35 degrees"
    " in the middle. They take turns at the outside, and live on the honey of the summer.",
    "Wasps": "Wasps hunt other insects, and feed them to their young. Their nests are made of paper.",
}


class Book(BaseModel):
    """What the catalogue tells of a book."""

    title: Annotated[str, Field(description="The title, to read it by.")]
    begins: Annotated[str, Field(description="How it begins.")]


@tool(name="library.search")
async def search(words: Annotated[str, Field(min_length=1, description="Words to look for.")]) -> list[Book]:
    """Find books in which any of the words stands."""
    wanted = set(re.findall(r"\w+", words.lower()))
    return [
        Book(title=title, begins=text.split(". ", 1)[0] + ".")
        for title, text in BOOKS.items()
        if wanted & set(re.findall(r"\w+", f"{title} {text}".lower()))
    ]


@tool(name="library.read")
async def read(title: Annotated[str, Field(description="The title, as the catalogue has it.")]) -> str:
    """Read a book."""
    if title not in BOOKS:
        raise ToolError(f"There is no book {title!r}. Search for one.", type="NoSuchBook", retryable=False)
    return BOOKS[title]
