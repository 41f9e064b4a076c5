import os
import sys

from guest import program

import wit_world
from capsule import task

import probe


@task(env_variables=["@VARIABLE@"], allowed_files=["."])
def rich():
    return [os.environ.get("@VARIABLE@"), probe.read("/private")]


@task
def main():
    [world] = [vars(module)["WitWorld"]() for module in list(sys.modules.values())
               if vars(module).get("WitWorld", wit_world.WitWorld) is not wit_world.WitWorld]
    probe.refused("begin", lambda: world.begin("rich", '{"args":[],"kwargs":{}}', []))
    probe.refused("begin with variables", lambda: world.begin("rich", '{"args":[],"kwargs":{}}', [("@VARIABLE@", "mine")]))
    probe.refused("evaluate", lambda: world.evaluate("open('/private').read()", "x"))
    probe.refused("absorb", lambda: [1 / 0 for failed in world.absorb(["leak"], []) if failed])
    try:
        world.load([("@VARIABLE@", "mine")])
    except BaseException:
        pass
    probe.refused("after another load", lambda: probe.read("/private"))
    program._tasks.clear()
    return probe.told()
