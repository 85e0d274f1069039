// What the BUILD files register: toolchain() and the constraints that choose it.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {

std::string FolderOf(const Manifest& manifest) { return "generated-" + manifest.name; }

std::string Elsewhere(const GenerateInput& input, const Manifest& manifest) {
  return manifest.system == input.manifest.system ? "" : "-" + CpuOf(manifest.system);
}

std::vector<std::string> LinuxOn(const std::string& cpu, const std::vector<std::string>& more) {
  std::vector<std::string> constraints = {"@platforms//cpu:" + cpu, "@platforms//os:linux"};
  constraints.insert(constraints.end(), more.begin(), more.end());
  return constraints;
}

std::vector<std::string> WithConstraint(const std::string& first, std::vector<std::string> rest) {
  rest.insert(rest.begin(), first);
  return rest;
}

std::vector<std::string> LreOn(const std::string& cpu, const std::vector<std::string>& more) {
  return WithConstraint("//generated-cc/config:lre", LinuxOn(cpu, more));
}

std::string Registration(const RegisteredToolchain& toolchain) {
  std::string out = "toolchain(\n    name = " + StarlarkString(toolchain.name) + ",\n";
  if (toolchain.exec)
    out += "    exec_compatible_with = " + StarlarkList(*toolchain.exec, 4) + ",\n";
  if (toolchain.target)
    out += "    target_compatible_with = " + StarlarkList(*toolchain.target, 4) + ",\n";
  return out + "    toolchain = " + StarlarkString(toolchain.label) +
         ",\n    toolchain_type = " + StarlarkString(toolchain.type) + ",\n)\n";
}

}  // namespace lre::toolchain
