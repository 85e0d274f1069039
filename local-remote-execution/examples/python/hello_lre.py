"""Says which Python runs it."""

from examples.python import greeting

if __name__ == "__main__":
    print(greeting.text("Local Remote Execution"))
