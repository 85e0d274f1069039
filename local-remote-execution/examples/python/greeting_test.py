"""Fails unless it runs on the Python of the store."""

import sys
import unittest

from examples.python import greeting


class GreetingTest(unittest.TestCase):
    def test_counts_in_c(self):
        self.assertIn("(20 letters)", greeting.text("Local Remote Execution"))

    def test_runs_on_the_store(self):
        self.assertTrue(sys.executable.startswith("/lre/store/"), sys.executable)
        self.assertTrue(sys.dont_write_bytecode)


if __name__ == "__main__":
    unittest.main()
