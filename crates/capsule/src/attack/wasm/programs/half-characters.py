from capsule import _values as values

from capsule import task

values._encode = lambda value: '{"a":["\\ud800"]}'


@task
def main():
    return 1
