"""API keys in the database, beside the runs."""

from datetime import datetime

from sqlalchemy import insert, select, update

from gql_app.ports import KeyRecord
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.rows import instant, microseconds
from gql_app.storage.sql.tables import api_keys


class SqlKeyRecords:
    """The table of API keys. What a key is, others know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> list[KeyRecord]:
        """Read all of them, in the order of their ids."""
        wanted = select(api_keys).order_by(api_keys.c.id)
        rows = await self._database.read(lambda connection: connection.execute(wanted).all())
        return [
            KeyRecord(row.id, row.data, None if row.revoked_at is None else instant(row.revoked_at)) for row in rows
        ]

    async def add(self, record: KeyRecord) -> None:
        """Add one."""
        row = insert(api_keys).values(id=record.id, data=record.data, revoked_at=None)
        await self._database.write(lambda connection: connection.execute(row))

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Make one good for nothing, unless it is already; tell whether there is such a key."""
        here = api_keys.c.id == key_id
        change = update(api_keys).where(here, api_keys.c.revoked_at.is_(None)).values(revoked_at=microseconds(at))
        known = select(api_keys.c.id).where(here)
        await self._database.write(lambda connection: connection.execute(change))
        return await self._database.read(lambda connection: connection.execute(known).first()) is not None
