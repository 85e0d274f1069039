// A toolchain store without root: the calling process moves into a user namespace with a root
// folder of its own, where ~/.lre/store stands at /lre/store, ~/.lre/nix at /nix/store unless Nix
// itself is there, and all else is as it was. For what it then runs; other processes see nothing of
// it. REQUIRES: no other thread. Linux; see user_namespaces(7), pivot_root(2).
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace lre::cli {

struct UserStore {
  std::string store;  // "<home>/.lre/store"
  std::string nix;    // "<home>/.lre/nix"
  std::string root;   // a folder on which the new root is mounted: "<home>/.lre/root"
  std::string bazel;  // Bazel's --output_user_root inside: "<home>/.cache/lre/bazel-shell"
  std::string bin;    // holds what stands before PATH inside: "<home>/.lre/bin"
};
// kFailedPrecondition without HOME.
Result<UserStore> UserStoreOfHome();

// Whether this process may make store paths where they belong: nothing else is needed then.
bool StoreIsWritable();

// kFailedPrecondition when this machine allows no user namespaces, with what to do instead.
Status EnterUserStore(const UserStore& store);

// Writes `bin`/bazel, which calls the Bazel found in `path` ("a:b:c") with an output root of its
// own: a server that runs outside does not see the store of the namespace, and the other way round.
// Nothing when there is no Bazel.
Status WriteBazelWrapper(const UserStore& store, const std::string& path);

// A Bazel server of this user.
struct BazelServer {
  int pid = 0;
  std::string workspace, output_base;
  bool same_store = false;  // whether /lre/store is the same folder there as here
};
// Those that run now, but for those that the wrapper started: they see the user's store, whichever
// shell they were started in.
std::vector<BazelServer> FindBazelServers(const UserStore& store,
                                          const std::string& proc = "/proc");

}  // namespace lre::cli
