// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/control/config/config_fixture.h"
#include "tests/data.h"

namespace millrace {
namespace {

using std::chrono::seconds;

TEST(Config, DefaultsMatchTheHeader) {
  const auto config = parse_config(File().text(), "m.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->dataplane.worker_cores, std::vector<unsigned>{1});
  EXPECT_EQ(config->dataplane.main_core, 0U);
  EXPECT_EQ(config->dataplane.memory_mb, DataplaneConfig().memory_mb);
  EXPECT_EQ(config->dataplane.mbufs, DataplaneConfig().mbufs);
  ASSERT_EQ(config->interfaces.size(), 1U);
  EXPECT_EQ(config->interfaces[0].port_min, UdpPort(30000));
  EXPECT_EQ(config->interfaces[0].port_max, UdpPort(40000));
  EXPECT_EQ(config->interfaces[0].latching, Latching::restricted);
  EXPECT_EQ(config->dataplane.interfaces[0].relatch_after, seconds(5));
  ASSERT_EQ(config->control.size(), 1U);
  EXPECT_EQ(config->control[0].mode, 0660U);
  EXPECT_EQ(config->timeouts.media, seconds(60));
  EXPECT_EQ(config->timeouts.party, seconds(0));
  EXPECT_EQ(config->timeouts.silent, seconds(3600));
  EXPECT_EQ(config->timeouts.offer, seconds(240));
  EXPECT_EQ(config->timeouts.final, seconds(0));
  EXPECT_EQ(config->timeouts.delete_delay, seconds(30));
  EXPECT_EQ(config->timeouts.notify, seconds(10));
  EXPECT_EQ(config->timeouts.quarantine, seconds(60));
  EXPECT_EQ(config->limits.calls, 0U);
  EXPECT_EQ(config->limits.streams, 32U);
  EXPECT_EQ(config->log.level, "info");
  EXPECT_EQ(config->log.format, LogFormat::text);
  EXPECT_EQ(config->log.lines_per_second, 1000U);
}

TEST(Config, ParsesEveryKey) {
  const auto config = parse_config(R"(
[dataplane]
worker_cores = [2, 3]
main_core = 1
hugepages = true
memory_mb = 1024
mbufs = 65536
idle_sleep_us = 50
eal = ["--iova-mode=va"]
[[interface]]
name = "public"
device = "0000:3b:00.0"
addresses = ["192.0.2.5/24", "192.0.2.6/24"]
gateway = "192.0.2.1"
ports = [20001, 20010]
latching = "open"
relatch_after = 0
[[interface]]
name = "cloud"
device = "net_af_packet0,iface=eth1"
addresses = ["10.0.0.5/8"]
advertised = "198.51.100.7"
latching = "off"
[[control]]
protocol = "ng"
path = "/run/m/ng.sock"
mode = 0o600
owner = "kamailio:kamailio"
[[control]]
udp = "[::1]:2223"
[[notify]]
type = "kamailio"
path = "/run/k/rpc.sock"
reply_path = "/run/m/replies.sock"
mode = 0o600
owner = "m:k"
[[notify]]
type = "opensips"
path = "/run/o/mi.sock"
[[notify]]
type = "events"
path = "/run/m/events.sock"
[timeouts]
media = 1
party = 9
silent = 2
offer = 3
final = 4
delete_delay = 0
notify = 5
quarantine = 6
[limits]
calls = 7
streams = 64
[log]
level = "warning"
format = "json"
lines_per_second = 8
)",
                                   "m.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->dataplane.worker_cores, (std::vector<unsigned>{2, 3}));
  EXPECT_EQ(config->dataplane.main_core, 1U);
  EXPECT_TRUE(config->dataplane.hugepages);
  EXPECT_EQ(config->dataplane.memory_mb, 1024U);
  EXPECT_EQ(config->dataplane.mbufs, 65536U);
  EXPECT_EQ(config->dataplane.idle_sleep_us, 50U);
  EXPECT_EQ(config->dataplane.eal, std::vector<std::string>{"--iova-mode=va"});
  ASSERT_EQ(config->dataplane.interfaces.size(), 2U);
  EXPECT_EQ(config->dataplane.interfaces[0].device, "0000:3b:00.0");
  EXPECT_EQ(config->dataplane.interfaces[0].addresses[1].text(), "192.0.2.6/24");
  EXPECT_EQ(config->dataplane.interfaces[0].gateways, std::vector{IpAddress::v4(192, 0, 2, 1)});
  EXPECT_TRUE(config->dataplane.interfaces[1].gateways.empty());
  ASSERT_EQ(config->interfaces.size(), 2U);
  EXPECT_EQ(config->interfaces[0].name, "public");
  EXPECT_EQ(config->interfaces[0].ids, (std::vector{MediaAddressId{0}, MediaAddressId{1}}));
  EXPECT_EQ(config->interfaces[0].port_min, UdpPort(20001));
  EXPECT_EQ(config->interfaces[0].port_max, UdpPort(20010));
  EXPECT_EQ(config->interfaces[0].latching, Latching::open);
  EXPECT_EQ(config->dataplane.interfaces[0].relatch_after, seconds(0));
  EXPECT_EQ(config->interfaces[1].ids, std::vector{MediaAddressId{2}});
  EXPECT_EQ(config->interfaces[1].addresses, std::vector{IpAddress::v4(10, 0, 0, 5)});
  EXPECT_EQ(config->interfaces[1].advertised, std::vector{IpAddress::v4(198, 51, 100, 7)});
  EXPECT_EQ(config->interfaces[1].latching, Latching::off);
  ASSERT_EQ(config->control.size(), 2U);
  EXPECT_EQ(config->control[0].path, "/run/m/ng.sock");
  EXPECT_EQ(config->control[0].mode, 0600U);
  EXPECT_EQ(config->control[0].owner, "kamailio:kamailio");
  ASSERT_TRUE(config->control[1].udp);
  EXPECT_EQ(config->control[1].udp->text(), "[::1]:2223");
  EXPECT_EQ(config->timeouts.media, seconds(1));
  EXPECT_EQ(config->timeouts.party, seconds(9));
  EXPECT_EQ(config->timeouts.silent, seconds(2));
  EXPECT_EQ(config->timeouts.offer, seconds(3));
  EXPECT_EQ(config->timeouts.final, seconds(4));
  EXPECT_EQ(config->timeouts.delete_delay, seconds(0));
  EXPECT_EQ(config->timeouts.notify, seconds(5));
  EXPECT_EQ(config->timeouts.quarantine, seconds(6));
  EXPECT_EQ(config->limits.calls, 7U);
  EXPECT_EQ(config->limits.streams, 64U);
  EXPECT_EQ(config->log.level, "warning");
  EXPECT_EQ(config->log.format, LogFormat::json);
  EXPECT_EQ(config->log.lines_per_second, 8U);
}

TEST(Config, SyntaxErrorsNameLineAndColumn) {
  EXPECT_EQ(error_of("[dataplane]\nmain_core = \n"),
            "m.toml:2:13: Error while parsing key-value pair: expected value, saw '\\n'");
  EXPECT_EQ(error_of("a = 1\na = 2\n").substr(0, 12), "m.toml:2:5: ");
}

TEST(Config, ReportsAllFaultsInFileOrder) {
  EXPECT_EQ(
      error_of("[dataplane]\nworker_cores = [1, 1, 'x']\nmain_core = -1\nhugepage = 1\n"
               "[[interface]]\nname = 3\ndevice = 'eth0'\n"
               "addresses = ['198.18.0.5', '198.18.0.255/24', '198.18.0.5/24']\n"
               "gateway = '203.0.113.1'\nports = [1]\nlatching = 'none'\n"
               "[[control]]\npath = 'x'\nmode = '0660'\npeers = ['']\n"
               "[[notify]]\ntype = 'asterisk'\n"
               "[timeouts]\nmedia = 'soon'\nparty = -1\n"
               "[log]\nlevle = 'info'\n"),
      "m.toml:2:20: worker core 1 is listed twice; list it once\n"
      "m.toml:2:23: worker core is a string; write an integer from 0 to 1023\n"
      "m.toml:3:13: main_core is -1; it must be from 0 to 1023\n"
      "m.toml:4:1: unknown key 'hugepage' in [dataplane]; did you mean 'hugepages'?\n"
      "m.toml:6:8: name is an integer; write a string in quotes\n"
      "m.toml:7:10: device 'eth0' is neither a PCI address nor a DPDK virtual device; for "
      "the kernel's interface eth0 write \"net_af_packet0,iface=eth0\"\n"
      "m.toml:8:14: address: '198.18.0.5' is not an address with its prefix length; write "
      "192.0.2.1/24\n"
      "m.toml:8:28: 198.18.0.255/24 is the broadcast address of its network; write a host's "
      "address with the network's length, e.g. 192.0.2.1/24\n"
      // The gateway is not checked against invalid networks.
      "m.toml:10:9: ports has 1 elements; write the lowest and the highest port: ports = "
      "[30000, 40000]\n"
      "m.toml:11:12: latching is 'none'; it must be one of \"restricted\", \"open\", \"off\"\n"
      "m.toml:13:8: path must be the absolute path of a socket file; write "
      "\"/run/millrace/ng.sock\"\n"
      "m.toml:14:8: mode must be an octal number without quotes; write 0o660\n"
      "m.toml:15:10: peer is empty; leave it out or fill it\n"
      "m.toml:17:8: type is 'asterisk'; it must be one of \"kamailio\", \"opensips\", "
      "\"events\"\n"
      "m.toml:19:9: media is a string; write an integer from 0 to 31536000\n"
      "m.toml:20:9: party is -1; it must be from 0 to 31536000\n"
      "m.toml:22:1: unknown key 'levle' in [log]; did you mean 'level'?");
}

TEST(Config, BoundsTheReportedFaultsAndCountsTheRest) {
  std::string many = "[limits]\n";
  for (int i = 0; i < 100; ++i) many += "key-number-" + std::to_string(i) + " = 1\n";
  const auto config = parse_config(File{.rest = many}.text(), "m.toml");
  ASSERT_FALSE(config);
  ASSERT_EQ(config.error().messages.size(), kMaxConfigMessages);
  EXPECT_EQ(config.error().messages.back(), "m.toml: and 81 more errors");
}

TEST(Config, ErrorCarriesTheConfiguredLogFormat) {
  const auto format = [](const std::string& log) {
    const auto config = parse_config(File{.rest = "[log]\n" + log}.text(), "m.toml");
    return config ? std::nullopt : std::optional(config.error().format);
  };
  EXPECT_EQ(format("level = 1\nformat = 'json'\n"), LogFormat::json);
  EXPECT_EQ(format("level = 1\n"), LogFormat::text);
}

TEST(Config, RequiresItsTables) {
  EXPECT_EQ(error_of(""),
            "m.toml:1:1: no [dataplane]; write [dataplane] with worker_cores = [2, 3]\n"
            "m.toml:1:1: no [[interface]]; write at least one\n"
            "m.toml:1:1: no [[control]]; write at least one");
  EXPECT_EQ(error_of(File{.interface = ""}), "m.toml:1:1: no [[interface]]; write at least one");
  EXPECT_EQ(error_of(File{.control = ""}), "m.toml:1:1: no [[control]]; write at least one");
  EXPECT_EQ(error_of(File{.interface = "[interface]\nname = 'a'\n"}),
            "m.toml:3:1: 'interface' is not an array of tables; write [[interface]]");
  EXPECT_EQ(error_of("log = 3\n" + File().text()), "m.toml:1:7: 'log' is not a table; write [log]");
}

TEST(Config, UnknownKeysSuggestTheNearest) {
  EXPECT_EQ(rest_error("[log]\nlevels = 'info'"),
            "m.toml:10:1: unknown key 'levels' in [log]; did you mean 'level'?");
  EXPECT_EQ(rest_error("[timeout]"),
            "m.toml:9:2: unknown key 'timeout' in the file; did you mean 'timeouts'?");
  EXPECT_EQ(interface_error("adresses = []"),
            "m.toml:7:1: unknown key 'adresses' in [[interface]]; did you mean 'addresses'?");
  EXPECT_EQ(rest_error("[limits]\nxyz = 1"),
            "m.toml:10:1: unknown key 'xyz' in [limits]; known are calls, streams");
}

TEST(Config, RefusesInvalidDataplaneValues) {
  EXPECT_EQ(dataplane_error("main_core = 1"),
            "m.toml:1:1: [dataplane] lacks 'worker_cores'; write worker_cores = [2, 3]");
  EXPECT_EQ(dataplane_error("worker_cores = 1"),
            "m.toml:2:16: worker_cores is an integer; write an array: worker_cores = [2, 3]");
  EXPECT_EQ(dataplane_error("worker_cores = []"),
            "m.toml:2:16: worker_cores is empty; write worker_cores = [2, 3]");
  EXPECT_EQ(dataplane_error("worker_cores = [1, 'x']"),
            "m.toml:2:20: worker core is a string; write an integer from 0 to 1023");
  EXPECT_EQ(dataplane_error("worker_cores = [1, 2, 1]"),
            "m.toml:2:23: worker core 1 is listed twice; list it once");
  EXPECT_EQ(dataplane_error("worker_cores = [1, 2]\nmain_core = 2"),
            "m.toml:2:20: core 2 is main_core, which a worker that always polls would starve; "
            "choose another one, or set idle_sleep_us");
  EXPECT_EQ(dataplane_error("worker_cores = [1]\nhugepages = 'yes'"),
            "m.toml:3:13: hugepages is a string; write true or false");
  EXPECT_EQ(dataplane_error("worker_cores = [1]\nmemory_mb = 1"),
            "m.toml:3:13: memory_mb is 1; it must be from 64 to 1048576");
  EXPECT_EQ(dataplane_error("worker_cores = [1]\nmbufs = 1.5"),
            "m.toml:3:9: mbufs is a decimal number; write an integer from 1024 to 16777216");
  EXPECT_EQ(dataplane_error("worker_cores = [1]\nidle_sleep_us = -1"),
            "m.toml:3:17: idle_sleep_us is -1; it must be from 0 to 1000");
  EXPECT_EQ(dataplane_error("worker_cores = [1]\neal = [3]"),
            "m.toml:3:8: EAL argument is an integer; write a string in quotes");
}

TEST(Config, SleepingWorkerMayShareTheMainCore) {
  File file;
  file.dataplane = "[dataplane]\nworker_cores = [0, 1]\nmain_core = 0\nidle_sleep_us = 50\n";
  const auto config = parse_config(file.text(), "m.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->dataplane.worker_cores, (std::vector<unsigned>{0, 1}));
}

TEST(Config, TimeoutsLimitsAndLog) {
  EXPECT_EQ(rest_error("[timeouts]\nmedia = '60'"),
            "m.toml:10:9: media is a string; write an integer from 0 to 31536000");
  EXPECT_EQ(rest_error("[limits]\ncalls = -1"),
            "m.toml:10:9: calls is -1; it must be from 0 to 100000000");
  EXPECT_EQ(rest_error("[limits]\nstreams = 65"),
            "m.toml:10:11: streams is 65; it must be from 1 to 64");
  EXPECT_EQ(rest_error("[log]\nlevel = 'warn'"),
            "m.toml:10:9: level is 'warn'; it must be one of \"debug\", \"info\", \"warning\", "
            "\"error\"");
  EXPECT_EQ(rest_error("[log]\nlines_per_second = 0"),
            "m.toml:10:20: lines_per_second is 0; it must be from 1 to 1000000");
}

TEST(ReadConfig, NamesTheFileThatCannotBeRead) {
  EXPECT_EQ(read_config("/nonexistent/m.toml").error().text(),
            "/nonexistent/m.toml: cannot be read: No such file or directory; name a readable file "
            "with --config");
  EXPECT_EQ(read_config("/").error().text(),
            "/: cannot be read: Is a directory; name a readable file with --config");
}

std::filesystem::path shipped(const char* name) { return data_folder() / "../../configs" / name; }

TEST(ReadConfig, ShippedLabFileIsValid) {
  const auto config = read_config(shipped("lab.toml"));
  EXPECT_TRUE(config) << config.error().text();
}

// Its required keys have no value, so that no relay starts with an example's addresses.
TEST(ReadConfig, CarrierTomlIsRefusedUntilItIsEdited) {
  const auto config = read_config(shipped("carrier.toml"));
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().text().find("worker_cores"), std::string::npos) << config.error().text();
}

// carrier.toml must name every key with its true default.
TEST(ReadConfig, CommentedDefaultsInCarrierTomlMatchTheCode) {
  std::ifstream stream(shipped("carrier.toml"));
  std::string uncommented;
  std::string line;
  int defaults = 0;
  while (std::getline(stream, line)) {
    // "# key = value" is a default; prose has no " = " after one word.
    const std::size_t equals = line.find(" = ");
    const bool is_default = line.starts_with("# ") && equals != std::string::npos &&
                            line.find(' ', 2) == equals && !line.starts_with("# advertised") &&
                            !line.starts_with("# allow") && !line.starts_with("# deny");
    defaults += is_default ? 1 : 0;
    const bool is_optional_table = line.starts_with("# [[");
    uncommented += (is_default || is_optional_table ? line.substr(2) : line) + "\n";
  }
  EXPECT_GE(defaults, 15);
  const auto config = parse_config(uncommented, "carrier.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->dataplane.main_core, DataplaneConfig().main_core);
  EXPECT_EQ(config->dataplane.idle_sleep_us, DataplaneConfig().idle_sleep_us);
  EXPECT_EQ(config->interfaces[0].port_min, Interface().port_min);
  EXPECT_EQ(config->interfaces[0].port_max, Interface().port_max);
  EXPECT_EQ(config->interfaces[0].latching, Interface().latching);
  EXPECT_EQ(config->control[0].mode, ControlSocket().mode);
  EXPECT_EQ(config->timeouts.media, Timeouts().media);
  EXPECT_EQ(config->timeouts.party, Timeouts().party);
  EXPECT_EQ(config->timeouts.silent, Timeouts().silent);
  EXPECT_EQ(config->timeouts.offer, Timeouts().offer);
  EXPECT_EQ(config->timeouts.final, Timeouts().final);
  EXPECT_EQ(config->timeouts.delete_delay, Timeouts().delete_delay);
  EXPECT_EQ(config->timeouts.quarantine, Timeouts().quarantine);
  EXPECT_EQ(config->limits.calls, Limits().calls);
  EXPECT_EQ(config->limits.streams, Limits().streams);
  EXPECT_EQ(config->log.level, Log().level);
  EXPECT_EQ(config->log.lines_per_second, Log().lines_per_second);
}

}  // namespace
}  // namespace millrace
