"""The client without ``asyncio``: made from the other one by ``generate_sync.py``, but for
``stream.py``."""
