from capsule import task


@task(max_retries=10**9)
def main():
    raise ValueError
