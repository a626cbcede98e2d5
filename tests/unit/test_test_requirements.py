"""The tests' own rule for what is missing on a machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.requirements import require_chromium, require_node, require_node_package


@pytest.mark.parametrize("require", [require_chromium, require_node])
def test_a_program_that_is_missing_skips_the_test(
    require: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GQL_APP_CHROMIUM", raising=False)
    monkeypatch.delenv("GQL_APP_REQUIRE_ALL", raising=False)

    with pytest.raises(pytest.skip.Exception, match="is not installed; on Debian: apt-get install"):
        require()


def test_a_node_package_that_is_missing_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GQL_APP_REQUIRE_ALL", raising=False)

    with pytest.raises(pytest.skip.Exception, match="'no-such-package' is not installed; run: npm ci"):
        require_node_package("no-such-package")


def test_what_is_missing_fails_the_test_where_everything_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_REQUIRE_ALL", "1")

    with pytest.raises(pytest.fail.Exception, match="'no-such-package' is not installed"):
        require_node_package("no-such-package")


def test_a_browser_that_was_named_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.touch()
    monkeypatch.setenv("GQL_APP_CHROMIUM", str(browser))

    found = require_chromium()

    assert found == browser


def test_a_named_browser_that_is_not_there_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_CHROMIUM", "/no/such/browser")

    with pytest.raises(pytest.fail.Exception, match="GQL_APP_CHROMIUM names '/no/such/browser'"):
        require_chromium()
