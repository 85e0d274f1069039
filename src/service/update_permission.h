// Who may write what others will be answered: action results, assets, raw values. A plain value.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace lre::service {

struct UpdatePermission {
  bool enabled = true;
  std::vector<std::string> instances;  // where clients may write; empty: everywhere

  bool Allows(std::string_view instance_name) const {
    return enabled && (instances.empty() || std::find(instances.begin(), instances.end(),
                                                      instance_name) != instances.end());
  }
};

}  // namespace lre::service
