"""What is wrong with a text that should be JSON or YAML."""


class TextError(Exception):
    """The text is not what it should be; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
