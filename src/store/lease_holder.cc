#include "store/lease_holder.h"

#include <utility>

namespace lre::store {
namespace {
thread_local std::string_view current;
}  // namespace

LeaseHolder::LeaseHolder(std::string_view identity) : before_(std::exchange(current, identity)) {}
LeaseHolder::~LeaseHolder() { current = before_; }
std::string_view LeaseHolder::Current() { return current; }

}  // namespace lre::store
