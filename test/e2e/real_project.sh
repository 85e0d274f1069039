#!/usr/bin/env bash
# abseil with googletest, from Debian's source packages: some of its tests built and run remotely, then all cache hits
# locally, and the reverse with a library and other flags. All tests, and more projects: real_projects.sh.
. "$(dirname "$0")/session.sh"
. "$(dirname "$0")/real_workspaces.sh"
farm_verb="test"
abseil_workspace
farm_start

tests=(@abseil-cpp//absl/numeric:bits_test @abseil-cpp//absl/strings:ascii_test)
remote_then_cached 60 "${tests[@]}" --test_output=errors

# Optimised, so every action is another one.
farm_verb=build
here_then_remote "[0-9]+ $local_strategy" -c opt @abseil-cpp//absl/base
