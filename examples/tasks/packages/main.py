"""Packages from PyPI: installed once, imported once, then in the memory of every sandbox.

    cd examples/tasks/packages && capsule run
"""

import attrs
import jinja2

from capsule import task


@attrs.frozen
class Guest:
    name: str
    seats: int = attrs.field(default=1, validator=attrs.validators.gt(0))


PAGE = jinja2.Template(
    "{% for guest in guests %}{{ guest.name }} ({{ guest.seats }}){{ ', ' if not loop.last }}{% endfor %}"
)


@task(name="main")
def main() -> str:
    return PAGE.render(guests=[Guest("Ada", 2), Guest("Grace")])
