// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/device.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Device, NameAndArguments) {
  EXPECT_EQ(device_name("net_af_packet0,iface=x"), "net_af_packet0");
  EXPECT_EQ(device_name("net_null0"), "net_null0");
  EXPECT_EQ(device_argument("net_af_packet0,iface=x,qpairs=2", "iface"), "x");
  EXPECT_EQ(device_argument("net_af_packet0,iface=x,qpairs=2", "qpairs"), "2");
  EXPECT_EQ(device_argument("net_af_packet0,iface=x", "face"), "");
  EXPECT_EQ(device_argument("net_af_packet0,ifaces=x", "iface"), "");
  EXPECT_EQ(device_argument("iface=x", "iface"), "");
  EXPECT_EQ(kernel_interface("net_af_packet0,iface=x"), "x");
  EXPECT_EQ(kernel_interface("net_af_xdp_public,iface=x"), "x");
  EXPECT_EQ(kernel_interface("net_tap0,iface=x"), "") << "the driver makes it";
}

TEST(Device, PciAddressHasOneForm) {
  EXPECT_EQ(pci_address("0000:3b:00.0"), "0000:3b:00.0");
  EXPECT_EQ(pci_address("3b:00.0"), "0000:3b:00.0");
  EXPECT_EQ(pci_address("3B:1F.7,dv_flow_en=1"), "0000:3b:1f.7");
  EXPECT_EQ(pci_address("10000:e1:00.0"), "10000:e1:00.0");
  EXPECT_EQ(canonical_device("3B:00.0,dv_flow_en=1"), "0000:3b:00.0,dv_flow_en=1");
  EXPECT_EQ(canonical_device("net_null0,size=64"), "net_null0,size=64");
}

TEST(Device, RefusesMalformedPciAddresses) {
  for (const char* text :
       {"", ",", ":", "net_null0", "3b:00", "3b:00.", "3b:00.8", "3b:00.00", "3b:20.0", "3b.00.0",
        "b:00.0", "000:3b:00.0", "000000000:3b:00.0", "0000:3b:00:0", "0x00:3b:00.0", "-b:00.0",
        "3b:00.0 ", "00:00:3b:00.0"}) {
    EXPECT_FALSE(pci_address(text)) << text;
  }
}

}  // namespace
}  // namespace millrace
