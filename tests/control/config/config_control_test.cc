// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_control.h"

#include <gtest/gtest.h>

#include "tests/control/config/config_fixture.h"

namespace millrace {
namespace {

TEST(Config, ControlSockets) {
  EXPECT_EQ(control_error(""),
            "m.toml:7:1: [[control]] has neither path and udp; write one of path = "
            "\"/run/millrace/ng.sock\" and udp = \"127.0.0.1:2223\"");
  EXPECT_EQ(control_error("path = '/a'\nudp = '127.0.0.1:1'").substr(0, 40),
            "m.toml:7:1: [[control]] has both path an");
  EXPECT_EQ(control_error("path = 'ng.sock'"),
            "m.toml:8:8: path must be the absolute path of a socket file; write "
            "\"/run/millrace/ng.sock\"");
  EXPECT_EQ(control_error("path = '/" + std::string(107, 'x') + "'"),
            "m.toml:8:8: path has 108 bytes, but a UNIX socket's has 107 at most; write a shorter "
            "one, e.g. \"/run/millrace/ng.sock\"");
  EXPECT_EQ(control_error("path = '/" + std::string(106, 'x') + "'"), "accepted");
  for (const char* path : {"/run/a:b", "/run/a=b"}) {
    EXPECT_EQ(control_error(std::string("path = '") + path + "'"),
              "m.toml:8:8: path contains ':' or '=', which proxy modules parse as a port or a "
              "weight; write a path without them");
  }
  EXPECT_EQ(control_error("path = '/a'\nprotocol = 'rtpproxy'"),
            "m.toml:9:12: protocol is 'rtpproxy'; it must be one of \"ng\", \"rtpp\", "
            "\"mediaproxy\"");
  EXPECT_EQ(control_error("path = '/a'\nprotocol = 'rtpp'"), "accepted");
  EXPECT_EQ(control_error("path = '/a'\npeers = 'kamailio'"),
            "m.toml:9:9: peers is a string; write an array: peers = [\"kamailio\"]");
  EXPECT_EQ(control_error("path = '/a'\npeers = []"),
            "m.toml:9:9: peers is empty, which admits no user; write peers = [\"kamailio\"], "
            "or remove it to admit all users that the socket's mode admits");
  EXPECT_EQ(control_error("path = '/a'\npeers = ['kamailio', '']"),
            "m.toml:9:22: peer is empty; leave it out or fill it");
  EXPECT_EQ(control_error("path = '/a'\nmode = 660"), "m.toml:9:8: mode is not octal; write 0o660");
  EXPECT_EQ(control_error("path = '/a'\nmode = 0o1777"),
            "m.toml:9:8: mode is 0o1777; it must be from 0o0 to 0o777");
  EXPECT_EQ(control_error("path = '/a'\nmode = '0660'"),
            "m.toml:9:8: mode must be an octal number without quotes; write 0o660");
  EXPECT_EQ(control_error("path = '/a'\n[[control]]\npath = '/a'"),
            "m.toml:10:8: this control socket is listed twice; list it once");
}

TEST(Config, SocketFilesNeedAbsolutePaths) {
  for (const char* path : {"/a", "/run/m/ng.sock", "//a"}) {
    EXPECT_TRUE(names_socket_file(path)) << path;
  }
  for (const char* path : {"", "/", "a", "run/ng.sock", "./a", "/run/m/", "@ng"}) {
    EXPECT_FALSE(names_socket_file(path)) << path;
  }
  EXPECT_EQ(kMaxSocketPath, 107U);
}

TEST(Config, ControlUdpRequiresLoopback) {
  EXPECT_EQ(control_error("udp = '127.0.0.1:2223'\nprotocol = 'mediaproxy'"),
            "m.toml:8:7: this protocol runs on UNIX sockets only; write path = "
            "\"/run/millrace/mediaproxy.sock\"");
  EXPECT_EQ(
      control_error("udp = '192.0.2.1:2223'"),
      "m.toml:8:7: udp 192.0.2.1:2223 is not a loopback address, and the control protocols have "
      "no authentication; write \"127.0.0.1:2223\"");
  EXPECT_EQ(control_error("udp = '0.0.0.0:2223'").substr(0, 37),
            "m.toml:8:7: udp 0.0.0.0:2223 is not a");
  for (const char* text : {"127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "2223",
                           "localhost:2223", "::1:2223", "[127.0.0.1]:2223", "[::1]2223"}) {
    EXPECT_EQ(control_error(std::string("udp = '") + text + "'"),
              std::string("m.toml:8:7: udp: '") + text +
                  "' is not an address with a port; write \"127.0.0.1:2223\" or \"[::1]:2223\"");
  }
  EXPECT_EQ(control_error("udp = '127.0.0.1:2223'\nmode = 0o600"),
            "m.toml:9:8: mode is for socket files; remove it beside udp");
  EXPECT_EQ(control_error("udp = '127.0.0.1:2223'\npeers = ['kamailio']"),
            "m.toml:9:9: peers is for socket files; remove it beside udp");
}

}  // namespace
}  // namespace millrace
