from wit_world.imports import host

from capsule import task


@task(timeout="1s", compute="HIGH", ram="256MB")
def main():
    while True:
        host.source("big")
