#include "server/web_page.h"

namespace lre::server {
namespace {

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

rpc::HttpResponse Answer(int status, const char* type, std::string body) {
  return {.status = status,
          .headers = {{"content-type", type},
                      {"cache-control", "no-store"},
                      {"x-content-type-options", "nosniff"},
                      {"content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"}},
          .body = {Bytes(std::move(body))}};
}

std::string StatusPage(const WebPageParts& parts) {
  std::string page =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>LRE</title>"
      "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 "
      "1rem}"
      "th{text-align:left;font-weight:normal;color:#555;padding-right:2rem}"
      "td{font-variant-numeric:tabular-nums}</style></head><body><h1>LRE</h1><p>";
  page += parts.health.serving() ? "Serving." : "Draining: no new calls are taken.";
  page += "</p><table>";
  for (const auto& [name, value] : parts.facts()) {
    page += "<tr><th scope=\"row\">" + EscapeHtml(name) + "</th><td>" + EscapeHtml(value) +
            "</td></tr>";
  }
  page += "</table><p><a href=\"/metrics\">Metrics</a></p></body></html>\n";
  return page;
}

}  // namespace

rpc::HttpHandler NewWebPage(WebPageParts parts) {
  return [parts](rpc::HttpRequest request, std::function<void(rpc::HttpResponse)> respond) {
    if (request.method != "GET" && request.method != "HEAD") {
      return respond(Answer(405, "text/plain; charset=utf-8", "only GET and HEAD\n"));
    }
    rpc::HttpResponse answer;
    if (request.path == "/") {
      answer = Answer(200, "text/html; charset=utf-8", StatusPage(parts));
    } else if (request.path == "/metrics") {
      answer = Answer(200, "text/plain; version=0.0.4; charset=utf-8", parts.metrics.Print());
    } else if (request.path == "/healthz") {
      const bool serving = parts.health.serving();
      answer = Answer(serving ? 200 : 503, "text/plain; charset=utf-8",
                      serving ? "serving\n" : "draining\n");
    } else {
      answer = Answer(404, "text/plain; charset=utf-8", "no such page\n");
    }
    respond(std::move(answer));
  };
}

}  // namespace lre::server
