/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS 96

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static void set_v4(uint8_t to[16], const void *v4)
{
	memcpy(to, mapped, sizeof(mapped));
	memcpy(to + 12, v4, 4);
}

static bool is_v4(const uint8_t address[16])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* Bits behind the prefix: 10.0.0.1/8 is a slip, not a network. */
static bool has_host_bits(const struct network *n)
{
	for (unsigned bit = n->n_bits; bit < 128; bit++)
		if (n->address[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

static const char *parse_bits(const char *text, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (!*text)
		return "has \"/\" without a number behind it";
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9' || p - text > 3)
			return "has no number of bits behind its \"/\"";
		value = value * 10 + (unsigned)(*p - '0');
	}
	*ret = value;
	return value > max ? "has more bits behind its \"/\" than an address" : NULL;
}

const char *network_parse(const char *text, struct network *ret)
{
	size_t len = strcspn(text, "/");
	char address[INET6_ADDRSTRLEN];
	unsigned n_bits, first = 0;
	const char *why = NULL;
	uint8_t v4[4];

	if (len == 0 || len >= sizeof(address))
		return "is no network like 10.0.0.0/8 or fd00::/8";
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, v4) == 1) {
		set_v4(ret->address, v4);
		first = V4_BITS;
	} else if (inet_pton(AF_INET6, address, ret->address) != 1) {
		return "is no network like 10.0.0.0/8 or fd00::/8";
	}
	n_bits = 128 - first;
	if (text[len])
		why = parse_bits(text + len + 1, n_bits, &n_bits);
	ret->n_bits = (uint8_t)(first + n_bits);
	if (!why && has_host_bits(ret))
		why = "has bits set behind its prefix";
	return why;
}

void network_format(const struct network *n, char *text)
{
	bool v4 = is_v4(n->address) && n->n_bits >= V4_BITS;
	char address[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, n->address + (v4 ? 12 : 0), address,
			sizeof(address));
	(void)snprintf(text, NETWORK_TEXT_BYTES, "%s/%d", address, n->n_bits - (v4 ? V4_BITS : 0));
}

/* What an IPv6 address leads to. */
static void unwrap(uint8_t a[16])
{
	static const uint8_t zero[12], nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t loopback[4] = { [3] = 1 };
	uint8_t v4[4];

	if (memcmp(a, nat64, 12) == 0 ||
	    (memcmp(a, zero, 12) == 0 && memcmp(a + 12, loopback, 4) != 0 &&
	     memcmp(a + 12, zero, 4) != 0))
		memcpy(v4, a + 12, 4);
	else if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
		memcpy(v4, a + 2, 4);
	else
		return;
	set_v4(a, v4);
}

bool network_address(const struct sockaddr *sa, uint8_t ret[16])
{
	if (sa->sa_family == AF_INET) {
		set_v4(ret, &((const struct sockaddr_in *)sa)->sin_addr);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(ret, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	unwrap(ret);
	return true;
}

bool network_has(const struct network *n, const uint8_t address[16])
{
	unsigned n_bytes = n->n_bits / 8, left = n->n_bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> left);

	return memcmp(n->address, address, n_bytes) == 0 &&
	       (!left || ((n->address[n_bytes] ^ address[n_bytes]) & mask) == 0);
}
