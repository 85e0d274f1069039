#include "http_client/curl_library.h"

#include "base/late_library.h"

namespace lre {
namespace {

constexpr const char* kLibrary = "libcurl.so.4";

Result<CurlLibrary> Load() {
  CurlLibrary curl;
  TRY(LoadLate(kLibrary, "curl_global_init", curl.global_init));
  TRY(LoadLate(kLibrary, "curl_easy_init", curl.easy_init));
  TRY(LoadLate(kLibrary, "curl_easy_setopt", curl.easy_setopt));
  TRY(LoadLate(kLibrary, "curl_easy_getinfo", curl.easy_getinfo));
  TRY(LoadLate(kLibrary, "curl_easy_perform", curl.easy_perform));
  TRY(LoadLate(kLibrary, "curl_easy_reset", curl.easy_reset));
  TRY(LoadLate(kLibrary, "curl_easy_cleanup", curl.easy_cleanup));
  TRY(LoadLate(kLibrary, "curl_easy_strerror", curl.easy_strerror));
  TRY(LoadLate(kLibrary, "curl_slist_append", curl.slist_append));
  TRY(LoadLate(kLibrary, "curl_slist_free_all", curl.slist_free_all));
  TRY(LoadLate(kLibrary, "curl_url", curl.url));
  TRY(LoadLate(kLibrary, "curl_url_set", curl.url_set));
  TRY(LoadLate(kLibrary, "curl_url_get", curl.url_get));
  TRY(LoadLate(kLibrary, "curl_url_cleanup", curl.url_cleanup));
  TRY(LoadLate(kLibrary, "curl_free", curl.free));
  curl.global_init(CURL_GLOBAL_DEFAULT);
  return curl;
}

const Result<CurlLibrary>& Loaded() {
  static const Result<CurlLibrary> loaded = Load();
  return loaded;
}

}  // namespace

Status LoadCurl() { return ToStatus(Loaded()); }
const CurlLibrary& Curl() { return *Loaded(); }

}  // namespace lre
