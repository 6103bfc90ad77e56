#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Writes relay_packets.txt: the expected verdict and output for single packets, computed with full
# checksums and independently of the relay's code. Addresses are those of
# tests/dataplane/packet_lab.h.
import ipaddress
import struct

MAC = {'A': '02000000000a', 'B': '02000000000b', '0': '020000000001', '1': '020000000002'}
IP = {'A': '198.18.0.10', 'B': '203.0.113.20', '0': '198.18.0.1', '1': '203.0.113.1'}
IP6 = {'A': '2001:db8:a::10', 'B': '2001:db8:b::20', '0': '2001:db8:a::1', '1': '2001:db8:b::1'}
PORT = {'A': 4000, 'B': 5000, '0': 30000, '1': 30002}


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def raw(address):
    return bytes(int(part) for part in address.split('.'))


def frame(source, target, payload, ttl=64, tos=0, udp_sum=None, options=b'', fragment=0x4000,
          mac=None, ethertype=0x0800, source_port=None, source_ip=None, bad_ip_sum=0,
          total_extra=0, udp_extra=0, protocol=17, ident=0x1234, tag=b''):
    sport = source_port or PORT[source]
    src = raw(source_ip or IP[source])
    dst = raw(IP[target])
    length = 8 + len(payload) + udp_extra
    udp = struct.pack('!HHHH', sport, PORT[target], length, 0) + payload
    if udp_sum is None:
        pseudo = src + dst + struct.pack('!BBH', 0, 17, length)
        udp_sum = checksum(pseudo + udp) or 0xffff
    udp = udp[:6] + struct.pack('!H', udp_sum) + udp[8:]
    header = struct.pack('!BBHHHBBH', 0x45 + len(options) // 4, tos,
                         20 + len(options) + len(udp) + total_extra, ident, fragment, ttl, protocol,
                         0) + src + dst + options
    header = header[:10] + struct.pack('!H', checksum(header) ^ bad_ip_sum) + header[12:]
    return (bytes.fromhex(mac or MAC[target]) + bytes.fromhex(MAC[source]) + tag +
            struct.pack('!H', ethertype) + header + udp)


def frame6(source, target, payload, ttl=64, tos=0, label=0, udp_sum=None, mac=None,
           source_port=None, source_ip=None, total_extra=0, udp_extra=0, protocol=17, before=b'',
           version=6):
    src = ipaddress.IPv6Address(source_ip or IP6[source]).packed
    dst = ipaddress.IPv6Address(IP6[target]).packed
    length = 8 + len(payload) + udp_extra
    udp = struct.pack('!HHHH', source_port or PORT[source], PORT[target], length, 0) + payload
    if udp_sum is None:
        udp_sum = checksum(src + dst + struct.pack('!II', length, 17) + udp) or 0xffff
    udp = before + udp[:6] + struct.pack('!H', udp_sum) + udp[8:]
    header = struct.pack('!IHBB', version << 28 | tos << 20 | label, len(udp) + total_extra,
                         protocol, ttl)
    return (bytes.fromhex(mac or MAC[target]) + bytes.fromhex(MAC[source]) + b'\x86\xdd' + header +
            src + dst + udp)


def rtp(first=0x80, second=0, sequence=1, stamp=160, ssrc=0x11223344, rest=b'\x5a' * 20):
    return struct.pack('!BBHII', first, second, sequence, stamp, ssrc) + rest


SR = bytes.fromhex('80c8000611223344') + bytes(20) + bytes.fromhex('81ca0002112233440000000000'[:24])
STUN = bytes.fromhex('000100002112a442') + bytes(range(12))
DTLS = bytes.fromhex('16fefd000000000000000000010a')
rows = []


def row(what, flow, given, verdict, made=b''):
    rows.append(f'# {what}\nflow: {flow}\nin: {given.hex()}\nverdict: {verdict}\n'
                + (f'out: {made.hex()}\n' if made else ''))


def relayed(what, flow, payload, out=None, **given):
    made = dict(ttl=63)
    made.update(out or {})
    for key in ('tos', 'fragment', 'ident'):
        if key in given and key not in made:
            made[key] = given[key]
    padding = given.pop('padding', b'')
    row(what, flow, frame('A', '0', payload, **given) + padding, 'relayed',
        frame('1', 'B', payload, **made))


def dropped(what, flow, reason, payload=None, **given):
    padding = given.pop('padding', b'')
    row(what, flow, frame('A', '0', rtp() if payload is None else payload, **given) + padding,
        reason)


