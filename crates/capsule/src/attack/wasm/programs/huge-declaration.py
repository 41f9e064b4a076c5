from guest import program

from capsule import task


@task
def main():
    return 1


class json:
    @staticmethod
    def dumps(value):
        return '{"pure":true,"tasks":[{"name":"main","file":"","line":1,"options":{"a":[' + "0," * 75_000_000 + "0]}}]}"


program.json = json
