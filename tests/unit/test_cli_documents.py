"""How documents are read from files."""

from pathlib import Path

import pytest

from gql_app.cli.documents import DocumentError, read_document, read_input
from gql_app.core.values import Json


def write(directory: Path, name: str, data: str | bytes) -> str:
    path = directory / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_json_and_yaml_are_the_same_document(tmp_path: Path) -> None:
    as_json = write(tmp_path, "a.json", '{"name": "x", "nodes": [{"id": "a", "when": null, "n": [1, 2.5, 1e3, true]}]}')
    as_yaml = write(tmp_path, "a.yaml", "name: x\nnodes:\n- id: a\n  when: ~\n  n: [1, 2.5, 1e3, true]\n")

    assert read_document(as_yaml) == read_document(as_json)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("2026-01-31", "2026-01-31"),
        ("12:30", "12:30"),
        ("0o17", "0o17"),
        ("010", 10),
        ("1_000", "1_000"),
        ("=", "="),
        ("", None),
        ("'1'", "1"),
        ("-.5", -0.5),
        ("+1", 1),
        ("${ input.a }", "${ input.a }"),
    ],
)
def test_yaml_has_no_surprises(tmp_path: Path, text: str, value: Json) -> None:
    path = write(tmp_path, "a.yaml", f"a: {text}\n")

    assert read_document(path) == {"a": value}


def test_yaml_merges_what_it_refers_to(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yml", "retry: &r {maximumAttempts: 2, jitter: NONE}\nother: {<<: *r, jitter: FULL}\n")

    assert read_document(path)["other"] == {"maximumAttempts": 2, "jitter": "FULL"}


@pytest.mark.parametrize(
    ("name", "text", "line", "what"),
    [
        ("a.json", '{\n"a": 1,\n"b": {"a": 2},\n"a": 3}', 4, 'the key "a" stands twice'),
        ("a.json", '{"\\u0061": 1,\n"a": 3}', 2, 'the key "a" stands twice'),
        ("a.json", '{"a": ["NaN", "{",\nNaN]}', 2, "NaN is not JSON"),
        ("a.json", '{"a":\n-Infinity}', 2, "-Infinity is not JSON"),
        ("a.json", '{"a":\n1e999}', 2, "1e999 is too big"),
        ("a.json", '{"a":\n' + "9" * 5000 + "}", 2, "is too big"),
        ("a.json", '{"a": 1\n"b": 2}', 2, "not JSON"),
        ("a.json", "", 1, "not JSON"),
        ("a.json", b'{\n"a": "\xff"}', 2, "not UTF-8"),
        ("a.yaml", "a: 1\nb: 2\na: 3", 3, "'a' stands twice"),
        ("a.yaml", "a:\n  - .inf", 2, "must be finite"),
        ("a.yaml", "a: 1\nb: [1", 2, "not YAML"),
        ("a.yaml", "a: 1\n---\nb: 2", 2, "not YAML"),
        ("a.yaml", "a: 1\n2: 3", 2, "a key must be a string"),
        ("a.yaml", "a: !!python/object:os.system {}", 1, "not YAML"),
        ("a.yaml", "a: 1\nb: \x07", 2, "cannot stand in YAML"),
        ("a.yaml", "a: &x [*x]", 1, "nested deeper"),
        ("a.yaml", "a: " + "9" * 5000, 1, "too big"),
        ("a.yaml", "a: !!timestamp 2026-01-31", 1, "is not JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, line: int, what: str
) -> None:
    path = write(tmp_path, name, text)

    with pytest.raises(DocumentError) as caught:
        read_document(path)

    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_short_yaml_text_cannot_stand_for_a_huge_value(tmp_path: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    path = write(tmp_path, "laughs.yaml", f"l0: &l0 ha\n{levels}")

    with pytest.raises(DocumentError, match="more than 1000000 values"):
        read_document(path)


@pytest.mark.parametrize("name", ["deep.json", "deep.yaml"])
def test_a_text_that_is_nested_too_deeply_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, "[" * 100_000)

    with pytest.raises(DocumentError, match="nested too deeply"):
        read_document(path)


@pytest.mark.parametrize("name", ["missing.json", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(f"{tmp_path}/{name}")

    assert str(tmp_path) in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_a_document(tmp_path: Path) -> None:
    path = write(tmp_path, "bom.json", b'\xef\xbb\xbf{"a": 1}')

    assert read_document(path) == {"a": 1}


def test_an_input_is_json_or_the_name_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "in.json", "[1]")

    assert (read_input("null"), read_input('"@x"'), read_input(f"@{path}")) == (None, "@x", [1])
    with pytest.raises(DocumentError, match="--input:1: this is not JSON"):
        read_input("{a: 1}")


def test_a_closed_standard_input_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(DocumentError, match="standard input: it is closed"):
        read_document("-")
