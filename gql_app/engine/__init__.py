"""The asyncio shell around the core: it tells the machine what happened and makes what it asks for go on."""