relayed('RTP of a known pair', 'rtp', rtp())
relayed('RTP with marker, payload type 127', 'rtp', rtp(second=0xff))
relayed('CSRCs, extension and padding', 'rtp', bytes.fromhex(
    'b26000010000000000000009000000010000000 2bede000110ff000001020304000003'.replace(' ', '')))
relayed('zero UDP checksum stays zero', 'rtp', rtp(), out=dict(udp_sum=0), udp_sum=0)
for seq in range(3):
    relayed(f'odd payload length {seq}', 'rtp', rtp(sequence=seq, rest=b'\x77' * (2 * seq + 1)))
relayed('Ethernet padding is removed', 'rtp', rtp(rest=b''), padding=b'\xee' * 12)
relayed('DSCP and ECN unchanged', 'rtp', rtp(), tos=0xb9)
relayed('DSCP set to 46, ECN kept', 'rtp dscp=46', rtp(), tos=0x03, out=dict(tos=0xbb))
relayed('DSCP set to 0', 'rtp dscp=0', rtp(), tos=0xff, out=dict(tos=0x03))
relayed('identification and no DF kept', 'rtp', rtp(), fragment=0, ident=0xffff)
relayed('TTL 2 becomes 1', 'rtp', rtp(), ttl=2, out=dict(ttl=1))
relayed('TTL 255', 'rtp', rtp(), ttl=255, out=dict(ttl=254))
relayed('STUN on an RTP path', 'rtp', STUN)
relayed('DTLS on an RTP path', 'rtp', DTLS)
relayed('ZRTP on an RTP path', 'rtp', bytes.fromhex('1000000000000000'))
relayed('RTCP sharing the port', 'rtp mux', SR)
relayed('RTCP on its own port', 'rtcp', SR)
relayed('T.38 on an opaque path', 'opaque', bytes.fromhex('00000601c0018000'))
relayed('any first byte on an opaque path', 'opaque', b'\xff\x00')
relayed('empty datagram on an opaque path', 'opaque', b'', padding=b'\0' * 18)
relayed('SRTP with padding bit, ciphertext at the end', 'rtp encrypted', rtp(first=0xa0))
relayed('the longest datagram that fits the MTU', 'rtp', rtp(rest=b'\x33' * 1460))
dropped('a jumbo datagram', 'rtp', 'mtu_exceeded', rtp(rest=b'\x33' * 1900))
# The outgoing UDP checksum is zero, which is sent as all ones.
for word in range(0x10000):
    probe = rtp(rest=struct.pack('!H', word) + b'\0' * 18)
    if frame('1', 'B', probe)[40:42] == b'\xff\xff':
        relayed('outgoing UDP checksum of zero', 'rtp', probe)
        break
for word in range(0x10000):
    probe = rtp(rest=struct.pack('!H', word) + b'\0' * 18)
    if frame('A', '0', probe)[40:42] == b'\xff\xff':
        relayed('incoming UDP checksum of all ones', 'rtp', probe)
        break

dropped('wrong destination MAC', 'rtp', 'wrong_mac', mac='020000000099')
dropped('broadcast MAC', 'rtp', 'wrong_mac', mac='ffffffffffff')
dropped('multicast MAC', 'rtp', 'wrong_mac', mac='01005e000001')
dropped('802.1Q tag', 'rtp', 'vlan_tagged', tag=bytes.fromhex('81000064'))
dropped('802.1ad tag', 'rtp', 'vlan_tagged', tag=bytes.fromhex('88a80064'))
dropped('IPv4 with the ethertype of IPv6', 'rtp', 'ip_header', ethertype=0x86dd)
dropped('LLDP', 'rtp', 'ethertype', ethertype=0x88cc)
dropped('IP options', 'rtp', 'ip_options', options=b'\x01\x01\x01\x00')
dropped('wrong IP checksum', 'rtp', 'ip_checksum', bad_ip_sum=0x0100)
dropped('first fragment', 'rtp', 'ip_fragment', fragment=0x2000)
dropped('later fragment', 'rtp', 'ip_fragment', fragment=0x00b9)
dropped('total length beyond the frame', 'rtp', 'ip_header', total_extra=1)
dropped('TTL 0', 'rtp', 'ttl_expired', ttl=0)
dropped('TTL 1', 'rtp', 'ttl_expired', ttl=1)
dropped('TCP', 'rtp', 'ip_protocol', protocol=6)
dropped('UDP length too long', 'rtp', 'udp_length', udp_extra=1)
dropped('UDP length too short', 'rtp', 'udp_length', udp_extra=-1)
dropped('no flow', 'none', 'port_inactive')
dropped('another port of the same host', 'rtp', 'wrong_source', source_port=4001)
dropped('another host', 'rtp', 'wrong_source', source_ip='192.0.2.66')
dropped('source is the relay', 'rtp', 'source_invalid', source_ip=IP['0'])
dropped('loopback source', 'rtp', 'source_invalid', source_ip='127.0.0.1')
dropped('multicast source', 'rtp', 'source_invalid', source_ip='239.1.1.1')
dropped('keepalive without payload', 'rtp', 'empty_datagram', b'', padding=b'\0' * 18)
dropped('keepalive CRLF CRLF', 'rtp', 'unknown_protocol', b'\r\n\r\n', padding=b'\0' * 14)
dropped('RTP of version 3', 'rtp', 'unknown_protocol', rtp(first=0xc0))
dropped('TURN channel data', 'rtp', 'unknown_protocol', rtp(first=0x40))
for size in range(1, 12):
    dropped(f'RTP of {size} bytes', 'rtp', 'rtp_malformed', rtp()[:size], padding=b'\0' * 18)
