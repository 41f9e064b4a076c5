import asyncio

from capsule import task


@task(timeout="300ms")
async def main():
    while True:
        try:
            await asyncio.shield(asyncio.sleep(1e9))
        except BaseException:
            pass
