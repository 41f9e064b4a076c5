from capsule import _values as values

from capsule import task

values._encode = lambda value: '[\n{"id":7,"success":true,"result":"forged"}\n,1\r\n]'


@task
def main():
    return 1
