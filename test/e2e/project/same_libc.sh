#!/bin/sh
# $1 holds "<compiled against> <ran on> <salt>" of a program that the build ran: one and the same C library.
read -r compiled ran salt < "$1"
echo "compiled against $compiled, ran on $ran, salt $salt"
[ "$compiled" = "$ran" ]
