// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_notify.h"

#include <gtest/gtest.h>

#include "tests/control/config/config_fixture.h"

namespace millrace {
namespace {

TEST(Config, ParsesNotifyTables) {
  const std::string rest =
      "[[notify]]\ntype = 'kamailio'\npath = '/run/k/rpc.sock'\nmode = 0o600\nowner = 'm:k'\n"
      "[[notify]]\ntype = 'opensips'\npath = '/run/o/mi.sock'\nreply_path = '/run/m/r.sock'\n"
      "[[notify]]\ntype = 'events'\npath = '/run/m/events.sock'\n";
  const auto config = parse_config(File{.rest = rest}.text(), "m.toml");
  ASSERT_TRUE(config) << config.error().text();
  ASSERT_EQ(config->notify.size(), 3U);
  EXPECT_EQ(config->notify[0].type, NotifyType::kamailio);
  EXPECT_EQ(config->notify[0].proxy, "/run/k/rpc.sock");
  EXPECT_EQ(config->notify[0].own.path, "/run/millrace/kamailio-replies.sock");
  EXPECT_EQ(config->notify[0].own.mode, 0600U);
  EXPECT_EQ(config->notify[0].own.owner, "m:k");
  EXPECT_EQ(config->notify[1].type, NotifyType::opensips);
  EXPECT_EQ(config->notify[1].own.path, "/run/m/r.sock");
  EXPECT_EQ(config->notify[2].type, NotifyType::events);
  EXPECT_EQ(config->notify[2].own.path, "/run/m/events.sock");
  EXPECT_EQ(config->notify[2].proxy, "");
}

TEST(Config, WrongNotifyTablesAreRefused) {
  const auto error = [](const std::string& keys) { return rest_error("[[notify]]\n" + keys); };
  EXPECT_EQ(error("path = '/x'"),
            "m.toml:9:1: [[notify]] lacks 'type'; write type = \"kamailio\", "
            "\"opensips\" or \"events\"");
  EXPECT_EQ(error("type = 'kamailio'"),
            "m.toml:9:1: [[notify]] lacks 'path'; write path = "
            "\"/run/kamailio/kamailio_rpc.sock\"");
  EXPECT_EQ(
      error("type = 'events'\npath = 'x'"),
      "m.toml:11:8: path must be the absolute path of a socket file, 107 bytes at most; write "
      "\"/run/millrace/events.sock\"");
  EXPECT_EQ(error("type = 'kamailio'\npath = '/k'\nreply_path = 'r'"),
            "m.toml:12:14: reply_path must be the absolute path of a socket file, 107 bytes at "
            "most; write \"/run/millrace/kamailio-replies.sock\"");
  EXPECT_EQ(error("type = 'events'\npath = '/x'\nreply_path = '/y'"),
            "m.toml:12:14: reply_path is for the replies of a proxy; remove it beside events");
  EXPECT_EQ(error("type = 'webhook'\npath = '/x'").substr(0, 13), "m.toml:10:8: ");
  EXPECT_EQ(error("type = 'events'\npath = '/x'\nmode = 660"),
            "m.toml:12:8: mode is not octal; write 0o660");
  EXPECT_EQ(error("type = 'events'\npath = '/x'\n[[notify]]\ntype = 'events'\npath = '/x'"),
            "m.toml:14:8: this socket is listed twice; list it once");
  EXPECT_EQ(
      error("type = 'kamailio'\npath = '/x'\n[[notify]]\ntype = 'kamailio'\npath = '/y'"),
      "m.toml:14:8: /run/millrace/kamailio-replies.sock is another [[notify]]'s socket; write "
      "reply_path = \"/run/millrace/replies-2.sock\"");
  EXPECT_EQ(rest_error("[notify]").substr(0, 9), "m.toml:9:");
}

}  // namespace
}  // namespace millrace
