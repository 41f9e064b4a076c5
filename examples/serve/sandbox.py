"""Makes a sandbox, gives it a file, and runs code in it. The server is that of CAPSULE_URL."""

from capsule_sdk import CapsuleClient

client = CapsuleClient()
# Whoever says the same key has the same sandbox.
sandbox = client.create("python", key="demo")
sandbox.write_file("numbers.csv", "3,4\n5,12\n")

result = sandbox.run("""
import csv, math
rows = [math.hypot(*map(float, row)) for row in csv.reader(open("numbers.csv"))]
print(*rows, file=open("lengths.txt", "w"))
print("lengths:", *rows)
""")
print(result.check().stdout, end="")

for event in sandbox.exec_stream(["sh", "-c", "echo streamed; cat /etc/shadow; exit 3"]):
    if event.exit:
        print("exit code", event.exit.exit_code)
    else:
        print(event.text, end="")
