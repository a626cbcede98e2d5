"""Files that only their owner may read, and that are read again when they have changed."""