dropped('CSRC count beyond the end', 'rtp', 'rtp_malformed', rtp(first=0x8f, rest=b''))
dropped('extension beyond the end', 'rtp', 'rtp_malformed', rtp(first=0x90, rest=b'\xbe\xde\0\x09'))
dropped('padding longer than the packet', 'rtp', 'rtp_malformed', rtp(first=0xa0, rest=b'\xff' * 9))
dropped('padding of zero', 'rtp', 'rtp_malformed', rtp(first=0xa0, rest=b'\0' * 9))
dropped('STUN without cookie (RFC 3489)', 'rtp', 'stun_malformed', STUN[:4] + bytes(16))
dropped('STUN with a wrong length', 'rtp', 'stun_malformed', STUN + b'\0\0\0\0')
for size in range(1, 8):
    dropped(f'RTCP of {size} bytes', 'rtcp', 'rtcp_malformed', SR[:size], padding=b'\0' * 18)
dropped('RTCP compound with a wrong length', 'rtcp', 'rtcp_malformed', SR[:-4])
dropped('RTP on an RTCP path', 'rtcp', 'rtcp_malformed')
dropped('peer is on hold', 'rtp held', 'held')
dropped('peer has no address yet', 'rtp unanswered', 'no_destination')

# IPv6, and IPv4 to IPv6 and back.
V6, TO_V6, TO_V4 = 'rtp a6 b6', 'rtp b6', 'rtp a6'


def relayed6(what, payload, flow=V6, out=None, **given):
    made = dict(ttl=63)
    made.update({key: given[key] for key in ('tos', 'label') if key in given})
    made.update(out or {})
    padding = given.pop('padding', b'')
    row('IPv6: ' + what, flow, frame6('A', '0', payload, **given) + padding, 'relayed',
        frame6('1', 'B', payload, **made))


def dropped6(what, reason, payload=None, flow=V6, **given):
    row('IPv6: ' + what, flow, frame6('A', '0', rtp() if payload is None else payload, **given),
        reason)


def to_v6(what, payload, out=None, flow=TO_V6, padding=b'', **given):
    made = dict(ttl=63, tos=given.get('tos', 0))
    made.update(out or {})
    row('IPv4 to IPv6: ' + what, flow, frame('A', '0', payload, **given) + padding, 'relayed',
        frame6('1', 'B', payload, **made))


def to_v4(what, payload, out=None, flow=TO_V4, padding=b'', **given):
    made = dict(ttl=63, tos=given.get('tos', 0), ident=0)
    made.update(out or {})
    row('IPv6 to IPv4: ' + what, flow, frame6('A', '0', payload, **given) + padding, 'relayed',
        frame('1', 'B', payload, **made))


def all_ones(build, at):
    """A payload for which the UDP checksum of build(payload) is all ones."""
    for word in range(0x10000):
        probe = rtp(rest=struct.pack('!H', word) + b'\0' * 18)
        if build(probe)[at:at + 2] == b'\xff\xff':
            return probe
    raise ValueError('no such payload')


relayed6('RTP of a known pair', rtp())
relayed6('RTP with marker', rtp(second=0x80))
for seq in range(2):
    relayed6(f'odd payload length {seq}', rtp(sequence=seq, rest=b'\x77' * (2 * seq + 1)))
relayed6('padding is removed', rtp(), padding=b'\xee' * 7)
relayed6('traffic class and flow label unchanged', rtp(), tos=0xb9, label=0xabcde)
relayed6('DSCP set to 46, ECN and label kept', rtp(), flow=V6 + ' dscp=46', tos=0x03, label=0x12345,
         out=dict(tos=0xbb))
