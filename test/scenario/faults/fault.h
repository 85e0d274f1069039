// Seeded faults: a server that is wrong in one known way, to see that the scenarios tell. A fault
// stands between the transport and one method of a right server and changes what is asked, what is
// answered, or the status. Faults may keep state between calls; hooks run under the fault's own
// lock, from loops and I/O threads.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/call.h"

namespace lre::scenario {

// One call on its way through a fault. A hook changes what it is given.
struct FaultHooks {
  // A request message, serialised.
  std::function<void(std::string&)> request;
  // An answer, serialised; false swallows it.
  std::function<bool(std::string&)> reply;
  // The end of a call. From an error to OK the message in `answer`, when it is set, is sent before.
  std::function<void(Status& status, std::string* answer)> status;
};

struct Fault {
  std::string name;    // a sentence: what the server does wrong
  std::string method;  // "/package.Service/Name"
  FaultHooks hooks;
};

// Every fault; each is caught by some scenario.
std::vector<Fault> SeededFaults();
// For each method of `methods`: all its statuses are another one. These show for every scenario
// that it can fail, and count as no seeded faults.
std::vector<Fault> WholesaleFaults(const std::vector<rpc::Method>& methods);

// The methods, with the fault around the one it is about.
std::vector<rpc::Method> WithFault(std::vector<rpc::Method> methods, const Fault& fault);

}  // namespace lre::scenario
