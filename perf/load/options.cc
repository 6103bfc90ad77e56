// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/options.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include <CLI/CLI.hpp>

#include "perf/load/phones.h"

namespace millrace::loadgen {
namespace {

// Raw command line values, before they are checked together.
struct Words {
  std::string control, connections, codec = "pcmu", caller, callee, directions;
  std::string device, callee_device;
  std::vector<std::string> gateways;
  std::optional<std::size_t> payload;
  std::optional<double> interval_ms;
};

constexpr std::array<std::string_view, 8> kModeHelp = {
    "Fixed load: --calls calls, measured for --duration",
    "Transient calls (--cps, --hold) besides permanent ones (--calls)",
    "No media: offer, answer and delete, with --outstanding concurrent requests",
    "No media: set up and keep --calls calls, measure rate and memory",
    "No media: one request at a time, compared with an echo server on the same kind of socket",
    "The highest load without loss (NDR) and with 0.5 % loss (PDR), by bisection",
    "Overload: the same calls at --factor times their packet rate, and the recovery from it",
    "Long run with a time series",
};

void add_relay(CLI::App& app, Options& options, Words& words) {
  const auto group = "Relay";
  app.add_option("--control", words.control,
                 "Control socket of the relay: unix:/run/millrace/ng.sock or udp:127.0.0.1:2223")
      ->type_name("ADDRESS")
      ->required()
      ->group(group);
  app.add_option("--protocol", options.protocol, "Control protocol")
      ->type_name("ng|rtpproxy|mediaproxy")
      ->check(CLI::IsMember({"ng", "rtpproxy", "mediaproxy"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--connections", words.connections,
                 "UNIX sockets: a new connection per request, or kept ones (default: as the "
                 "protocol's proxy modules do)")
      ->type_name("new|kept")
      ->check(CLI::IsMember({"new", "kept"}))
      ->group(group);
  app.add_option("--control-netns", options.control.network,
                 "UDP: send from this network namespace, such as /run/netns/NAME")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--outstanding", options.outstanding, "Concurrent requests")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  app.add_option("--direction", words.directions,
                 "ng: the relay's interfaces towards caller and callee")
      ->type_name("CALLER,CALLEE")
      ->group(group);
  app.add_option("--relay-pid", options.relay_pid, "Measure CPU time and memory of this process")
      ->check(CLI::PositiveNumber)
      ->type_name("PID")
      ->group(group);
}

void add_calls(CLI::App& app, Options& options, Words& words) {
  const auto group = "Calls";
  app.add_option("--calls", options.calls, "Permanent calls")
      ->check(CLI::Range(std::size_t{0}, Phones::kMaxCalls))
      ->capture_default_str()
      ->group(group);
  app.add_option("--cps", options.calls_per_second,
                 "Calls set up per second (default: as fast as the relay replies)")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--hold", options.hold,
                 "With --cps: start transient calls at that rate, each of this duration")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  std::vector<std::string> codecs;
  codecs.reserve(std::size(kShapes));
  for (const Shape& shape : kShapes) codecs.emplace_back(shape.name);
  app.add_option("--codec", words.codec, "Codec: " + CLI::detail::join(codecs, ", "))
      ->type_name("NAME")
      ->check(CLI::IsMember(codecs))
      ->capture_default_str()
      ->group(group);
  app.add_option("--payload", words.payload, "Bytes per packet after the RTP header (by codec)")
      ->check(CLI::Range(kStampSize, kMaxPayload))
      ->group(group);
  app.add_option("--interval", words.interval_ms, "Packet interval (by codec)")
      ->type_name("MS")
      ->check(CLI::Range(0.1, 1000.0))
      ->group(group);
  app.add_option("--rtcp-interval", options.rtcp_interval, "RTCP report interval; 0 = no RTCP")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--rtcp-mux", options.rtcp_mux, "RTCP on the RTP port (RFC 5761)")->group(group);
  app.add_flag("--nat", options.nat, "Simulate NATs: the SDP has other ports than the source ports")
      ->group(group);
  app.add_option("--seed", options.seed, "Random seed of the send schedule")
      ->capture_default_str()
      ->group(group);
}

void add_wire(CLI::App& app, Options& options, Words& words) {
  const auto group = "Wire";
  app.add_option("--caller", words.caller,
                 "Callers' address, or address:port with their first port (127.0.0.1:20000)")
      ->type_name("ADDRESS")
      ->group(group);
  app.add_option("--callee", words.callee,
                 "Callees' address, or address:port with their first port (127.0.0.1:22000)")
      ->type_name("ADDRESS")
      ->group(group);
  app.add_option("--sockets", options.sockets, "RTP sockets per party, shared by all calls")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group(group);
  app.add_option("--device", words.device,
                 "A DPDK device in place of kernel sockets: net_af_xdp0,iface=x, 0000:3b:00.0")
      ->type_name("DEVICE")
      ->group(group);
  app.add_option("--callee-device", words.callee_device, "Separate device for the callees")
      ->type_name("DEVICE")
      ->group(group);
  app.add_option("--gateway", words.gateways, "With a device: default gateway of a party")
      ->type_name("ADDRESS")
      ->delimiter(',')
      ->group(group);
  app.add_flag("--hugepages", options.hugepages, "With a device: packet buffers in huge pages")
      ->group(group);
  app.add_option("--cpu", options.cpu, "Run on this core only")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--nap-us", options.nap_us,
                 "Longest sleep while no packet is due; 0 = never (busy polling)")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str()
      ->group(group);
}

void add_measurement(CLI::App& app, Options& options) {
  const auto group = "Measurement";
  app.add_option("--warm-up", options.warm_up, "Time before the measurement")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
  app.add_option("--duration", options.duration, "Length of the measurement")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--every", options.every, "Time series with one row per interval; 0 = none")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
  app.add_option("--max-loss", options.max_loss, "Exit with status 1 at higher loss")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.0, 100.0))
      ->group(group);
  app.add_option("--max-delay", options.max_delay_ms, "Exit with status 1 at a higher median delay")
      ->type_name("MS")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--json", options.json, "Write all results and conditions to this file")
      ->type_name("FILE")
      ->group(group);
}

