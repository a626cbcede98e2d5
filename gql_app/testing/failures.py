"""What a test is told when it did not go as it must have meant it."""


class ScriptError(AssertionError):
    """A scripted tool was called more often than its script says, or comes to what its real tool could not return."""


class NoOutputError(AssertionError):
    """There is no output to look at; the message says what happened instead."""
