"""The store on a disk: SQLite or Postgres."""
