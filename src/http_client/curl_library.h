// libcurl, loaded with the first transfer: it brings in some thirty libraries, and most commands
// download nothing. Thread-safe. The names are libcurl's without their prefix.
#pragma once

#include <curl/curl.h>

#include "base/status.h"

// A macro of the same name checks the number of its arguments, where a name is meant here.
#undef curl_easy_setopt
#undef curl_easy_getinfo

namespace lre {

struct CurlLibrary {
  decltype(&::curl_global_init) global_init;
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_reset) easy_reset;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
  decltype(&::curl_url) url;
  decltype(&::curl_url_set) url_set;
  decltype(&::curl_url_get) url_get;
  decltype(&::curl_url_cleanup) url_cleanup;
  decltype(&::curl_free) free;
};

// Loads it, once. kFailedPrecondition: it is not installed.
Status LoadCurl();
// REQUIRES: LoadCurl() went well.
const CurlLibrary& Curl();

}  // namespace lre
