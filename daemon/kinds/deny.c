/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/deny.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

static bool is_denied_v4(uint32_t a)
{
	return (a >> 24) == 0 ||      /* 0.0.0.0/8 */
	       (a >> 16) == 0xa9fe || /* 169.254.0.0/16 */
	       (a >> 28) == 0xe ||    /* multicast */
	       a == 0xffffffff ||     /* broadcast */
	       a == 0x646464c8;	      /* 100.100.100.200 */
}

static bool is_denied_v6(const uint8_t *a)
{
	static const uint8_t zero[12], nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t ec2[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
	uint32_t last =
		(uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];

	if (memcmp(a, zero, 12) == 0)
		return last != 1 &&
		       is_denied_v4(last); /* :: and the old compatible form, but ::1 */
	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
		return is_denied_v4(last);
	return (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || a[0] == 0xff || memcmp(a, ec2, 16) == 0;
}

bool deny_address(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_denied_v4(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return is_denied_v6(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
	return true;
}

bool deny_local(const struct sockaddr *address, const struct network *allowed, size_t n_allowed)
{
	static const char *const local[] = {
		"127.0.0.0/8",	  "::1",	   "10.0.0.0/8", "172.16.0.0/12",
		"192.168.0.0/16", "100.64.0.0/10", /* carriers' (RFC 6598) */
		"192.0.0.0/24",	  "198.18.0.0/15", /* protocol assignments, benchmarks (RFC 6890) */
		"fc00::/7",	  "fec0::/10",
	};
	struct network n;
	uint8_t a[16];
	bool is_local = false;

	if (!network_address(address, a))
		return true;
	for (size_t i = 0; !is_local && i < sizeof(local) / sizeof(local[0]); i++)
		is_local = !network_parse(local[i], &n) && network_has(&n, a);
	for (size_t i = 0; is_local && i < n_allowed; i++)
		is_local = !network_has(&allowed[i], a);
	return is_local;
}
