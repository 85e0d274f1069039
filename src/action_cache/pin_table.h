// PinTable: named sets of action results that stay whatever the cache does, and the blobs they name
// with them. It is a decorator of the ActionCache that is served: a key that the cache has lost is
// answered from the pins. Blobs are kept by LogStore pins, one for each result however many names
// keep it, so that what two toolchains share counts once. Thread-safe; Set and Retire block.
//
// The table is one small file, written before Set answers and read by Open; LogStore pins that no
// entry names (a crash between the two) are removed by Open. Format: lre.admin.v1.PinTable.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "action_cache/action_cache.h"
#include "lre/admin/v1/pins.pb.h"
#include "store/log_store.h"

namespace lre::action_cache {

struct PinTableOptions {
  std::string file;
  size_t results_max = 1000;            // of all pins: kResourceExhausted beyond
  uint64_t result_bytes_max = 1 << 20;  // of one serialised ActionResult: kInvalidArgument beyond
  uint64_t tree_bytes_max = 64 << 20;   // of one Tree or Directory read to flatten a result
  uint64_t digests_max = 1'000'000;     // that one result may name
};

// Where a pin's name means something.
struct PinSpace {
  std::string_view instance_name;  // borrowed for the call
  store::Partition partition = 0;
};

class PinTable : public ActionCache {
 public:
  // What is borrowed must outlive the table. `base` is the cache over `blobs`.
  static Result<std::unique_ptr<PinTable>> Open(std::unique_ptr<ActionCache> base,
                                                store::LogStore& blobs, const Clock& clock,
                                                PinTableOptions options);

  // Pins the results that the cache has for `actions`; replaces a pin of the same name.
  // kFailedPrecondition names a result or blob that is absent, kResourceExhausted a bound that
  // would be passed; then nothing has changed.
  virtual Result<admin::v1::Pin> Set(PinSpace space, std::string_view name,
                                     const std::vector<Digest>& actions) = 0;
  virtual std::vector<admin::v1::Pin> List(PinSpace space) = 0;
  // kNotFound when there is none.
  virtual Status Retire(PinSpace space, std::string_view name) = 0;
};

}  // namespace lre::action_cache
