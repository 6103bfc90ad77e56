// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_control.h"

#include <gtest/gtest.h>

#include "tests/control/config/config_fixture.h"

namespace millrace {
namespace {

TEST(Config, ControlSockets) {
  EXPECT_EQ(control_error(""),
            "m.toml:7:1: [[control]] has no path, udp, tcp or tls; write one of path = "
            "\"/run/millrace/ng.sock\", udp = \"127.0.0.1:2223\", tcp and tls (MediaProxy's "
            "management port)");
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
            "\"mediaproxy\", \"mediaproxy-management\"");
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

constexpr const char* kFiles =
    "certificate = '/c.pem'\nprivate_key = '/k.pem'\nauthority = '/a.pem'\n";

std::string management(const std::string& keys) {
  return control_error("protocol = 'mediaproxy-management'\n" + keys);
}

TEST(Config, ManagementPortIsTcpOnLoopbackOrTls) {
  EXPECT_EQ(management("tcp = '127.0.0.1:25061'"), "accepted");
  EXPECT_EQ(management(std::string("tls = '0.0.0.0:25061'\n") + kFiles), "accepted");
  EXPECT_EQ(management(std::string("tls = '[::]:25061'\n") + kFiles), "accepted");
  EXPECT_EQ(management("tcp = '192.0.2.1:25061'"),
            "m.toml:9:7: tcp 192.0.2.1:25061 is not a loopback address, and the control protocols "
            "have no authentication; write \"127.0.0.1:25061\"");
  EXPECT_EQ(management("tcp = '127.0.0.1:25061'\n" + std::string(kFiles)).substr(0, 60),
            "m.toml:10:15: certificate is for tls; remove it beside tcp\nm");
  EXPECT_EQ(management("tls = '192.0.2.1'\n" + std::string(kFiles)),
            "m.toml:9:7: tls: '192.0.2.1' is not an address with a port; write "
            "\"127.0.0.1:25061\" or \"[::1]:25061\"");
  EXPECT_EQ(management("path = '/a'"),
            "m.toml:9:8: this protocol runs on TCP; write tls = \"192.0.2.1:25061\" or tcp = "
            "\"127.0.0.1:25061\"");
  EXPECT_EQ(management("tls = '192.0.2.1:25061'\nmode = 0o600\n" + std::string(kFiles)),
            "m.toml:10:8: mode is for socket files; remove it beside tls");
  for (const char* protocol : {"ng", "rtpp"}) {
    EXPECT_EQ(control_error("protocol = '" + std::string(protocol) + "'\ntcp = '127.0.0.1:1'"),
              "m.toml:9:7: TCP is for protocol = \"mediaproxy-management\"; write path = "
              "\"/run/millrace/ng.sock\" or udp = \"127.0.0.1:2223\"");
  }
  EXPECT_EQ(control_error("protocol = 'mediaproxy'\ntcp = '127.0.0.1:1'").substr(0, 53),
            "m.toml:9:7: this protocol runs on UNIX sockets only; ");
  EXPECT_EQ(control_error("path = '/a'\nauthority = '/a.pem'"),
            "m.toml:9:13: authority is for tls; remove it beside path");
  EXPECT_EQ(management("tcp = '127.0.0.1:1'\n[[control]]\nprotocol = 'mediaproxy-management'\n"
                       "tcp = '127.0.0.1:1'"),
            "m.toml:12:7: this control socket is listed twice; list it once");
}

TEST(Config, TlsNeedsAbsolutePathsOfItsFiles) {
  EXPECT_EQ(management("tls = '192.0.2.1:25061'\ncertificate = 'c.pem'\nprivate_key = '/k.pem'"),
            "m.toml:7:1: [[control]] lacks 'authority'; write authority = "
            "\"/etc/millrace/tls/authority.pem\"\n"
            "m.toml:10:15: certificate must be the absolute path of a PEM file; write "
            "\"/etc/millrace/tls/certificate.pem\"");
}

TEST(Config, PassportIsAListOfSubjectRules) {
  const auto passport = [](const std::string& text) {
    File file;
    file.control = "[[control]]\nprotocol = 'mediaproxy-management'\ntls = '192.0.2.1:25061'\n" +
                   std::string(kFiles) + "passport = '" + text + "'\n";
    const auto config = parse_config(file.text(), "m.toml");
    if (!config) return config.error().text();
    std::string rules;
    for (const SubjectRule& rule : config->control.front().tls->passport) {
      rules += "[" + rule.attribute + "|" + rule.value + "]";
    }
    return rules;
  };
  EXPECT_EQ(passport("O:Example, CN:*.example.com"), "[O|Example][CN|*.example.com]");
  EXPECT_EQ(passport("O:Example\\, Inc,CN:relay*"), "[O|Example, Inc][CN|relay*]");
  EXPECT_EQ(passport("EMAIL:a:b@c, C:NL, ST: X , L:*, OU:\\"),
            "[EMAIL|a:b@c][C|NL][ST| X ][L|*][OU|\\]");
  for (const char* wrong : {"None", "CN", "CN:", ":x", "cn:x", "X:x", "CN:a*b", "CN:*a*", "CN:**",
                            "CN:x,", ",CN:x", " ", "CN:x O:y*z"}) {
    EXPECT_TRUE(passport(wrong).starts_with("m.toml:13:12: passport: '")) << passport(wrong);
  }
  EXPECT_EQ(passport("O:x, CN:a*b"),
            "m.toml:13:12: passport: ' CN:a*b' is not an attribute of a certificate and its value, "
            "which may start or end with '*'; write \"O:Example, CN:*.example.com\", with the "
            "attributes C, ST, L, O, OU, CN and EMAIL");
}

}  // namespace
}  // namespace millrace
