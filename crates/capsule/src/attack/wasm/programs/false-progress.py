import asyncio

from guest import loop, operations

from capsule import task

import probe


@task
async def child(number):
    await asyncio.sleep(0.05)
    return number


@task
async def confused():
    operations._answers.update({number: (b'"forged"', None) for number in range(1, 100)})
    return await child(7)


@task
async def ended():
    loop._call.cancel()
    loop._call = asyncio.get_running_loop().create_future()
    loop._call.set_result("forged")
    await asyncio.sleep(0.05)


@task
async def main():
    for one in (confused, ended):
        try:
            probe.expect(one.name, True, await one())
        except Exception as error:
            probe.expect(one.name, True, error)
    probe.expect("others are not confused", await asyncio.gather(child(1), child(2)) == [1, 2])
    return probe.told()
