#include "toolchain/root/launcher.h"

#include <elf.h>

#include <cstring>

#include "toolchain/root/launcher_code.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kBase = 0x10000;  // low, and above any vm.mmap_min_addr
constexpr uint64_t kPage = 0x10000;  // largest page of both machines

std::string Configuration(const LauncherConfig& config) {
  std::string text = config.target + '\0' + config.argv0 + '\0';
  if (!config.path_directory.empty()) text += "PATH=" + config.path_directory;
  text += '\0';
  for (const std::string& name : config.drop) text += name + "=" + '\0';
  text += '\0';
  for (const std::string& setting : config.set) text += setting + '\0';
  text += '\0';
  for (const std::string& argument : config.arguments) text += argument + '\0';
  text += '\0';
  return text;
}

Status CheckStrings(const LauncherConfig& config) {
  auto check = [](const std::string& text) -> Status {
    if (text.find('\0') == text.npos) return {};
    return ErrorStatus(Code::kInvalidArgument, "launcher: '{}' has NUL in it", text.c_str());
  };
  for (const std::string* text : {&config.target, &config.argv0, &config.path_directory})
    TRY(check(*text));
  if (!config.target.starts_with('/'))
    return ErrorStatus(Code::kInvalidArgument, "launcher: target '{}' is not absolute",
                       config.target);
  for (const std::string& name : config.drop) {
    TRY(check(name));
    if (name.empty() || name.find('=') != name.npos)
      return ErrorStatus(Code::kInvalidArgument, "launcher: '{}' is no name of a variable", name);
  }
  for (const std::string& argument : config.arguments) {
    TRY(check(argument));
    if (argument.empty())
      return ErrorStatus(Code::kInvalidArgument, "launcher: an argument is empty");
  }
  for (const std::string& setting : config.set) {
    TRY(check(setting));
    if (setting.find('=') == setting.npos || setting.starts_with('='))
      return ErrorStatus(Code::kInvalidArgument, "launcher: '{}' is no NAME=value", setting);
  }
  return {};
}

template <typename T>
void Append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

Result<std::string> MakeLauncher(ElfMachine machine, const LauncherConfig& config) {
  TRY(CheckStrings(config));
  std::string text;
  if (machine == ElfMachine::kX86_64)
    text.assign(reinterpret_cast<const char*>(kLauncherX86_64), sizeof kLauncherX86_64);
  else if (machine == ElfMachine::kAarch64)
    text.assign(reinterpret_cast<const char*>(kLauncherAarch64), sizeof kLauncherAarch64);
  else
    return Error(Code::kUnimplemented, "no launcher for this machine");
  text += Configuration(config);

  const uint64_t headers = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  const uint64_t start = (headers + 15) / 16 * 16;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = machine == ElfMachine::kX86_64 ? EM_X86_64 : EM_AARCH64;
  header.e_version = EV_CURRENT;
  header.e_entry = kBase + start;
  header.e_phoff = header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  const uint64_t size = start + text.size();
  std::string bytes;
  Append(bytes, header);
  Append(bytes, Elf64_Phdr{.p_type = PT_LOAD,
                           .p_flags = PF_R | PF_X,
                           .p_offset = 0,
                           .p_vaddr = kBase,
                           .p_paddr = kBase,
                           .p_filesz = size,
                           .p_memsz = size,
                           .p_align = kPage});
  Append(bytes, Elf64_Phdr{.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16});
  bytes.resize(start, '\0');
  return bytes + text;
}

}  // namespace lre::toolchain
