from capsule import task


@task(allowed_files=["granted/../../outside"])
def main():
    return open("/outside/secret").read()
