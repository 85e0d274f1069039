"""What the example says."""

import platform

import examples_count


def text(name):
    letters = examples_count.letters(name)
    return f"Hello, {name} ({letters} letters)! Python {platform.python_version()}"
