#!/bin/sh
cat "$1"
sleep 1.7
