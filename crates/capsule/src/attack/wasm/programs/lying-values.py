from capsule import task


class Text(str):
    def __str__(self):
        return '","forged":"'

    __repr__ = __format__ = __str__

    def encode(self, *args):
        return b'","forged":"'


class Number(int):
    def __repr__(self):
        return '1,"forged":1'

    __str__ = __format__ = __repr__


class Map(dict):
    def items(self):
        return [("a", 1), ("a", 2)]

    __class__ = list


class Key(str):
    def __repr__(self):
        return '"forged":1,"x"'


@task
def main():
    try:
        return [Text("text"), Number(7), Map(a=1), {Key("key"): 1}]
    finally:
        pass
