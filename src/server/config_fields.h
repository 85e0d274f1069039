// How keys of the schema read and show fields of a Config. A field is a pointer to a member of
// Config, or, for what lies deeper, LRE_FIELD(part.name). For config_*.cc only. Free functions,
// thread-safe.
#pragma once

#include <charconv>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/quantity.h"
#include "server/config_keys.h"

namespace lre::server {

#define LRE_FIELD(path) \
  [](auto& config) -> auto& { return config.path; }

template <typename Field>
ConfigKey Text(std::string_view name, std::string_view unit, std::string_view help, Field field) {
  return {
      .name = name,
      .unit = unit,
      .help = help,
      .set =
          [field](Config& config, std::string_view value) {
            std::invoke(field, config) = value;
            return Status();
          },
      .show = [field](const Config& config) -> std::string { return std::invoke(field, config); }};
}

// One of "a|b|c".
template <typename Field>
ConfigKey Choice(std::string_view name, std::string_view choices, std::string_view help,
                 Field field) {
  ConfigKey key = Text(name, choices, help, field);
  key.set = [field, choices](Config& config, std::string_view value) {
    for (size_t start = 0; start <= choices.size();) {
      size_t end = std::min(choices.find('|', start), choices.size());
      if (!value.empty() && choices.substr(start, end - start) == value) {
        std::invoke(field, config) = value;
        return Status();
      }
      start = end + 1;
    }
    return ErrorStatus(Code::kInvalidArgument, "\"{}\" is none of {}", value, choices);
  };
  return key;
}

template <typename Field>
ConfigKey Flag(std::string_view name, std::string_view help, Field field) {
  return {
      .name = name,
      .unit = "true|false",
      .help = help,
      .set = [field](Config& config, std::string_view value) -> Status {
        if (value != "true" && value != "false") {
          return ErrorStatus(Code::kInvalidArgument, "\"{}\" is neither true nor false", value);
        }
        std::invoke(field, config) = value == "true";
        return Status();
      },
      .show =
          [field](const Config& config) { return std::invoke(field, config) ? "true" : "false"; }};
}

template <typename Field>
ConfigKey Count(std::string_view name, std::string_view help, Field field, int least = 0,
                int most = 1'000'000'000) {
  return {
      .name = name,
      .unit = "NUMBER",
      .help = help,
      .set = [field, least, most](Config& config, std::string_view value) -> Status {
        int number = 0;
        const char* last = value.data() + value.size();
        const auto [end, error] = std::from_chars(value.data(), last, number);
        if (error != std::errc() || end != last || number < least || number > most) {
          return ErrorStatus(Code::kInvalidArgument, "\"{}\" is not a number from {} to {}", value,
                             least, most);
        }
        auto& to = std::invoke(field, config);
        to = static_cast<std::decay_t<decltype(to)>>(number);
        return Status();
      },
      .show = [field](const Config& config) { return std::to_string(std::invoke(field, config)); }};
}

template <typename Field>
ConfigKey Percent(std::string_view name, std::string_view help, Field field) {
  ConfigKey key = Count(name, help, field, 0, 100);
  key.unit = "PERCENT";
  return key;
}

template <typename Field>
ConfigKey Size(std::string_view name, std::string_view help, Field field) {
  return {.name = name,
          .unit = "SIZE",
          .help = help,
          .set = [field](Config& config, std::string_view value) -> Status {
            TRY_ASSIGN(const uint64_t bytes, ParseSize(value));
            auto& to = std::invoke(field, config);
            using To = std::decay_t<decltype(to)>;
            if (!std::in_range<To>(bytes)) {
              return ErrorStatus(Code::kInvalidArgument, "\"{}\" is too much", value);
            }
            to = static_cast<To>(bytes);
            return Status();
          },
          .show =
              [field](const Config& config) {
                return ExactSize(static_cast<uint64_t>(std::invoke(field, config)));
              }};
}

template <typename Field>
ConfigKey Time(std::string_view name, std::string_view help, Field field) {
  return {
      .name = name,
      .unit = "TIME",
      .help = help,
      .set = [field](Config& config, std::string_view value) -> Status {
        TRY_ASSIGN(std::invoke(field, config), ParseDuration(value));
        return Status();
      },
      .show = [field](const Config& config) { return ExactDuration(std::invoke(field, config)); }};
}

template <typename Field>
ConfigKey Texts(std::string_view name, std::string_view unit, std::string_view help, Field field) {
  return {.name = name,
          .unit = unit,
          .help = help,
          .list = true,
          .set =
              [field](Config& config, std::string_view value) {
                std::invoke(field, config).emplace_back(value);
                return Status();
              },
          .show =
              [field](const Config& config) {
                return fmt::format("{}", fmt::join(std::invoke(field, config), ","));
              },
          .clear = [field](Config& config) { std::invoke(field, config).clear(); }};
}

// Texts "NAME=VALUE", split at the first '='.
template <typename Field>
ConfigKey Pairs(std::string_view name, std::string_view unit, std::string_view help, Field field) {
  return {.name = name,
          .unit = unit,
          .help = help,
          .list = true,
          .set =
              [field](Config& config, std::string_view value) {
                const size_t equals = value.find('=');
                if (equals == 0 || equals == std::string_view::npos) {
                  return ErrorStatus(Code::kInvalidArgument, "\"{}\" is not NAME=VALUE", value);
                }
                std::invoke(field, config)
                    .emplace_back(value.substr(0, equals), value.substr(equals + 1));
                return Status();
              },
          .show =
              [field](const Config& config) {
                std::string text;
                for (const auto& [name, value] : std::invoke(field, config)) {
                  text += (text.empty() ? "" : ",") + name + "=" + value;
                }
                return text;
              },
          .clear = [field](Config& config) { std::invoke(field, config).clear(); }};
}

}  // namespace lre::server
