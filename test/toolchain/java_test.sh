#!/bin/bash
# java_test.sh SYNC_PACKAGES SOURCE_DIR [TOOLCHAIN]: makes lre-java, or another JDK, from the repository's lock and tries
# it where nothing else is, as toolchain_test.sh does with GCC.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=${3:-lre-java}
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"
home=$(tool home)

mkdir "$work/src"
cat >"$work/src/Hello.java" <<'END'
import java.nio.charset.Charset;
import java.util.concurrent.CompletableFuture;
import java.util.zip.CRC32;

public class Hello {
  public static void main(String[] arguments) throws Exception {
    CRC32 crc = new CRC32();  // a native library
    crc.update("lre".getBytes("UTF-8"));
    int authorities = java.security.KeyStore.getInstance(
        new java.io.File(System.getProperty("java.home") + "/lib/security/cacerts"), "changeit".toCharArray()).size();
    String said = CompletableFuture.supplyAsync(() -> {
      try { throw new IllegalStateException("caught"); } catch (IllegalStateException e) { return e.getMessage(); }
    }).get();
    System.out.println(said + " " + crc.getValue() + " " + (authorities > 50) + " " + Charset.defaultCharset());
  }
}
END
said="caught $(printf lre | gzip -c | tail -c8 | od -An -tu4 -N4 | tr -d ' ') true"
java_runs() {
  rm -rf "$work/classes"
  "${bare[@]}" "$home/bin/javac" -d classes src/Hello.java && [[ "$("${bare[@]}" "$home/bin/java" -cp classes Hello)" == "$said "* ]]
}
check "Java compiles and runs in an empty root" java_runs
jars() { # with a date, jar's output has no other
  local date=1980-01-01T00:00:02Z
  "${bare[@]}" "$home/bin/jar" --create --file one.jar --date $date -C classes . &&
    touch "$work/classes/Hello.class" &&
    env TZ=Asia/Tokyo LANG=de_DE.UTF-8 "$home/bin/jar" --create --file "$work/two.jar" --date $date -C "$work/classes" . &&
    cmp "$work/one.jar" "$work/two.jar" && [[ "$("${bare[@]}" "$home/bin/java" -cp one.jar Hello)" == "$said "* ]]
}
check "a jar has the same bytes anywhere" jars
utf8() { [[ "$("${bare[@]}" --setenv LC_ALL C.UTF-8 "$home/bin/java" -Dfile.encoding=UTF-8 -cp classes Hello)" == "$said UTF-8" ]]; }
check "UTF-8 can be asked for" utf8

# The machine's own: its control group and memory (how many processors there are, how large pages are) and its user.
of_the_machine="/\$|/dev\$|/sys/fs/cgroup|/sys/devices/system/(cpu|node)|/sys/kernel/mm/(hugepages|transparent_hugepage)|/etc/(passwd|nsswitch.conf|localtime|timezone)\$|/lre\$"
check "javac opens and probes nothing outside the store" opens_only "$of_the_machine" "$home/bin/javac" -d traced-classes src/Hello.java
check "java opens and probes nothing outside the store" opens_only "$of_the_machine" "$home/bin/java" -cp classes Hello

hostile() {
  local name
  evil_folder
  for name in libjvm.so libjli.so libz.so.1 libzip.so; do echo garbage >"$work/evil/$name"; done
  rm -rf "$work/dirty-classes"
  (cd "$work" && env LD_LIBRARY_PATH="$work/evil" JAVA_HOME="$work/evil" PATH="$work/evil" LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 \
    "$home/bin/javac" -d dirty-classes src/Hello.java) && diff -r "$work/classes" "$work/dirty-classes"
}
check "a hostile environment changes no byte" hostile
on_hostile_machine() {
  local machine
  evil_machine
  rm -rf "$work/dirty-classes"
  "${machine[@]}" "$home/bin/javac" -d dirty-classes src/Hello.java && diff -r "$work/classes" "$work/dirty-classes" &&
    [[ "$("${machine[@]}" "$home/bin/java" -cp classes Hello)" == "$said "* ]]
}
check "the same bytes where the machine's own files are hostile" on_hostile_machine
check "the same trees and manifest in another namespace, umask and time zone" again
[ $failures = 0 ]
