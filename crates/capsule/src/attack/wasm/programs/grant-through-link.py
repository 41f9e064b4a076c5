from capsule import task


@task(allowed_files=[{"path": "granted/out/secret", "mode": "ro"}])
def main():
    return open("/granted/out/secret").read()
