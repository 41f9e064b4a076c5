from capsule import task


@task(allowed_files=["granted/out"])
def main():
    return open("/granted/out/secret").read()
