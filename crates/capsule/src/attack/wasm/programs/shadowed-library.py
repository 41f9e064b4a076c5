import asyncio
import json
import os
import random

import capsule
from capsule import _values as values
from wit_world.imports import host

from capsule import task

import probe


@task
def child():
    return {"float": 0.5}


@task
def main():
    for module in (asyncio, json, os, random, capsule, values, host):
        probe.expect(module.__name__, not hasattr(module, "SHADOW"), module)
    probe.expect("values are encoded", child() == {"float": 0.5})
    return probe.told()
