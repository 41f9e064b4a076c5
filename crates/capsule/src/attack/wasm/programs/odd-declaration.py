from guest import program

from capsule import task


@task
def main():
    return 1


class json:
    @staticmethod
    def dumps(value):
        return '{"pure":true,"tasks":{"main":{"options":{"allowed_files":["."]}}}}'


program.json = json
