// What the recipe (recipe.h) does for trees with a JDK or with Bazel's Java tools, told by what is
// in them. Pure functions over trees, thread-safe on distinct ones.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "toolchain/root/file_tree.h"

namespace lre::toolchain {

// "usr/lib/jvm/java-17-openjdk-amd64": the folder whose bin has a java that is a program.
std::optional<std::string> FindJdk(const FileTree& tree);
// Bazel's Java tools: "usr/lib/x86_64-linux-gnu/bazel/java_tools".
std::optional<std::string> FindJavaTools(const FileTree& tree, std::string_view triplet);

// Gives the JDK the cacerts that a maintainer script would have made, from the authorities in
// usr/share/ca-certificates. kFailedPrecondition when there are none.
Status FinishJdk(FileTree& tree, const std::string& jdk);
// Gives busybox the names by which it is called: sh and cp. Where JUnit is too, makes `folder`,
// which FindJavaTools found, a Bazel repository in the place of @remote_java_tools, whose test
// runner brings JUnit as the one that Bazel downloads does. Where JaCoCo is, the folder
// `properties` there is for JavaBuilder's class path.
void FinishJavaTools(FileTree& tree, const std::string& folder);

// A Java key store (JKS, password "changeit") of trusted certificates, each (alias, DER), in this
// order. Without a date of today: the same certificates give the same bytes.
std::string MakeTrustStore(const std::vector<std::pair<std::string, std::string>>& certificates);
// The DER bytes of the first certificate in `pem`.
Result<std::string> PemToDer(std::string_view pem);

}  // namespace lre::toolchain
