from capsule import task


def endless():
    while True:
        yield "granted"


@task(allowed_files=endless())
def main():
    return 1
