#include "server/web_page.h"

#include <gtest/gtest.h>

namespace lre::server {
namespace {

class WebPageTest : public testing::Test {
 protected:
  rpc::HttpResponse Get(const std::string& path, const std::string& method = "GET") {
    rpc::HttpResponse answer;
    rpc::HttpRequest request;
    request.method = method;
    request.path = path;
    handler_(request, [&](rpc::HttpResponse response) { answer = std::move(response); });
    return answer;
  }
  Metrics metrics_;
  service::HealthState health_{{}};
  rpc::HttpHandler handler_ =
      NewWebPage({metrics_, health_, [] {
                    return std::vector<std::pair<std::string, std::string>>{{"Data", "<script>"}};
                  }});
};

TEST_F(WebPageTest, ShowsFactsEscaped) {
  rpc::HttpResponse page = Get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_NE(Flatten(page.body).find("&lt;script&gt;"), std::string::npos);
  EXPECT_EQ(Flatten(page.body).find("<script>"), std::string::npos);
}

TEST_F(WebPageTest, PrintsMetrics) {
  metrics_.AddCounter("lre_test_total", "Of the test").Add(3);
  EXPECT_NE(Flatten(Get("/metrics").body).find("lre_test_total 3"), std::string::npos);
}

TEST_F(WebPageTest, SaysWhetherItServes) {
  EXPECT_EQ(Get("/healthz").status, 200);
  health_.SetServing(false);
  EXPECT_EQ(Get("/healthz").status, 503);
}

TEST_F(WebPageTest, RefusesWhatItDoesNotHave) {
  EXPECT_EQ(Get("/nothing").status, 404);
  EXPECT_EQ(Get("/", "POST").status, 405);
}

}  // namespace
}  // namespace lre::server
