// lre completion: scripts that make shells complete commands and flags. They are printed from the
// commands that there are, so they can name nothing else.
#include "cli/commands.h"
#include "cli/terminal.h"

namespace lre::cli {
namespace {

// One command: where it is ("lre store gc") and what may come next.
struct Node {
  std::string path;
  const CLI::App* app;
};

void Collect(const CLI::App& app, const std::string& path, std::vector<Node>* nodes) {
  nodes->push_back({path, &app});
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    Collect(*sub, path + " " + sub->get_name(), nodes);
  }
}

std::vector<std::string> NextWords(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* sub : app.get_subcommands(nullptr)) words.push_back(sub->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

// A case statement that bash and zsh read alike: from a command and the next word to the command
// that this makes, and from a command to the words that may follow.
std::string ShellCases(const std::vector<Node>& nodes, std::string_view word) {
  std::string text = "  for word in " + std::string(word) +
                     "; do\n"
                     "    case \"$at $word\" in\n";
  for (const Node& node : nodes) {
    if (node.path.contains(' ')) {
      text += fmt::format("      \"{}\") at=\"{}\" ;;\n", node.path, node.path);
    }
  }
  text += "    esac\n  done\n  case \"$at\" in\n";
  for (const Node& node : nodes) {
    text +=
        fmt::format("    \"{}\") next=({}) ;;\n", node.path, fmt::join(NextWords(*node.app), " "));
  }
  return text + "  esac\n";
}

std::string Bash(const std::vector<Node>& nodes) {
  return "# bash completion of lre: source <(lre completion bash)\n"
         "_lre() {\n"
         "  local at=lre word next=()\n" +
         ShellCases(nodes, "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"") +
         "  mapfile -t COMPREPLY < <(compgen -W \"${next[*]}\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
         "}\n"
         "complete -o default -F _lre lre\n";
}

std::string Zsh(const std::vector<Node>& nodes) {
  return "#compdef lre\n"
         "# zsh completion of lre: source <(lre completion zsh), after compinit\n"
         "_lre() {\n"
         "  local at=lre word\n"
         "  local -a next\n" +
         ShellCases(nodes, "\"${(@)words[2,CURRENT-1]}\"") +
         "  compadd -- \"${next[@]}\"\n"
         "  [[ \"${words[CURRENT]}\" == -* ]] || _files\n"
         "}\n"
         "compdef _lre lre\n";
}

// In single quotes, as fish reads them.
std::string FishQuote(std::string_view text) {
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? ' ' : c;
  }
  return quoted + "'";
}

std::string Fish(const std::vector<Node>& nodes) {
  std::string text =
      "# fish completion of lre: lre completion fish | source\n"
      "function __lre_at\n"
      "    set -l at lre\n"
      "    for word in (commandline -opc)[2..-1]\n"
      "        switch \"$at $word\"\n";
  for (const Node& node : nodes) {
    if (!node.path.contains(' ')) continue;
    text += fmt::format("            case {0}\n                set at {0}\n", FishQuote(node.path));
  }
  text +=
      "        end\n"
      "    end\n"
      "    test \"$at\" = \"$argv[1]\"\n"
      "end\n";
  for (const Node& node : nodes) {
    const std::string at = FishQuote("__lre_at \"" + node.path + "\"");
    for (const CLI::App* sub : node.app->get_subcommands(nullptr)) {
      text += fmt::format("complete -c lre -n {} -f -a {} -d {}\n", at, sub->get_name(),
                          FishQuote(sub->get_description()));
    }
    for (const CLI::Option* option : node.app->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        text += fmt::format("complete -c lre -n {} -l {}{} -d {}\n", at, name,
                            option->get_items_expected_max() > 0 ? " -r" : "",
                            FishQuote(option->get_description()));
      }
    }
  }
  return text;
}

}  // namespace

Result<std::string> CompletionScript(const CLI::App& program, std::string_view shell) {
  std::vector<Node> nodes;
  Collect(program, "lre", &nodes);
  if (shell == "bash") return Bash(nodes);
  if (shell == "zsh") return Zsh(nodes);
  if (shell == "fish") return Fish(nodes);
  return Error(Code::kInvalidArgument, "no completion for \"{}\"; bash, zsh and fish have one",
               shell);
}

void AddCompletionCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("completion", "Print what makes a shell complete commands and flags");
  command->footer("Examples:\n  source <(lre completion bash)\n  lre completion fish | source");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->callback([&app, shell] {
    app.action = [&app, shell]() -> Status {
      DeclareAll(app);
      Result<std::string> script = CompletionScript(app.cli, *shell);
      if (!script) {
        app.exit_code = 2;
        return script.error();
      }
      Print(*script);
      return Status();
    };
  });
}

}  // namespace lre::cli
