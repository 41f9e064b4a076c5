from capsule import task


class FuelExhausted(Exception):
    pass


@task
def main():
    raise FuelExhausted("E4004")