relayed6('hop limit 2 becomes 1', rtp(), ttl=2, out=dict(ttl=1))
relayed6('STUN', STUN)
relayed6('RTCP sharing the port', SR, flow=V6 + ' mux')
relayed6('RTCP on its own port', SR, flow='rtcp a6 b6')
relayed6('empty datagram on an opaque path', b'', flow='opaque a6 b6')
relayed6('outgoing UDP checksum of zero',
         all_ones(lambda probe: frame6('1', 'B', probe), 60))
relayed6('incoming UDP checksum of all ones', all_ones(lambda probe: frame6('A', '0', probe), 60))
dropped6('no UDP checksum', 'udp_checksum_missing', udp_sum=0)
dropped6('hop limit 1', 'ttl_expired', ttl=1)
dropped6('version 4', 'ip_header', version=4)
dropped6('payload length beyond the frame', 'ip_header', total_extra=1)
dropped6('UDP length too long', 'udp_length', udp_extra=1)
dropped6('fragment', 'ip_fragment', protocol=44, before=bytes.fromhex('1100000100000001'))
for number, name in ((0, 'hop-by-hop options'), (43, 'routing header'), (60, 'destination options')):
    dropped6(name, 'ip_extension', protocol=number, before=bytes.fromhex('1100000000000000'))
dropped6('TCP', 'ip_protocol', protocol=6)
dropped6('multicast MAC', 'wrong_mac', mac='3333ff000001')
dropped6('another port of the same host', 'wrong_source', source_port=4001)
dropped6('another host', 'wrong_source', source_ip='2001:db8:a::66')
for name, address in (('loopback', '::1'), ('unspecified', '::'), ('link-local', 'fe80::10'),
                      ('multicast', 'ff0e::1'), ('the relay', '2001:db8:b::1'),
                      ('mapped', '::ffff:198.18.0.10'), ('NAT64 of loopback', '64:ff9b::7f00:1'),
                      ('NAT64 of the relay', '64:ff9b::198.18.0.1'),
                      ('6to4 of a private address', '2002:0a00:0001::1')):
    dropped6(f'source is {name}', 'source_invalid', source_ip=address)
dropped6('no flow', 'port_inactive', flow='none a6')
dropped6('peer is on hold', 'held', flow=V6 + ' held')

to_v6('RTP of a known pair', rtp())
to_v6('odd payload length', rtp(rest=b'\x77' * 3))
to_v6('padding is removed', rtp(rest=b''), padding=b'\xee' * 12)
to_v6('type of service becomes traffic class', rtp(), tos=0xb9)
to_v6('DSCP set to 46, ECN kept', rtp(), flow=TO_V6 + ' dscp=46', tos=0x03, out=dict(tos=0xbb))
to_v6('TTL becomes hop limit', rtp(), ttl=2, out=dict(ttl=1))
to_v6('a missing UDP checksum is computed', rtp(), udp_sum=0)
to_v6('a missing UDP checksum is computed, odd length', rtp(rest=b'\x77' * 7), udp_sum=0)
to_v6('a missing UDP checksum, computed as zero',
      all_ones(lambda probe: frame6('1', 'B', probe), 60), udp_sum=0)
to_v6('outgoing UDP checksum of zero', all_ones(lambda probe: frame6('1', 'B', probe), 60))
to_v6('RTCP on its own port', SR, flow='rtcp b6')
to_v6('STUN', STUN)
to_v6('longest packet within the MTU', rtp(rest=b'\x33' * (1500 - 48 - 12)))
row('IPv4 to IPv6: one byte beyond the MTU', TO_V6,
    frame('A', '0', rtp(rest=b'\x33' * (1500 - 48 - 11))), 'mtu_exceeded')

to_v4('RTP of a known pair', rtp())
to_v4('odd payload length', rtp(rest=b'\x77' * 3))
to_v4('padding is removed', rtp(), padding=b'\xee' * 5)
to_v4('traffic class becomes type of service, the flow label is dropped', rtp(), tos=0xb9, label=0xfffff)
to_v4('DSCP set to 0', rtp(), flow=TO_V4 + ' dscp=0', tos=0xff, out=dict(tos=0x03))
to_v4('hop limit becomes TTL', rtp(), ttl=255, out=dict(ttl=254))
to_v4('outgoing UDP checksum of zero', all_ones(lambda probe: frame('1', 'B', probe), 40))
to_v4('incoming UDP checksum of all ones', all_ones(lambda probe: frame6('A', '0', probe), 60))
to_v4('RTCP sharing the port', SR, flow=TO_V4 + ' mux')
to_v4('STUN', STUN)

with open(__file__.replace('.py', '.txt'), 'w') as out:
    out.write('# Written by relay_packets.py: packet in, flow, verdict, packet out.\n\n')
    out.write('\n'.join(rows))