void add_search(CLI::App& app, Options& options) {
  const auto group = "Search";
  app.add_option("--resolution", options.resolution, "Resolution of the search, in calls")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->group(group);
  app.add_option("--allow", options.allow, "Lost packets per trial that count as no loss")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
}

void add_overload(CLI::App& app, Options& options) {
  const auto group = "Overload";
  app.add_option("--factor", options.factor, "Multiple of the packet rate in the flood")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--flood", options.flood,
                 "Length of the flood; --duration applies before and after")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str()
      ->group(group);
}

Result<Endpoint> party(std::string_view option, std::string_view text, Endpoint fallback) {
  if (text.empty()) return fallback;
  if (const auto endpoint = Endpoint::parse(text)) return *endpoint;
  if (const auto address = IpAddress::parse(text)) return Endpoint{*address, fallback.port};
  return fail(std::string(option) + ": '" + std::string(text) +
              "' is not an address: write 198.18.0.10, 198.18.0.10:20000 or [2001:db8::10]:20000");
}

// With a device, addresses have a prefix length ("198.18.0.10/24"): no kernel provides it.
Result<void> settle_device(const Words& words, Options& options) {
  options.devices = {words.device,
                     words.callee_device.empty() ? words.device : words.callee_device};
  if (words.device.empty()) {
    if (words.callee_device.empty() && words.gateways.empty() && !options.hugepages) return {};
    return fail("--callee-device, --gateway and --hugepages need --device");
  }
  const std::array<std::string_view, 2> names = {"--caller", "--callee"};
  const std::array<std::string_view, 2> texts = {words.caller, words.callee};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto prefix = Prefix::parse(texts[i]);
    if (!prefix) {
      return fail(std::string(names[i]) +
                  ": with --device, write an address with prefix length, such as 198.18.0.10/24");
    }
    options.parties[i].address = prefix->address;
    options.prefix_lengths[i] = prefix->length;
  }
  for (const std::string& text : words.gateways) {
    const auto gateway = IpAddress::parse(text);
    if (!gateway) return fail("--gateway: " + gateway.error().message);
    options.gateways.push_back(*gateway);
  }
  return {};
}

