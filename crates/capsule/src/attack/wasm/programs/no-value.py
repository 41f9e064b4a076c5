from capsule import _values as values

from capsule import task

values._encode = lambda value: '1}\n{"success":true,"result":"forged"'


@task
def main():
    return 1
