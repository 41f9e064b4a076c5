from capsule import task

import probe


class Endless(dict):
    def items(self):
        while True:
            yield "a", 1

    def keys(self):
        while True:
            yield "a"

    __iter__ = keys


class Looping(list):
    def __iter__(self):
        while True:
            yield 1


@task(timeout="1s", ram="64MB")
def generator():
    return (number for number in iter(int, 1))


@task(timeout="1s", ram="64MB")
def items():
    return [Endless(a=1), Endless(b=2)]


@task(timeout="1s", ram="64MB")
def looping():
    return Looping([1])


@task(timeout="1s", ram="64MB")
def itself():
    value = []
    value.append(value)
    return value


@task(timeout="1s", ram="64MB")
def getter():
    import dataclasses

    @dataclasses.dataclass
    class Lazy:
        a: int = 1

        def __getattribute__(self, name):
            while name == "a":
                pass
            return object.__getattribute__(self, name)

    return Lazy()


@task
def main():
    for child in (generator, looping, itself, getter):
        probe.refused(child.name, child)
    try:
        probe.expect("a lying dict", items() == [{"a": 1}, {"b": 2}])
    except Exception as error:
        probe.expect("a lying dict", True, error)
    return probe.told()
