"""Makes the gate that the settings ask for."""

from pathlib import Path
from urllib.parse import urlsplit

from gql_app.bootstrap import MEMORY, key_records
from gql_app.core.access import parse_namespace
from gql_app.files.private import PrivateFileError
from gql_app.settings import Settings
from gql_app.web.auth.gate import TokenGate
from gql_app.web.auth.issuers import KeysOfFile, PublishedKeys, fetch, read_public_keys, read_secret
from gql_app.web.auth.issuers import KeySource as SignatureKeySource
from gql_app.web.auth.jwts import ASYMMETRIC, SYMMETRIC, TokenReader, TokenRules
from gql_app.web.auth.key_sources import FileKeys, KeySource, StoredKeys
from gql_app.web.gate import Gate
from gql_app.web.hosts import is_loopback


class AuthenticationSettingsError(Exception):
    """Nobody could be let in safely by these settings; the message says what to set."""


def authenticates(settings: Settings) -> bool:
    """Tell whether the service asks who comes."""
    return bool(settings.keys_file or settings.keys_in_store or _key_sources(settings))


async def look_for_keys(settings: Settings) -> Settings:
    """Say whether the keys in the store let in, unless that is said: they do if there are any.

    A store that somebody gave keys is not served to everybody. Raises what opening the store does.
    """
    if settings.keys_in_store is not None or settings.store == MEMORY:
        return settings
    async with key_records(settings) as records:
        return settings.model_copy(update={"keys_in_store": bool(await records.read())})


def make_gate(settings: Settings) -> Gate:
    """Make the gate. Raises `AuthenticationSettingsError`."""
    if not authenticates(settings):
        return Gate()
    try:
        keys: list[KeySource] = [FileKeys(Path(settings.keys_file))] if settings.keys_file else []
        if settings.keys_in_store:
            keys.append(_stored_keys(settings))
        return TokenGate(keys=keys, tokens=_make_reader(settings) if _key_sources(settings) else None)
    except PrivateFileError as error:
        raise AuthenticationSettingsError(str(error)) from None


def describe_authentication(settings: Settings) -> str:
    """Say in a few words who is let in."""
    ways = [f"API keys in {settings.keys_file}"] if settings.keys_file else []
    ways += ["API keys in the store"] if settings.keys_in_store else []
    ways += [f"JWTs of {settings.jwt_issuer}"] if _key_sources(settings) else []
    return " and ".join(ways) or "everybody"


def _stored_keys(settings: Settings) -> StoredKeys:
    if settings.store == MEMORY:
        message = "Runs are kept in memory, where no API keys are: name a store that has some with --store."
        raise AuthenticationSettingsError(message)
    return StoredKeys(lambda: key_records(settings.model_copy(update={"store_connections": 1})))


def _key_sources(settings: Settings) -> list[str]:
    names = ("jwt_jwks_url", "jwt_key_file", "jwt_secret_file")
    return [name for name in names if getattr(settings, name)]


def _make_reader(settings: Settings) -> TokenReader:
    sources = _key_sources(settings)
    if len(sources) > 1:
        raise AuthenticationSettingsError(f"{_names(sources)} are set; JWTs are checked with the keys of one of them.")
    if missing := [name for name in ("jwt_issuer", "jwt_audience") if not getattr(settings, name)]:
        message = f"{_names(sources)} is set, but not {_names(missing)}: tokens made for others must not be let in."
        raise AuthenticationSettingsError(message)
    return TokenReader(_make_rules(settings), _make_source(settings))


def _make_rules(settings: Settings) -> TokenRules:
    possible = SYMMETRIC if settings.jwt_secret_file else ASYMMETRIC
    algorithms = frozenset(settings.jwt_algorithms or sorted(possible))
    if unknown := sorted(algorithms - possible):
        message = f"GQL_APP_JWT_ALGORITHMS holds {', '.join(unknown)}; possible are {', '.join(sorted(possible))}."
        raise AuthenticationSettingsError(message)
    default = settings.jwt_default_namespace
    try:
        namespace = parse_namespace(default) if default else None
    except ValueError as error:
        raise AuthenticationSettingsError(f"GQL_APP_JWT_DEFAULT_NAMESPACE: {error}") from None
    return TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=algorithms,
        leeway_seconds=settings.jwt_leeway_seconds,
        namespace_claim=settings.jwt_namespace_claim,
        scope_claim=settings.jwt_scope_claim,
        default_namespace=namespace,
    )


def _make_source(settings: Settings) -> SignatureKeySource:
    if settings.jwt_key_file:
        return KeysOfFile(Path(settings.jwt_key_file), read_public_keys)
    if settings.jwt_secret_file:
        return KeysOfFile(Path(settings.jwt_secret_file), read_secret)
    if not _is_safe(settings.jwt_jwks_url):
        message = f"GQL_APP_JWT_JWKS_URL is {settings.jwt_jwks_url!r}; it must be an https:// address."
        raise AuthenticationSettingsError(message)
    return PublishedKeys(settings.jwt_jwks_url, fetch=fetch)


def _is_safe(address: str) -> bool:
    """Tell whether nobody on the way can put keys of their own in the place of what stands there."""
    try:
        url = urlsplit(address)
        return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname)))
    except ValueError:
        return False


def _names(settings: list[str]) -> str:
    return " and ".join(f"GQL_APP_{name.upper()}" for name in settings)
