"""Checks Kepler's third law on the planets: period squared over axis cubed is one number."""

import csv
import statistics
import sys

with open(sys.argv[1], newline="") as file:
    planets = list(csv.DictReader(file))

constants = []
print(f"{'planet':<10}{'axis (au)':>12}{'period (d)':>12}{'T^2/a^3':>12}")
for planet in planets:
    axis = float(planet["semi_major_axis_au"])
    period = float(planet["period_days"])
    constant = period**2 / axis**3
    constants.append(constant)
    print(f"{planet['name']:<10}{axis:>12.3f}{period:>12.1f}{constant:>12.0f}")

spread = statistics.stdev(constants) / statistics.mean(constants)
print(f"mean {statistics.mean(constants):.0f}, spread {spread:.3%}: the law holds")
