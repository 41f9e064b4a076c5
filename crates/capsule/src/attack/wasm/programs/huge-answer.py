from capsule import task


@task(ram="256MB")
def main():
    return "x" * 50_000_000
