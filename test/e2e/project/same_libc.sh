#!/bin/sh
# $1 holds "<compiled against> <ran on> <salt> <where>" of a program that the build ran: one and the same C library,
# that of the store.
read -r compiled ran salt libc < "$1"
echo "compiled against $compiled, ran on $ran, salt $salt, $libc"
[ "$compiled" = "$ran" ] || exit 1
case $libc in /lre/store/*-libc/*) ;; *) exit 1 ;; esac
