"""The client for ``asyncio``. The one without is made from it by ``generate_sync.py``; only
``stream.py`` is written twice."""
