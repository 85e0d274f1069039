#!/bin/sh
# Runs a program that was linked for the machine's loader.
"$1"