Result<void> settle_parties(const Words& words, Options& options) {
  // Without media the addresses need not exist, but relays refuse loopback addresses in SDP.
  if (options.mode == Mode::control || options.mode == Mode::fill ||
      options.mode == Mode::latency) {
    options.parties[0].address = IpAddress::v4(198, 18, 0, 10);
    options.parties[1].address = IpAddress::v4(198, 18, 0, 11);
  }
  const std::array<std::string_view, 2> names = {"--caller", "--callee"};
  const std::array<std::string_view, 2> texts = {words.caller, words.callee};
  for (std::size_t i = 0; i < 2; ++i) {
    auto endpoint = options.devices[i].empty() ? party(names[i], texts[i], options.parties[i])
                                               : Result<Endpoint>(options.parties[i]);
    if (!endpoint) return std::unexpected(endpoint.error());
    const unsigned first = endpoint->port.number();
    // With --nat the SDP has a second set of ports.
    if (first % 2 != 0 || first + 4 * options.sockets > 65536) {
      return fail(std::string(names[i]) + ": the first port must be even, with room for " +
                  std::to_string(4 * options.sockets) + " ports from there on");
    }
    options.parties[i] = *endpoint;
  }
  return {};
}

Result<void> settle(const Words& words, Options& options) {
  const std::string network = options.control.network;
  auto control = ControlAddress::parse(words.control);
  if (!control) return fail("--control: " + control.error().message);
  options.control = *control;
  options.control.network = network;
  options.control.keep = words.connections == "kept" ||
                         (words.connections.empty() && options.protocol == "mediaproxy");
  if (options.protocol == "mediaproxy" && options.control.udp) {
    return fail("--control: MediaProxy's protocol needs a UNIX socket");
  }
  options.shape = *std::ranges::find(kShapes, words.codec, &Shape::name);
  if (words.payload) options.shape.payload = *words.payload;
  if (words.interval_ms) {
    options.shape.interval = std::chrono::microseconds(std::lround(*words.interval_ms * 1000));
  }
  if (!words.directions.empty()) {
    options.directions = CLI::detail::split(words.directions, ',');
    if (options.directions.size() != 2) {
      return fail("--direction: write two names, the caller's interface first: public,core");
    }
  }
  if (options.mode == Mode::soak && options.every == 0) options.every = 10;
  const bool transient = options.calls_per_second > 0 && options.hold > 0;
  if (options.hold > 0 && !transient)
    return fail("--hold needs --cps, the rate of transient calls");
  if (options.mode == Mode::churn && !transient) {
    return fail("churn needs --cps and --hold: rate and duration of transient calls");
  }
  const bool has_transient =
      options.mode == Mode::run || options.mode == Mode::churn || options.mode == Mode::soak;
  if (options.hold > 0 && !has_transient) {
    return fail("--hold applies to run, churn and soak only");
  }
  if (options.calls == 0 && !transient) {
    return fail("--calls 0 needs --cps and --hold");
  }
  if (const auto device = settle_device(words, options); !device) return device;
  return settle_parties(words, options);
}

std::string quoted(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool plain = !word.empty() && word.find_first_of(" \t'\"\\$&;|<>()*?") == word.npos;
    if (i > 0) line += ' ';
    line += plain ? std::string(word) : "'" + std::string(word) + "'";
  }
  return line;
}

}  // namespace

std::expected<Options, Exit> parse_options(int argc, const char* const* argv,
                                           const std::string& version) {
  Options options;
  Words words;
  CLI::App app(
      "Calls with RTP for media relays: it signals them through the relay's control socket, plays\n"
      "both phones of each, and measures what the relay does to their packets.\n"
      "Exit status: 0 measured, 1 a requirement was missed or nothing could be measured,\n"
      "2 wrong command line. Ctrl-C ends it early and reports what was measured so far.",
      "millrace-load");
  app.set_version_flag("--version", version, "Print version and build, and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.require_subcommand(1);
  for (std::size_t i = 0; i < kModeNames.size(); ++i) {
    CLI::App* const mode =
        app.add_subcommand(std::string(kModeNames[i]), std::string(kModeHelp[i]));
    mode->callback([&options, i] { options.mode = static_cast<Mode>(i); });
    add_relay(*mode, options, words);
    add_calls(*mode, options, words);
    add_wire(*mode, options, words);
    add_measurement(*mode, options);
    if (kModeNames[i] == "search") add_search(*mode, options);
    if (kModeNames[i] == "overload") add_overload(*mode, options);
  }
  const auto wrong = [](const std::string& message) {
    return std::unexpected(Exit{kExitOptions, "", "millrace-load: " + message + "\n"});
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream output;
    std::ostringstream complaint;
    const int status = app.exit(error, output, complaint) == 0 ? 0 : kExitOptions;
    return std::unexpected(Exit{status, output.str(), complaint.str()});
  }
  if (const auto settled = settle(words, options); !settled) return wrong(settled.error().message);
  options.command_line = quoted(argc, argv);
  return options;
}

}  // namespace millrace::loadgen
