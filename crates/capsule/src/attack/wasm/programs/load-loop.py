from capsule import task

while True:
    pass
